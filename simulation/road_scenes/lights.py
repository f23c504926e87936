"""Lamps that burn: halos around street lamps, headlights and tail lights, and the light that falls on the ground."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simulation.road_scenes.actors import Actor
from simulation.road_scenes.camera import EYE, Camera
from simulation.road_scenes.canvas import GROUND, SCENERY, Picture
from simulation.road_scenes.plants import Lamp

_REACH = 85.0  # metres from which a car's lamps are points without a halo
_WHITE, _RED = (215.0, 235.0, 245.0), (40.0, 30.0, 190.0)
_WARM, _POOL = (120.0, 175.0, 215.0), (34.0, 52.0, 64.0)


@dataclass(frozen=True)
class Glow:
    """Light that is added around (u, v), pixels of the picture; across, up: radii; slot: it shows where the pixel at
    its middle has this slot, and a ground light only where the ground is."""

    u: float
    v: float
    across: float
    up: float
    colour: tuple[float, float, float]
    slot: int

    def burns(self, slots: Picture) -> bool:
        """Whether nothing stands before the lamp; a light on the ground is cut pixel by pixel instead."""
        height, width = slots.shape
        row, column = round(self.v), round(self.u)
        if self.slot == GROUND:
            return True
        return 0 <= row < height and 0 <= column < width and bool(slots[row, column] == self.slot)


def lamp_glows(lamp: Lamp, bulb: tuple[float, float, float], camera: Camera, oversampling: int) -> Iterator[Glow]:
    """The halo of a street lamp and the pool of light under it. bulb: u, v, pixels a metre, of the canvas."""
    u, v, scale = (value / oversampling for value in bulb)
    yield Glow(u, v, 1.1 * scale + 2, 1.1 * scale + 2, _WARM, SCENERY)
    horizon = camera.horizon / oversampling
    foot = horizon + EYE * scale
    ahead = camera.focal / oversampling / scale
    up = (foot - horizon) * lamp.height / max(ahead, lamp.height + 1)  # v = horizon + f EYE / ahead, differentiated
    yield Glow(u, foot, lamp.height * scale, up, _POOL, GROUND)


def car_glows(
    actor: Actor, at: tuple[float, float, float], camera: Camera, slot: int, *, braking: bool
) -> Iterator[Glow]:
    """Halos of the lamps at the end of a car that the camera sees; camera: of the finished picture's size."""
    x, z, heading = at
    _, ahead = camera.turned(x - camera.x, z - camera.z)
    if actor.person is not None or actor.parked or not 2.0 < ahead < _REACH:
        return
    towards = math.cos(heading - camera.yaw) < 0
    width, height, length = actor.size
    end = length / 2 if towards else -length / 2
    lamps = np.array([(side * 0.39 * width, 0.5 * height, end) for side in (-1, 1)])
    seen = camera.place(lamps, x, z, heading)
    if seen[:, 2].min() < 1.0:
        return
    for (u, v), depth in zip(camera.project(seen).tolist(), seen[:, 2].tolist(), strict=True):
        scale = camera.focal / depth
        radius = 0.5 * scale + 4 if towards else (0.32 if braking else 0.2) * scale + 2
        yield Glow(u, v, radius, radius, _WHITE if towards else _RED, slot)
