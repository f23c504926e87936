"""Light, air and colours of each condition. Colours are blue, green, red from 0 to 255, as OpenCV wants them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.table import Condition

Colour = tuple[float, float, float]
Floats = NDArray[np.float64]


def bgr(written: str) -> Colour:
    """A web colour.

    >>> bgr("#ff8000")
    (0.0, 128.0, 255.0)
    """
    red, green, blue = (float(int(written[i : i + 2], 16)) for i in (1, 3, 5))
    return blue, green, red


@dataclass(frozen=True)
class Light:
    """sun: direction to it (x, up, z), None where it does not reach the ground; angles are to the road's direction.

    ambient: brightness of a face turned away; reach: metres at which the air hides 63 % of a thing;
    night: lamps are on and headlights light the road.
    """

    sky: tuple[Colour, Colour]  # zenith, horizon
    haze: Colour
    reach: float
    ambient: float
    sun: tuple[float, float, float] | None
    shadow: float  # what is left of the light in a shadow
    tint: Colour = (1.0, 1.0, 1.0)
    night: bool = False
    ground: dict[str, Colour] = field(default_factory=dict)
    leaves: tuple[Colour, ...] = ()
    cloud: float = 0.3  # share of the sky

    @cached_property
    def _tint(self) -> Floats:
        return np.array(self.tint)

    @cached_property
    def _haze(self) -> Floats:
        return np.array(self.haze)

    def shade(self, normals: Floats, heading: float) -> Floats:
        """Brightness of faces with unit normals (n, 3) in the frame of a thing with a heading, (n,)."""
        x, up, z = self.sun if self.sun is not None else (0.0, 1.0, 0.0)
        cos, sin = math.cos(heading), math.sin(heading)
        towards = np.array([x * cos - z * sin, up, x * sin + z * cos])
        brightness: Floats = self.ambient + (1 - self.ambient) * np.maximum(normals @ towards, 0.0)
        return brightness

    def air(self, right: float, ahead: float) -> tuple[float, float]:
        """What reaches the camera of the light that a thing throws back, and of the light that it gives."""
        clear = math.exp(-max(ahead, 0.0) / self.reach)
        return (clear * self.headlights(right, ahead) if self.night else clear), clear

    def seen(self, colours: Floats, shade: Floats | float, right: float, ahead: float, glows: Floats | None) -> Floats:
        """Colours (n, 3) as the camera sees them at a place (right, ahead of it, in metres).

        shade: (n,) or one; glows: (n,), 1 where a face gives its own light, None where none does. Values may pass 255.
        """
        share, clear = self.air(right, ahead)
        factor = self._tint * share
        lit = colours * (factor * shade if isinstance(shade, float) else shade[:, None] * factor)
        if glows is not None:
            lit += glows[:, None] * (colours * clear - lit)
        lit += self._haze * (1 - clear)
        return lit

    def headlights(self, right: float, ahead: float) -> float:
        """Our own headlights' share of daylight at a place, at night."""
        if ahead <= 0:
            return 0.2
        cone = math.exp(-((right / (1.6 + 0.16 * ahead)) ** 2))
        return 0.3 + 0.8 * cone * math.exp(-((ahead / 42.0) ** 2)) + 0.1 * math.exp(-ahead / 25)


def _direction(azimuth: float, elevation: float) -> tuple[float, float, float]:
    a, e = math.radians(azimuth), math.radians(elevation)
    return math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)


def _colours(**written: str) -> dict[str, Colour]:
    return {name: bgr(colour) for name, colour in written.items()}


def make_light(condition: Condition, rng: np.random.Generator) -> Light:
    """The condition's light; the sun stands where the seed puts it, mostly ahead or beside so that shadows are seen."""
    azimuth = float(rng.choice([-1, 1]) * rng.uniform(40, 125))
    if condition is Condition.WINTER:
        return Light(
            sky=(bgr("#a9b9cc"), bgr("#e6e6e4")),
            haze=bgr("#dfe2e6"),
            reach=160.0,
            ambient=0.66,
            sun=_direction(azimuth, 20),
            shadow=0.74,
            ground=_colours(asphalt="#6d7074", walk="#dfe3e8", kerb="#c4c9cf", grass="#eef1f5", far="#e3e7ec",
                            mark="#d9dbdd", patch="#8b8f94"),
            leaves=(bgr("#6b6560"), bgr("#f4f6f8")),
            cloud=0.75,
        )  # fmt: skip
    if condition is Condition.FALL:
        return Light(
            sky=(bgr("#6f9ac6"), bgr("#f1dcb6")),
            haze=bgr("#e8d7bb"),
            reach=260.0,
            ambient=0.55,
            sun=_direction(azimuth, 27),
            shadow=0.55,
            tint=(0.88, 0.96, 1.05),
            ground=_colours(asphalt="#66635f", walk="#a59c90", kerb="#8f877c", grass="#8a8246", far="#9a8a4e",
                            mark="#e6e2d8", patch="#585550"),
            leaves=(bgr("#c8641e"), bgr("#d99a2b"), bgr("#a8401c"), bgr("#b98a34")),
            cloud=0.35,
        )  # fmt: skip
    if condition is Condition.RAIN:
        return Light(
            sky=(bgr("#6d7780"), bgr("#a3abb0")),
            haze=bgr("#9aa3a9"),
            reach=95.0,
            ambient=0.74,
            sun=None,
            shadow=0.72,
            tint=(0.84, 0.82, 0.80),
            ground=_colours(asphalt="#3d4145", walk="#6a6e70", kerb="#7a7d7f", grass="#4d6a40", far="#5f7560",
                            mark="#c9cccd", patch="#566069"),
            leaves=(bgr("#3f6b35"), bgr("#4d7a3d"), bgr("#37602f")),
            cloud=1.0,
        )  # fmt: skip
    if condition is Condition.NIGHT:
        return Light(
            sky=(bgr("#070a16"), bgr("#252b40")),
            haze=bgr("#181c2a"),
            reach=110.0,
            ambient=0.75,
            sun=None,
            shadow=0.8,
            tint=(0.92, 0.90, 0.92),
            night=True,
            ground=_colours(asphalt="#5d5f62", walk="#8d8a84", kerb="#9a968e", grass="#4c6a3a", far="#3c4438",
                            mark="#f0f0ea", patch="#525457"),
            leaves=(bgr("#3c6a34"), bgr("#2f5a2c")),
            cloud=0.0,
        )  # fmt: skip
    return Light(
        sky=(bgr("#3f86d0"), bgr("#c3ddf0")),
        haze=bgr("#c6d8e6"),
        reach=320.0,
        ambient=0.56,
        sun=_direction(azimuth, 48),
        shadow=0.56,
        ground=_colours(asphalt="#7c7d80", walk="#b3aea5", kerb="#97938b", grass="#6da045", far="#86b062",
                        mark="#f2f2ee", patch="#626366"),
        leaves=(bgr("#5fa03a"), bgr("#74b548"), bgr("#4a8a34")),
        cloud=0.4,
    )  # fmt: skip
