"""Objects with their looks: which body and paint, which clothes, and how each is painted in a frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simulation.road_scenes.camera import Camera
from simulation.road_scenes.canvas import Canvas
from simulation.road_scenes.cars import BODIES, PAINTS, make_car
from simulation.road_scenes.light import Colour, Light
from simulation.road_scenes.mesh import Box, Mesh, draw_mesh
from simulation.road_scenes.people import COATS, HAIRS, SKINS, TROUSERS, Person, draw_pedestrian
from simulation.road_scenes.riders import FRAMES, draw_cyclist, draw_wheelchair
from simulation.road_scenes.table import Condition, Kind
from simulation.road_scenes.traffic import STEP, Path

At = tuple[float, float, float]  # x, z, heading
_PLAIN = 27.0  # metres from which a car's details are left out
_AFAR = 48.0  # metres from which a car is of few faces
_BRAKES = -0.7  # metres a second, squared; below this the brake lights are on


@dataclass(frozen=True)
class Actor:
    """One object of a drive. size: width, height, length in metres; phases: (T,) radians of legs, pedals or arms."""

    path: Path
    size: tuple[float, float, float]
    phases: np.ndarray
    speeds: np.ndarray
    braking: np.ndarray
    parked: bool = False  # never moves: its lamps are off
    body: str = ""
    paint: Colour = (0.0, 0.0, 0.0)
    person: Person | None = None

    def draw(
        self, canvas: Canvas, camera: Camera, light: Light, at: At, frame: int, ahead: float, slot: int
    ) -> Box | None:
        """Paints the object; returns a box of the canvas that holds all its pixels, None if it is outside."""
        if self.person is None:
            lamps, braking = light.sun is None and not self.parked, bool(self.braking[frame])
            mesh = _car(self.body, self.paint, lamps, braking, ahead > _AFAR)
            return draw_mesh(canvas, camera, light, mesh, at, slot, plain=ahead > _PLAIN)
        phase, speed = float(self.phases[frame]), float(self.speeds[frame])
        if self.path.kind is Kind.PEDESTRIAN:
            swing = 0.46 * min(speed / 1.3, 1.15) if speed > 0.15 else 0.0
            return draw_pedestrian(canvas, camera, light, self.person, at, (phase, swing), slot)
        paint = draw_cyclist if self.path.kind is Kind.CYCLIST else draw_wheelchair
        return paint(canvas, camera, light, self.person, self.paint, at, phase, slot)


@lru_cache(maxsize=512)
def _car(body: str, paint: Colour, lamps: bool, braking: bool, afar: bool) -> Mesh:
    return make_car(body, paint, lamps=lamps, braking=braking, afar=afar)


def make_actor(path: Path, condition: Condition) -> Actor:
    """Looks drawn from the path's own seed, so that they depend on no other object."""
    rng = np.random.default_rng(path.looks)
    speeds = path.speed
    phases = rng.uniform(0, 2 * math.pi) + path.travelled * (2 * math.pi / STEP[path.kind])
    slower = np.gradient(speeds) * 25 < _BRAKES if len(speeds) > 1 else np.zeros(1, bool)
    braking = slower | (path.leads & (speeds < 0.3))
    if path.kind is Kind.CAR:
        body = str(rng.choice(list(BODIES), p=[0.36, 0.32, 0.22, 0.10]))
        form = BODIES[body]
        size = (2 * form.half[0], max(up for _, up in form.cabin), form.length)
        parked = not path.leads and float(np.ptp(path.s) + np.ptp(path.lateral)) < 0.1
        return Actor(path, size, phases, speeds, braking, parked, body, PAINTS[rng.integers(len(PAINTS))])
    person = _person(path.kind, condition, rng)
    length = {Kind.PEDESTRIAN: 0.45, Kind.CYCLIST: 1.75, Kind.WHEELCHAIR: 1.0}[path.kind]
    height = {Kind.PEDESTRIAN: 1.0, Kind.CYCLIST: 0.98, Kind.WHEELCHAIR: 0.78}[path.kind] * person.height
    paint = FRAMES[rng.integers(len(FRAMES))]
    return Actor(path, (0.5, height, length), phases, speeds, braking, paint=paint, person=person)


def _person(kind: Kind, condition: Condition, rng: np.random.Generator) -> Person:
    def any_of(colours: tuple[Colour, ...]) -> Colour:
        return colours[rng.integers(len(colours))]

    child = kind is Kind.PEDESTRIAN and rng.random() < 0.15
    height = rng.uniform(1.15, 1.4) if child else rng.uniform(1.58, 1.9)
    wet = condition is Condition.RAIN and kind is Kind.PEDESTRIAN and rng.random() < 0.6
    hat = condition is Condition.WINTER or kind is Kind.CYCLIST or rng.random() < 0.12
    return Person(
        height=float(height),
        skin=any_of(SKINS),
        coat=any_of(COATS),
        trousers=any_of(TROUSERS),
        hair=any_of(HAIRS),
        hat=any_of(COATS) if hat else None,
        umbrella=any_of(COATS) if wet else None,
        bag=any_of(TROUSERS) if kind is Kind.PEDESTRIAN and rng.random() < 0.3 else None,
        skirt=bool(kind is Kind.PEDESTRIAN and rng.random() < 0.2),
    )
