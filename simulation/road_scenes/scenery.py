"""What stands beside the road: houses, trees, lamps, signs, hedges, barriers; made once for a drive."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from simulation.road_scenes.camera import Points
from simulation.road_scenes.houses import House, make_block, make_house
from simulation.road_scenes.light import Colour, bgr
from simulation.road_scenes.mesh import Face, Mesh, make_mesh
from simulation.road_scenes.road import LAYOUTS, SIDE_STREET, Layout, Road
from simulation.road_scenes.table import Area

_SIGNS = {Area.CITY: bgr("#2457a8"), Area.TOWN: bgr("#c03030"), Area.HIGHWAY: bgr("#1f5fa8")}
_POLE = bgr("#7d8288")


@dataclass(frozen=True)
class Tree:
    """height: metres; crown: (6, 4) discs as right, up, ahead, radius relative to the foot; shades: leaf per disc."""

    height: float
    crown: Points
    shades: tuple[int, ...]


@dataclass(frozen=True)
class Lamp:
    """A street lamp: its arm reaches `arm` metres to the left (to the right if negative)."""

    height: float
    arm: float


@dataclass(frozen=True)
class Standing:
    """A thing at (lateral, s); far: the end away from the camera, by which things are painted far to near."""

    thing: Tree | Lamp | House | Mesh
    lateral: float
    s: float
    far: float
    radius: float = 1.0  # metres around its foot that hold it
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)  # x, z, heading in the world


@dataclass(frozen=True)
class Scenery:
    """things: by rising `far`; ends: their `far` as an array, to find those in view."""

    things: list[Standing]
    ends: Points = field(repr=False)

    def between(self, start: float, end: float) -> list[Standing]:
        low, high = np.searchsorted(self.ends, [start, end])
        return self.things[low:high]


def make_scenery(area: Area, road: Road, end: float, *, night: bool, rng: np.random.Generator) -> Scenery:
    """Everything from behind the start to `end` metres."""
    layout = LAYOUTS[area]
    makers = {Area.CITY: _city, Area.TOWN: _town, Area.HIGHWAY: _highway}
    found = sorted(makers[area](layout, end, night, rng), key=lambda standing: standing.far)
    places, lateral = np.array([stands.s for stands in found]), np.array([stands.lateral for stands in found])
    x, z = road.world(lateral, places)
    at = zip(x.tolist(), z.tolist(), road.heading(places).tolist(), strict=True)
    things = [replace(stands, at=where, radius=_radius(stands.thing)) for stands, where in zip(found, at, strict=True)]
    return Scenery(things, np.array([standing.far for standing in things]))


def _radius(thing: Tree | Lamp | House | Mesh) -> float:
    if isinstance(thing, Tree):
        return 0.5 * thing.height
    if isinstance(thing, Lamp):
        return abs(thing.arm) + 0.5
    mesh = thing.mesh if isinstance(thing, House) else thing
    return float(np.hypot(mesh.vertices[:, 0], mesh.vertices[:, 2]).max())


def _city(layout: Layout, end: float, night: bool, rng: np.random.Generator) -> Iterator[Standing]:
    for side in (-1, 1):
        for start, stop in _blocks(layout, end, SIDE_STREET + 1.5):
            s = start
            while stop - s > 7.0:
                width = min(float(rng.uniform(9, 17)), stop - s)
                width = stop - s if stop - s - width < 7.0 else width
                block = make_block(width, int(rng.integers(3, 8)), side, night=night, rng=rng)
                yield Standing(block, side * layout.front, s + width / 2, s + width)
                s += width
            yield from _row(Lamp(7.0, side * 1.8), side * (layout.edge + 0.5), start + 4, stop, 27.0)
            for s in np.arange(start + 9, stop - 3, 13.0):
                if rng.random() < 0.55:
                    yield _point(_tree(rng.uniform(4.5, 6.5), rng), side * (layout.edge + 0.7), float(s))
            yield _point(_sign(area=Area.CITY), side * (layout.edge + 0.45), start - 1.0)
    yield from _end_of_street(layout, end, night, rng)


def _end_of_street(layout: Layout, end: float, night: bool, rng: np.random.Generator) -> Iterator[Standing]:
    """Houses down the side streets, so that one looks at walls there and not at the horizon."""
    for crossing in np.arange(layout.block, end, layout.block):
        for side in (-1, 1):
            block = make_block(15.0, int(rng.integers(3, 6)), side, night=night, rng=rng)
            yield Standing(block, side * (layout.front + 48.0), float(crossing), float(crossing) + 8.0)


def _town(layout: Layout, end: float, night: bool, rng: np.random.Generator) -> Iterator[Standing]:
    for side in (-1, 1):
        for start, stop in _blocks(layout, end, SIDE_STREET + 2.0):
            for s in np.arange(start + 7.0, stop - 4.0, 15.5):
                house = make_house(float(rng.uniform(8.5, 11)), side, night=night, rng=rng)
                lateral = side * (layout.front + rng.uniform(0.0, 2.5))
                yield Standing(house, lateral, float(s), float(s) + 5.5)
                yield from _garden(layout, side, float(s), rng)
            yield from _row(Lamp(5.5, side * 1.0), side * (layout.walk[0] - 0.6), start + 2, stop, 31.0)
            for s in np.arange(start + 5, stop, 11.0):
                if rng.random() < 0.6:
                    yield _point(
                        _tree(rng.uniform(5, 8), rng), side * (layout.edge + 0.7), float(s + rng.uniform(-2, 2))
                    )
                if rng.random() < 0.5:
                    yield _point(_tree(rng.uniform(6, 10), rng), side * rng.uniform(24, 40), float(s))
            yield _point(_sign(area=Area.TOWN), side * (layout.edge + 0.5), start - 2.0)


def _garden(layout: Layout, side: int, s: float, rng: np.random.Generator) -> Iterator[Standing]:
    """A hedge or a fence along the pavement, with a gap for the drive."""
    lateral = side * (layout.walk[1] + 0.5)
    kind = rng.random()
    if kind < 0.8:
        colour, height = (bgr("#4c7a38"), 1.1) if kind < 0.5 else (bgr("#d8d2c4"), 0.85)
        mesh = _long_box(0.5 if kind < 0.5 else 0.08, height, 9.4, colour)
        yield Standing(mesh, lateral, s + 0.2, s + 4.9)


def _highway(layout: Layout, end: float, _night: bool, rng: np.random.Generator) -> Iterator[Standing]:
    for side in (-1, 1):
        lateral = layout.edge if side > 0 else layout.edge + 4.0
        for s in np.arange(-20.0, end, 7.0):
            if rng.random() < 0.5:
                away = rng.uniform(5, 45)
                tree = _tree(rng.uniform(5, 12), rng)
                yield _point(tree, side * (lateral + away), float(s + rng.uniform(-3, 3)))
    for s in np.arange(60.0 + rng.uniform(0, 150), end, 320.0):
        yield _point(_gantry(layout), layout.own, float(s))
    for s in np.arange(20.0, end, 50.0):
        yield _point(_sign(area=Area.HIGHWAY, height=1.1, size=0.22), layout.edge + 1.2, float(s))


def _blocks(layout: Layout, end: float, margin: float) -> Iterator[tuple[float, float]]:
    for k in range(-1, math.ceil(end / layout.block) + 1):
        yield k * layout.block + margin, (k + 1) * layout.block - margin


def _row(thing: Lamp, lateral: float, start: float, stop: float, pitch: float) -> Iterator[Standing]:
    for s in np.arange(start, stop, pitch):
        yield _point(thing, lateral, float(s))


def _point(thing: Tree | Lamp | Mesh, lateral: float, s: float) -> Standing:
    return Standing(thing, float(lateral), s, s)


def _tree(height: float, rng: np.random.Generator) -> Tree:
    radius = 0.26 * height
    angles = rng.uniform(0, 2 * math.pi) + np.arange(6) * 2.4
    crown = np.column_stack(
        [
            0.55 * radius * np.cos(angles),
            height * np.array([0.55, 0.62, 0.7, 0.74, 0.8, 0.88]),
            0.4 * radius * np.sin(angles),
            radius * rng.uniform(0.6, 0.85, 6),
        ]
    )
    return Tree(height, crown, tuple(int(n) for n in rng.integers(0, 12, 6)))


def _sign(area: Area, height: float = 2.4, size: float = 0.34) -> Mesh:
    """A pole with a board that both directions see."""
    pole = [_board(-0.04, 0.04, 0.0, height, 0.0, _POLE, end) for end in (-1, 1)]
    angles = np.arange(12) * (2 * math.pi / 12)
    disc = np.column_stack([size * np.cos(angles), height + size * np.sin(angles), np.full(12, -0.02)])
    inner = (disc - [0, height, 0]) * [0.62, 0.62, 1.0] + [0, height, -0.01]
    front = [
        Face(disc, _SIGNS[area], 0.25, outward=(0, 0, -1)),
        Face(inner, bgr("#f0f0f0"), 0.25, detail=True, outward=(0, 0, -1)),
    ]
    back = Face(disc * [1, 1, -1], bgr("#9a9ea2"), outward=(0, 0, 1))
    return make_mesh([*pole, *front, back])


def _gantry(layout: Layout) -> Mesh:
    """A bridge of signs over our carriageway; its frame is centred on the camera's lane."""
    left, right = -layout.own - 0.3, layout.edge + 1.0 - layout.own
    faces = [_board(x - 0.2, x + 0.2, 0.0, 7.2, 0.0, _POLE, -1) for x in (left, right)]
    faces.append(_board(left, right, 6.4, 6.8, 0.05, bgr("#6d7277"), -1))
    for lane in layout.lanes:
        x = lane - layout.own
        faces.append(_board(x - 1.55, x + 1.55, 5.2, 7.6, -0.1, _SIGNS[Area.HIGHWAY], -1, glows=0.3))
        for up, half in ((7.0, 1.2), (6.5, 0.8), (5.8, 0.25)):
            faces.append(_board(x - half, x + half, up, up + 0.22, -0.12, bgr("#f2f2f2"), -1, glows=0.3))
    return make_mesh(faces)


def _board(x0: float, x1: float, y0: float, y1: float, z: float, colour: Colour, end: int, glows: float = 0.0) -> Face:
    points = np.array([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)])
    return Face(points, colour, glows, outward=(0.0, 0.0, float(end)))


def _long_box(width: float, height: float, length: float, colour: Colour) -> Mesh:
    """A box along the road, its foot at the origin's middle."""
    x, z = width / 2, length / 2
    top = np.array([(-x, height, -z), (x, height, -z), (x, height, z), (-x, height, z)])
    faces = [Face(top, colour, outward=(0, 1, 0))]
    for side in (-1.0, 1.0):
        wall = np.array([(side * x, 0, -z), (side * x, 0, z), (side * x, height, z), (side * x, height, -z)])
        faces.append(Face(wall, colour, outward=(side, 0, 0)))
    end = np.array([(-x, 0, -z), (x, 0, -z), (x, height, -z), (-x, height, -z)])
    return make_mesh([*faces, Face(end, colour, outward=(0, 0, -1))])
