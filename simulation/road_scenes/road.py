"""The road: a gently winding centre line, and what lies where across it in each area."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.table import Area

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """Metres to the right of the centre line (their mirror images are on the left), and along it."""

    lanes: tuple[float, ...]  # centres of lanes in our direction
    own: float  # where the camera drives
    oncoming: tuple[float, ...]  # centres of the other direction's lanes
    edge: float  # where the asphalt ends
    cycle: float  # where cyclists ride
    parking: tuple[float, ...]  # centres of parking lanes
    walk: tuple[float, float]  # the pavement
    front: float  # where houses begin
    block: float  # from one crossing to the next; 0 for none
    speed: tuple[float, float]  # the camera's, metres a second
    range: float  # how far things are drawn


LAYOUTS = {
    Area.CITY: Layout((1.75,), 1.75, (-1.75,), 7.0, 4.15, (5.95, -5.95), (7.3, 10.4), 10.9, 64.0, (7.0, 11.5), 120.0),
    Area.TOWN: Layout((1.7,), 1.7, (-1.7,), 3.9, 3.2, (), (5.3, 7.0), 12.0, 58.0, (6.5, 10.0), 110.0),
    Area.HIGHWAY: Layout(
        (1.9, 5.6, 9.3), 5.6, (-5.6, -9.3, -13.0), 12.2, 0.0, (), (0.0, 0.0), 20.0, 0.0, (24.0, 32.0), 190.0
    ),
}
MEDIAN = -1.85  # where the highway's central barrier stands
SIDE_STREET = 5.0  # half its width
_WINDING = {Area.CITY: (2.2, 190.0), Area.TOWN: (4.5, 200.0), Area.HIGHWAY: (16.0, 950.0)}  # amplitude, wavelength, m


@dataclass(frozen=True)
class Road:
    """Centre line x = sum of sines of s, so that place and heading at any s need no walk along it."""

    amplitudes: Floats  # (2,) metres
    waves: Floats  # (2,) radians a metre
    phases: Floats  # (2,)

    def centre(self, s: Floats) -> Floats:
        x: Floats = (self.amplitudes * np.sin(np.multiply.outer(s, self.waves) + self.phases)).sum(axis=-1)
        return x

    def heading(self, s: Floats) -> Floats:
        """Radians from +z towards +x."""
        slope = (self.amplitudes * self.waves * np.cos(np.multiply.outer(s, self.waves) + self.phases)).sum(axis=-1)
        heading: Floats = np.arctan(slope)
        return heading

    def world(self, lateral: Floats, s: Floats) -> tuple[Floats, Floats]:
        """(x, z) of points `lateral` metres to the right of the centre line at s."""
        heading = self.heading(s)
        return self.centre(s) + lateral * np.cos(heading), s - lateral * np.sin(heading)


def make_road(area: Area, rng: np.random.Generator) -> Road:
    amplitude, wavelength = _WINDING[area]
    shares = rng.uniform(0.5, 1.0, 2) * np.array([1.0, 0.25])
    waves = 2 * math.pi / (wavelength * np.array([1.0, 0.43]) * rng.uniform(0.85, 1.2, 2))
    return Road(amplitude * shares, waves, rng.uniform(0, 2 * math.pi, 2))
