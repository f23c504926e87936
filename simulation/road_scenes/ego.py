"""How the camera's car drives: speed that varies, stops at some crossings, a slight yaw and pitch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.road import Layout
from simulation.road_scenes.table import FPS

Floats = NDArray[np.float64]
_BRAKE, _START = 2.2, 1.6  # metres a second, squared
_ROOM = 11.5  # metres that a car in front leaves to the crossing when we stop behind it


@dataclass(frozen=True)
class Ego:
    """Per frame: place along the road, speed, yaw and pitch beyond the road's own; and the stops."""

    s: Floats  # (T,) metres
    speed: Floats  # (T,) metres a second
    yaw: Floats  # (T,) radians
    pitch: Floats  # (T,) radians
    stops: tuple[tuple[float, int, int], ...]  # place of the crossing, frames between which we stand


def drive(layout: Layout, frames: int, following: bool, rng: np.random.Generator) -> Ego:
    """The whole drive; following: a car is in front, so that we stop farther from a crossing."""
    cruise = rng.uniform(*layout.speed)
    phases = rng.uniform(0, 2 * math.pi, 6)
    seconds = np.arange(frames) / FPS
    wanted = cruise * (1 + 0.1 * np.sin(0.45 * seconds + phases[0]) + 0.06 * np.sin(1.1 * seconds + phases[1]))
    crossings = _crossings(layout, frames, rng)
    back = 6.0 + (_ROOM if following else 0.0)
    s, speed, stops = _rolled(wanted, crossings, back, rng.uniform(0.75, 1.0))
    yaw = 0.006 * np.sin(0.5 * seconds + phases[2]) + 0.002 * np.sin(2.3 * seconds + phases[3])
    shake = speed / max(cruise, 1e-9)
    change = np.gradient(speed, 1 / FPS) if frames > 1 else np.zeros(1)
    pitch = 0.0035 * change + shake * (
        0.0016 * np.sin(8.1 * seconds + phases[4]) + 0.0011 * np.sin(13.7 * seconds + phases[5])
    )
    return Ego(s, speed, yaw, pitch, stops)


def _crossings(layout: Layout, frames: int, rng: np.random.Generator) -> list[tuple[float, int]]:
    """Where we shall stop and for how many frames; about every second crossing, none on a highway."""
    if not layout.block:
        return []
    count = int(layout.speed[1] * frames / FPS / layout.block) + 2
    found = []
    for k in range(1, count):
        stands, waits = rng.random() < 0.5, int(rng.uniform(3.0, 7.0) * FPS)
        if stands:
            found.append((k * layout.block, waits))
    return found


def _rolled(
    wanted: Floats, crossings: list[tuple[float, int]], back: float, start: float
) -> tuple[Floats, Floats, tuple[tuple[float, int, int], ...]]:
    """Place and speed frame by frame: braking to stand `back` metres before the next crossing, waiting, starting."""
    s, v, waiting, since = 0.0, float(start * wanted[0]), 0, 0
    places, speeds, stops = np.empty(len(wanted)), np.empty(len(wanted)), []
    ahead = [(crossing, waits) for crossing, waits in crossings if crossing - back > v * v / (2 * _BRAKE) + 2]
    for t, target in enumerate(wanted):
        places[t], speeds[t] = s, v
        if waiting:
            waiting -= 1
            if not waiting:
                stops.append((ahead.pop(0)[0], since, t))
            continue
        room = ahead[0][0] - back - s if ahead else math.inf
        if room < 0.25:
            v, waiting, since = 0.0, ahead[0][1], t
            continue
        safe = math.sqrt(2 * _BRAKE * room) if room < 1e6 else math.inf
        v = max(min(float(target), v + _START / FPS, safe), 0.3)
        s += v / FPS
    if waiting:
        stops.append((ahead[0][0], since, len(wanted)))
    return places, speeds, tuple(stops)
