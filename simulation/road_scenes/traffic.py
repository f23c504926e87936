"""Who is on the road: every object's path over the whole drive, drawn from the spawn probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.ego import Ego
from simulation.road_scenes.road import LAYOUTS, MEDIAN, Layout
from simulation.road_scenes.table import FPS, Area, Drive, Kind

Floats = NDArray[np.float64]
STEP = {Kind.PEDESTRIAN: 1.45, Kind.CYCLIST: 4.6, Kind.CAR: 2.0, Kind.WHEELCHAIR: 1.9}  # metres a turn of limbs
_BAY, _PAVEMENT, _GAP, _RIDE, _RAMP = 6.6, 8.0, 21.0, 24.0, 15.0  # metres between places made for an object
_BEHIND = 25.0  # metres behind the start where places begin


@dataclass(frozen=True)
class Path:
    """One object: its kind, where it is in each frame, and the seed of its looks."""

    kind: Kind
    s: Floats  # (T,) metres along the road
    lateral: Floats  # (T,) metres to the right of the centre line
    turn: float  # heading relative to the road's, radians
    looks: int
    leads: bool = False  # the car in front of ours

    @property
    def travelled(self) -> Floats:
        """(T,) metres since the first frame, for the phase of legs and wheels."""
        moved = np.hypot(np.diff(self.s, prepend=self.s[0]), np.diff(self.lateral, prepend=self.lateral[0]))
        return np.cumsum(moved)

    @property
    def speed(self) -> Floats:
        """(T,) metres a second."""
        if len(self.s) < 2:
            return np.zeros(len(self.s))
        return np.hypot(np.gradient(self.s), np.gradient(self.lateral)) * FPS


def follows(scene: Drive, rng: np.random.Generator) -> bool:
    """Whether a car drives in front of ours."""
    return bool(rng.random() < scene.spawn.of(Kind.CAR, scene.area))


def make_paths(scene: Drive, ego: Ego, *, following: bool, rng: np.random.Generator) -> list[Path]:
    """All objects of a drive, in an order that does not change; nobody walks through a vehicle."""
    layout = LAYOUTS[scene.area]
    maker = _Maker(scene, layout, ego, rng)
    if scene.area is Area.HIGHWAY:
        return [*maker.lead(following), *maker.lanes(), *maker.oncoming()]
    vehicles = [*maker.lead(following), *maker.oncoming(), *maker.cyclists()]
    walkers = list(maker.crossing())
    stays = [maker.ours(), *(path for path in vehicles if path.leads)]
    walkers = [walker for walker in walkers if not any(_meet(walker, path) for path in stays)]
    vehicles = [*vehicles, *maker.parked()]
    vehicles = [path for path in vehicles if path.leads or not any(_meet(walker, path) for walker in walkers)]
    return [*vehicles, *walkers, *maker.side_streets(), *maker.pavement()]


def _meet(walker: Path, vehicle: Path) -> bool:
    near = (np.abs(walker.s - vehicle.s) < 4.2) & (np.abs(walker.lateral - vehicle.lateral) < 1.7)
    return bool(near.any())


@dataclass(frozen=True)
class _Maker:
    scene: Drive
    layout: Layout
    ego: Ego
    rng: np.random.Generator

    @property
    def _seconds(self) -> Floats:
        return np.arange(self.scene.frames) / FPS

    @property
    def _end(self) -> float:
        return float(self.ego.s[-1]) + self.layout.range

    def _taken(self, kind: Kind, start: float, end: float, pitch: float) -> Iterator[float]:
        """Places made for a kind, `pitch` metres apart, that are taken."""
        chance = self.scene.spawn.of(kind, self.scene.area)
        places = np.arange(start, end, pitch)
        for place, drawn, shift in zip(places, self.rng.random(len(places)), self.rng.random(len(places)), strict=True):
            if drawn < chance:
                yield float(place + (shift - 0.5) * 0.3 * pitch)

    def _path(
        self, kind: Kind, s: Floats | float, lateral: Floats | float, turn: float, *, leads: bool = False
    ) -> Path:
        frames = self.scene.frames
        full = [np.broadcast_to(np.asarray(values, dtype=np.float64), (frames,)).copy() for values in (s, lateral)]
        return Path(kind, full[0], full[1], turn, int(self.rng.integers(2**31)), leads)

    def ours(self) -> Path:
        """The camera's own car, which nobody sees."""
        return Path(Kind.CAR, self.ego.s, np.full(self.scene.frames, self.layout.own), 0.0, 0)

    def lead(self, following: bool) -> Iterator[Path]:
        """The car in front keeps a gap that grows with our speed, and never rolls back."""
        if following:
            headway = self.rng.uniform(0.9, 1.6)
            gap = 8.0 + headway * self.ego.speed + 1.2 * np.sin(0.3 * self._seconds + self.rng.uniform(0, 6))
            yield self._path(Kind.CAR, np.maximum.accumulate(self.ego.s + gap), self.layout.own, 0.0, leads=True)

    def lanes(self) -> Iterator[Path]:
        """A highway's other lanes in our direction: the left one is faster, the right one slower."""
        mean = float(self.ego.speed.mean())
        for lane in self.layout.lanes:
            if lane == self.layout.own:
                yield from self._far_ahead(lane)
                continue
            speed = mean * (self.rng.uniform(1.08, 1.2) if lane < self.layout.own else self.rng.uniform(0.78, 0.9))
            relative = (speed - mean) * self._seconds[-1]
            start, end = -60.0 - max(relative, 0.0), self.layout.range - min(relative, 0.0)
            for place in self._taken(Kind.CAR, start, end, 2.0 * _GAP):
                yield self._path(Kind.CAR, place + speed * self._seconds, lane + self.rng.uniform(-0.2, 0.2), 0.0)

    def _far_ahead(self, lane: float) -> Iterator[Path]:
        """Cars of our own lane beyond the one in front, at our pace."""
        for place in self._taken(Kind.CAR, 95.0, self.layout.range, 1.7 * _GAP):
            yield self._path(Kind.CAR, self.ego.s + place, lane + self.rng.uniform(-0.2, 0.2), 0.0)

    def oncoming(self) -> Iterator[Path]:
        """Each lane of the other direction drives at one speed, so that nobody runs into anybody."""
        for lane in self.layout.oncoming:
            speed = self.rng.uniform(*self.layout.speed)
            end = self._end + speed * self._seconds[-1]
            pitch = _GAP if self.layout.block else 2.2 * _GAP
            for place in self._taken(Kind.CAR, 12.0, end, pitch):
                lateral = lane + self.rng.uniform(-0.15, 0.15)
                yield self._path(Kind.CAR, place - speed * self._seconds, lateral, math.pi)

    def parked(self) -> Iterator[Path]:
        """Parking lanes in the city, drives before the houses in town; never on a crossing."""
        for lateral in self.layout.parking:
            for place in self._taken(Kind.CAR, -_BEHIND, self._end, _BAY):
                if self._to_crossing(place) > 11.0:
                    turn = 0.0 if lateral > 0 else math.pi
                    yield self._path(Kind.CAR, place, lateral + self.rng.uniform(-0.12, 0.12), turn)
        if not self.layout.parking:
            for side in (-1, 1):
                for place in self._taken(Kind.CAR, -_BEHIND + 6.5, self._end, 0.5 * self.layout.block / 2):
                    if self._to_crossing(place) > 9.0:
                        turn = side * math.pi / 2 * self.rng.choice([-1, 1])
                        yield self._path(Kind.CAR, place, side * self.rng.uniform(9.6, 10.2), turn)

    def side_streets(self) -> Iterator[Path]:
        """Cars that wait in a side street for the road to be free."""
        for side in (-1, 1):
            for place in self._taken(Kind.CAR, self.layout.block, self._end, self.layout.block):
                crossing = round(place / self.layout.block) * self.layout.block
                lateral = side * (self.layout.walk[1] + self.rng.uniform(3.0, 6.0))
                yield self._path(Kind.CAR, crossing + side * 2.4, lateral, -side * math.pi / 2)

    def cyclists(self) -> Iterator[Path]:
        """Both directions, at the right edge of their lanes."""
        for side in (-1, 1):
            speed = side * self.rng.uniform(3.6, 5.6)
            reach = speed * self._seconds[-1]
            start, end = 7.0 - max(reach, 0.0), self._end - min(reach, 0.0)
            for place in self._taken(Kind.CYCLIST, start, end, _RIDE):
                lateral = side * (self.layout.cycle + self.rng.uniform(-0.2, 0.2))
                yield self._path(Kind.CYCLIST, place + speed * self._seconds, lateral, 0.0 if side > 0 else math.pi)

    def pavement(self) -> Iterator[Path]:
        """People who walk along the road or stand there, and wheelchair users."""
        for kind, pitch, speeds in (
            (Kind.PEDESTRIAN, _PAVEMENT, (0.9, 1.6)),
            (Kind.WHEELCHAIR, _RAMP, (0.5, 1.2)),
        ):
            for side in (-1, 1):
                for place in self._taken(kind, -_BEHIND, self._end + 20.0, pitch):
                    yield self._along(kind, side, place, self.rng.uniform(*speeds))

    def _along(self, kind: Kind, side: int, place: float, speed: float) -> Path:
        low, high = self.layout.walk
        lateral = side * self.rng.uniform(low + 0.4, high - 0.4)
        if self.rng.random() < 0.25:
            return self._path(kind, place, lateral, self.rng.uniform(0, 2 * math.pi))
        way = self.rng.choice([-1, 1])
        return self._path(kind, place + way * speed * self._seconds, lateral, 0.0 if way > 0 else math.pi)

    def crossing(self) -> Iterator[Path]:
        """People who cross: on the stripes while we stand, and elsewhere well before we come."""
        for kind, speeds, pitch in ((Kind.PEDESTRIAN, (1.1, 1.7), 17.0), (Kind.WHEELCHAIR, (0.9, 1.3), 60.0)):
            for where, since, _ in self.ego.stops:
                for shift in self._taken(kind, -1.3, 1.4, 0.9):
                    yield self._across(kind, where + shift, since + int(self.rng.uniform(-60, 15)), speeds)
            for place in self._taken(kind, 25.0, float(self.ego.s[-1]) + 40.0, pitch):
                speed = self.rng.uniform(*speeds)
                arrival = int(np.searchsorted(self.ego.s, place - 9.0))
                needs = int(FPS * 2 * self.layout.walk[0] / speed)
                start = arrival - needs - int(self.rng.uniform(0.3, 4.0) * FPS)
                yield self._across(kind, place, start, (speed, speed))

    def _across(self, kind: Kind, place: float, start: int, speeds: tuple[float, float]) -> Path:
        """Waits at the kerb, crosses from frame `start` on, and stays on the other side."""
        speed = self.rng.uniform(*speeds)
        side = float(self.rng.choice([-1, 1]))
        reach = self.layout.walk[0] + self.rng.uniform(0.5, 1.6)
        moved = np.clip((np.arange(self.scene.frames) - start) / FPS * speed, 0.0, 2 * reach)
        return self._path(kind, place, side * (reach - moved), -side * math.pi / 2)

    def _to_crossing(self, place: float) -> float:
        if not self.layout.block:
            return math.inf
        return abs(place - round(place / self.layout.block) * self.layout.block)


def behind_the_barrier(path: Path, area: Area) -> bool:
    """Whether a highway's central barrier stands between the camera and an object."""
    return area is Area.HIGHWAY and float(path.lateral[0]) < MEDIAN
