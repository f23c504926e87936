"""Paints a moment far to near, so that what is nearer hides what is farther, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.actors import Actor
from simulation.road_scenes.camera import Camera
from simulation.road_scenes.canvas import SCENERY, Canvas
from simulation.road_scenes.fixed import Fixed, View, look, paint_faces
from simulation.road_scenes.ground import Ground
from simulation.road_scenes.houses import House, draw_house
from simulation.road_scenes.light import Light
from simulation.road_scenes.lights import Glow, lamp_glows
from simulation.road_scenes.mesh import draw_mesh
from simulation.road_scenes.plants import Lamp, Tree, draw_lamp, draw_tree
from simulation.road_scenes.road import MEDIAN
from simulation.road_scenes.scenery import Standing
from simulation.road_scenes.shadows import Shadows, Solid
from simulation.road_scenes.table import Area, Condition
from simulation.road_scenes.truth import Extent, extent

PLAIN = 38.0  # metres from which standing things are drawn without details
_SHADOWS = 55.0  # metres up to which shadows are drawn
_REACH = 2.7  # metres around an object's middle that hold it


@dataclass(frozen=True)
class Moment:
    """What stands where in a frame. chosen: (K,) numbers of the objects in reach, whose slots are 1 to K; places: their
    x, z, heading; ahead: (K,) metres along the road; standing: scenery in reach."""

    frame: int
    s: float
    camera: Camera
    chosen: NDArray[np.intp]
    places: list[tuple[float, float, float]]
    ahead: list[float]
    standing: list[Standing]


@dataclass
class Painted:
    """shown: slots of what is in the picture; drawn: for those that may matter, how many pixels they had when just
    painted, and their box; glows: street lamps that burn."""

    shown: list[int] = field(default_factory=list)
    drawn: dict[int, tuple[int, Extent]] = field(default_factory=dict)
    glows: list[Glow] = field(default_factory=list)


@dataclass(frozen=True)
class Painter:
    """Paints on one canvas; beyond: (objects,) those behind a highway's central barrier; visible:
    what shows no more pixels is not measured."""

    canvas: Canvas
    light: Light
    area: Area
    condition: Condition
    ground: Ground
    shadows: Shadows
    actors: Sequence[Actor]
    beyond: NDArray[np.bool_]
    visible: int

    def paint(self, moment: Moment) -> Painted:
        """Shadows, then everything that stands, over the ground that is there already."""
        self.shadows.cast(self.canvas, moment.camera, self.light, self._solids(moment))
        painted = Painted()
        standing = [each for each in moment.standing if moment.camera.sees(*each.at[:2], each.radius)]
        things = [each.near if each.s - moment.s < PLAIN else each.afar for each in standing]
        given = [(thing, each.at, each.radius) for thing, each in zip(things, standing, strict=True)]
        views = look(given, moment.camera, self.light)
        barred = self.area is Area.HIGHWAY
        for layer in (True, False) if barred else (False,):
            for index in self._order(moment, standing, layer):
                if index > 0:
                    self._actor(moment, index, painted)
                else:
                    self._standing(standing[-index], things[-index], views[-index], moment.camera, painted)
            if layer:
                for lateral in (MEDIAN, self.ground.layout.edge + 0.7):
                    self.ground.barrier(self.canvas, moment.camera, self.light, moment.s, lateral)
        return painted

    def _order(self, moment: Moment, standing: list[Standing], layer: bool) -> list[int]:
        """Far to near: slots of objects, and scenery as 0, -1, ...; layer: beyond the barrier or not."""
        barred = self.area is Area.HIGHWAY
        entries = [
            (-ahead, slot)
            for slot, (ahead, actor) in enumerate(zip(moment.ahead, moment.chosen, strict=True), 1)
            if self.beyond[actor] == layer
        ]
        entries += [
            (moment.s - stands.far, -k)
            for k, stands in enumerate(standing)
            if (barred and stands.lateral < MEDIAN) == layer
        ]
        return [index for _, index in sorted(entries)]

    def _actor(self, moment: Moment, slot: int, painted: Painted) -> None:
        at, ahead = moment.places[slot - 1], moment.ahead[slot - 1]
        if not moment.camera.sees(at[0], at[1], _REACH):
            return
        actor = self.actors[moment.chosen[slot - 1]]
        box = actor.draw(self.canvas, moment.camera, self.light, at, moment.frame, ahead, slot)
        if box is not None:
            painted.shown.append(slot)
            step = self.canvas.oversampling
            around = (box[0] // step, box[1] // step, -(-box[2] // step), -(-box[3] // step))
            if (around[2] - around[0]) * (around[3] - around[1]) > self.visible:
                painted.drawn[slot] = extent(self.canvas.slots, slot, around)

    def _standing(self, stands: Standing, thing: Fixed, view: View, camera: Camera, painted: Painted) -> None:
        canvas, what = self.canvas, stands.thing
        if isinstance(what, Tree):
            draw_tree(canvas, what, view, self.condition)
        elif isinstance(what, Lamp):
            bulb = draw_lamp(canvas, view, night=self.light.night)
            if bulb is not None:
                painted.glows += lamp_glows(what, bulb, camera, canvas.oversampling)
        elif not view.whole:  # what is beside the camera is cut, and its windows are out of the picture
            mesh = what.mesh if isinstance(what, House) else what
            draw_mesh(canvas, camera, self.light, mesh, stands.at, SCENERY, plain=False)
        elif isinstance(what, House):
            draw_house(canvas, what, thing, view, near=thing is stands.near)
        else:
            paint_faces(canvas, thing, view)

    def _solids(self, moment: Moment) -> list[Solid]:
        """What casts a shadow: objects, and where the sun shines trees and houses."""
        solids: list[Solid] = []
        for number, ahead, (x, z, heading) in zip(moment.chosen, moment.ahead, moment.places, strict=True):
            if ahead < _SHADOWS:
                width, height, length = self.actors[number].size
                solids.append((x, z, heading, 0.92 * width, height, 0.96 * length))
        if self.light.sun is not None:
            for stands in moment.standing:
                if stands.s - moment.s < _SHADOWS and isinstance(stands.thing, House | Tree):
                    solids.append(_solid(stands, stands.thing))
        return solids


def _solid(stands: Standing, thing: House | Tree) -> Solid:
    x, z, heading = stands.at
    if isinstance(thing, Tree):
        return x, z, heading, 0.3 * thing.height, 0.95 * thing.height, 0.3 * thing.height
    low, high = thing.low, thing.high
    middle = (low[0] + high[0]) / 2
    x, z = x + middle * math.cos(heading), z - middle * math.sin(heading)
    return x, z, heading, high[0] - low[0], high[1], high[2] - low[2]
