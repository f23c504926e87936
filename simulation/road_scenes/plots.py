"""What stands where beside the road, in each area: houses, trees, lamps, signs, hedges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simulation.road_scenes.boards import make_gantry, make_hedge, make_sign
from simulation.road_scenes.houses import House, make_block, make_house
from simulation.road_scenes.light import bgr
from simulation.road_scenes.mesh import Mesh
from simulation.road_scenes.plants import Lamp, Tree, make_tree
from simulation.road_scenes.road import LAYOUTS, SIDE_STREET, Layout
from simulation.road_scenes.table import Area


@dataclass(frozen=True)
class Plot:
    """A thing at (lateral, s); far: the end away from the camera, by which things are painted far to near."""

    thing: Tree | Lamp | House | Mesh
    lateral: float
    s: float
    far: float


def make_plots(area: Area, end: float, *, night: bool, rng: np.random.Generator) -> list[Plot]:
    """Everything from behind the start to `end` metres, by rising `far`."""
    makers = {Area.CITY: _city, Area.TOWN: _town, Area.HIGHWAY: _highway}
    return sorted(makers[area](LAYOUTS[area], end, night, rng), key=lambda plot: plot.far)


def _city(layout: Layout, end: float, night: bool, rng: np.random.Generator) -> Iterator[Plot]:
    for side in (-1, 1):
        for start, stop in _blocks(layout, end, SIDE_STREET + 1.5):
            s = start
            while stop - s > 7.0:
                width = min(float(rng.uniform(9, 17)), stop - s)
                width = stop - s if stop - s - width < 7.0 else width
                block = make_block(width, int(rng.integers(3, 8)), side, night=night, rng=rng)
                yield Plot(block, side * layout.front, s + width / 2, s + width)
                s += width
            yield from _row(Lamp(7.0, side * 1.8), side * (layout.edge + 0.5), start + 4, stop, 27.0)
            for s in np.arange(start + 9, stop - 3, 13.0):
                if rng.random() < 0.55:
                    yield _point(make_tree(rng.uniform(4.5, 6.5), rng), side * (layout.edge + 0.7), float(s))
            yield _point(make_sign(area=Area.CITY), side * (layout.edge + 0.45), start - 1.0)
    yield from _end_of_street(layout, end, night, rng)


def _end_of_street(layout: Layout, end: float, night: bool, rng: np.random.Generator) -> Iterator[Plot]:
    """Houses down the side streets, so that one looks at walls there and not at the horizon."""
    for crossing in np.arange(layout.block, end, layout.block):
        for side in (-1, 1):
            block = make_block(15.0, int(rng.integers(3, 6)), side, night=night, rng=rng)
            yield Plot(block, side * (layout.front + 48.0), float(crossing), float(crossing) + 8.0)


def _town(layout: Layout, end: float, night: bool, rng: np.random.Generator) -> Iterator[Plot]:
    for side in (-1, 1):
        for start, stop in _blocks(layout, end, SIDE_STREET + 2.0):
            for s in np.arange(start + 7.0, stop - 4.0, 15.5):
                house = make_house(float(rng.uniform(8.5, 11)), side, night=night, rng=rng)
                lateral = side * (layout.front + rng.uniform(0.0, 2.5))
                yield Plot(house, lateral, float(s), float(s) + 5.5)
                yield from _garden(layout, side, float(s), rng)
            yield from _row(Lamp(5.5, side * 1.0), side * (layout.walk[0] - 0.6), start + 2, stop, 31.0)
            for s in np.arange(start + 5, stop, 11.0):
                if rng.random() < 0.6:
                    yield _point(
                        make_tree(rng.uniform(5, 8), rng), side * (layout.edge + 0.7), float(s + rng.uniform(-2, 2))
                    )
                if rng.random() < 0.5:
                    yield _point(make_tree(rng.uniform(6, 10), rng), side * rng.uniform(24, 40), float(s))
            yield _point(make_sign(area=Area.TOWN), side * (layout.edge + 0.5), start - 2.0)


def _garden(layout: Layout, side: int, s: float, rng: np.random.Generator) -> Iterator[Plot]:
    """A hedge or a fence along the pavement, with a gap for the drive."""
    lateral = side * (layout.walk[1] + 0.5)
    kind = rng.random()
    if kind < 0.8:
        colour, height = (bgr("#4c7a38"), 1.1) if kind < 0.5 else (bgr("#d8d2c4"), 0.85)
        mesh = make_hedge(0.5 if kind < 0.5 else 0.08, height, 9.4, colour)
        yield Plot(mesh, lateral, s + 0.2, s + 4.9)


def _highway(layout: Layout, end: float, _night: bool, rng: np.random.Generator) -> Iterator[Plot]:
    for side in (-1, 1):
        lateral = layout.edge if side > 0 else layout.edge + 4.0
        for s in np.arange(-20.0, end, 7.0):
            if rng.random() < 0.5:
                away = rng.uniform(5, 45)
                tree = make_tree(rng.uniform(5, 12), rng)
                yield _point(tree, side * (lateral + away), float(s + rng.uniform(-3, 3)))
    for s in np.arange(60.0 + rng.uniform(0, 150), end, 320.0):
        yield _point(make_gantry(layout), layout.own, float(s))
    for s in np.arange(20.0, end, 50.0):
        yield _point(make_sign(area=Area.HIGHWAY, height=1.1, size=0.22), layout.edge + 1.2, float(s))


def _blocks(layout: Layout, end: float, margin: float) -> Iterator[tuple[float, float]]:
    for k in range(-1, math.ceil(end / layout.block) + 1):
        yield k * layout.block + margin, (k + 1) * layout.block - margin


def _row(thing: Lamp, lateral: float, start: float, stop: float, pitch: float) -> Iterator[Plot]:
    for s in np.arange(start, stop, pitch):
        yield _point(thing, lateral, float(s))


def _point(thing: Tree | Lamp | Mesh, lateral: float, s: float) -> Plot:
    return Plot(thing, float(lateral), s, s)
