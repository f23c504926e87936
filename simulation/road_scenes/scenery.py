"""What stands beside the road, placed in the world and lit once for a drive."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from simulation.road_scenes.camera import Points
from simulation.road_scenes.fixed import Fixed
from simulation.road_scenes.houses import House, fix_house
from simulation.road_scenes.light import Light
from simulation.road_scenes.mesh import Mesh, fix_mesh
from simulation.road_scenes.plants import Lamp, Tree, fix_lamp, fix_tree
from simulation.road_scenes.plots import Plot, make_plots
from simulation.road_scenes.road import Road
from simulation.road_scenes.table import Area


@dataclass(frozen=True)
class Standing:
    """A thing placed in the world: at x, z, heading; near, afar: what is drawn of it; radius: holds it, metres around
    its foot."""

    thing: Tree | Lamp | House | Mesh
    lateral: float
    s: float
    far: float
    at: tuple[float, float, float]
    near: Fixed
    afar: Fixed
    radius: float


@dataclass(frozen=True)
class Scenery:
    """things: by rising `far`; ends: their `far` as an array, to find those in view."""

    things: list[Standing]
    ends: Points = field(repr=False)

    def between(self, start: float, end: float) -> list[Standing]:
        low, high = np.searchsorted(self.ends, [start, end])
        return self.things[low:high]


def make_scenery(area: Area, road: Road, end: float, light: Light, *, snow: bool, rng: np.random.Generator) -> Scenery:
    """Everything from behind the start to `end` metres."""
    plots = make_plots(area, end, night=light.night, rng=rng)
    along, lateral = np.array([plot.s for plot in plots]), np.array([plot.lateral for plot in plots])
    x, z = road.world(lateral, along)
    places = zip(x.tolist(), z.tolist(), road.heading(along).tolist(), strict=True)
    things = [_standing(plot, at, light, snow) for plot, at in zip(plots, places, strict=True)]
    return Scenery(things, np.array([plot.far for plot in plots]))


def _standing(plot: Plot, at: tuple[float, float, float], light: Light, snow: bool) -> Standing:
    thing = plot.thing
    if isinstance(thing, Tree):
        near = afar = fix_tree(thing, at, light)
    elif isinstance(thing, Lamp):
        near = afar = fix_lamp(thing, at, light)
    elif isinstance(thing, House):
        near, afar = (fix_house(thing, at, light, snow=snow, near=each) for each in (True, False))
    else:
        near, afar = (fix_mesh(thing, at, light, plain=each) for each in (False, True))
    return Standing(thing, plot.lateral, plot.s, plot.far, at, near, afar, _radius(thing))


def _radius(thing: Tree | Lamp | House | Mesh) -> float:
    if isinstance(thing, Tree):
        return 0.5 * thing.height
    if isinstance(thing, Lamp):
        return abs(thing.arm) + 0.5
    return thing.mesh.radius if isinstance(thing, House) else thing.radius
