"""The ground: verges, pavements, asphalt, kerbs, markings, crossings, side streets, barriers and their shadows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from simulation.road_scenes.camera import EYE, Camera, Points
from simulation.road_scenes.canvas import GROUND, SCENERY, Canvas, Paint, whole
from simulation.road_scenes.light import Colour, Light
from simulation.road_scenes.road import LAYOUTS, MEDIAN, SIDE_STREET, Layout, Road
from simulation.road_scenes.table import Area

NEAREST = 1.6  # metres ahead where the ground begins to be drawn; nearer ground is below the picture
_STEPS: Points = np.geomspace(1.6, 162.0, 16)  # metres ahead, at which curved edges have corners


Strip = tuple[float, float, str]  # metres right of the centre line where it begins and ends, and its colour


@dataclass(frozen=True)
class Ground:
    """What is painted on the ground of a drive. patches: (n, 4) as start, length, left, right; strips: in painting
    order, the widest first; dashes: line, length, from one to the next, half width; stripes: of a crossing at 0."""

    area: Area
    layout: Layout
    road: Road
    patches: Points
    strips: tuple[Strip, ...]
    dashes: tuple[tuple[float, float, float, float], ...]
    stripes: Points

    def draw(self, canvas: Canvas, camera: Camera, light: Light, s: float) -> None:
        """Everything flat, from the camera's place s on."""
        colours = {name: _paint(light, colour) for name, colour in light.ground.items()}
        canvas.fill(max(0, min(canvas.height, math.floor(camera.horizon))), colours["far"])
        outlines = self._outlines(camera, s, self.strips)
        canvas.polygons([outlines[0]], colours[self.strips[0][2]])
        if self.layout.block:
            width = 2 * SIDE_STREET
            streets = [(crossing - SIDE_STREET, width, -75.0, 75.0) for crossing in self._crossings(s, 130.0)]
            canvas.quads(self._quads(camera, np.array(streets).reshape(-1, 4)), colours["asphalt"])
        for outline, (_, _, colour) in zip(outlines[1:], self.strips[1:], strict=True):
            canvas.polygons([outline], colours[colour])
        start, end = np.searchsorted(self.patches[:, 0], [s + NEAREST, s + 45.0])
        canvas.quads(self._quads(camera, self.patches[start:end]), colours["patch"])
        canvas.polygons(self._quads(camera, self._marks(s)), colours["mark"])

    def _outlines(self, camera: Camera, s: float, strips: Sequence[Strip]) -> Points:
        """Pixels (n, 2 k, 2) of the ground between pairs of lines along the road."""
        along = s + _STEPS
        edges = np.array([(left, right) for left, right, _ in strips]).T[:, :, None]
        x, z = self.road.world(edges + np.zeros(len(along)), np.broadcast_to(along, (2, len(strips), len(along))))
        lines = camera.ground(x, z)
        return np.concatenate([lines[0], lines[1, :, ::-1]], axis=1)

    def _crossings(self, s: float, reach: float) -> list[float]:
        block = self.layout.block
        return [k * block for k in range(math.ceil((s + NEAREST - 6) / block), math.floor((s + reach) / block) + 1)]

    def _marks(self, s: float) -> Points:
        """Dashes, stripes of crossings and stop lines as (n, 4): start, length, left, right."""
        found = [np.empty((0, 4))]
        for line, length, pitch, half in self.dashes:
            starts = np.arange(math.floor(s / pitch) + 1, math.floor((s + 75.0) / pitch) + 1) * pitch
            if self.layout.block:  # none on a crossing
                middles = (starts + length / 2) / self.layout.block
                starts = starts[np.abs(middles - np.rint(middles)) * self.layout.block > 5.0]
            row = np.empty((len(starts), 4))
            row[:, 0], row[:, 1:] = starts, (length, line - half, line + half)
            found.append(row)
        for crossing in self._crossings(s, 60.0) if self.layout.block else ():
            found.append(self.stripes + np.array([crossing, 0.0, 0.0, 0.0]))
        return np.concatenate(found)

    def _quads(self, camera: Camera, shapes: Points) -> Points:
        """Pixels (n, 4, 2) of oblongs (n, 4) given as start, length, left and right."""
        start, length, left, right = shapes.T
        along = np.stack([start, start, start + length, start + length], axis=1)
        x, z = self.road.world(np.stack([left, right, right, left], axis=1), along)
        return camera.ground(x, z)

    def barrier(self, canvas: Canvas, camera: Camera, light: Light, s: float, lateral: float) -> None:
        """A guard rail along a highway: posts, a bright band and a dark one below."""
        along = s + _STEPS
        x, z = self.road.world(np.full(len(along), lateral), along)
        low = camera.ground(x, z)
        ahead = (low[:, 1] - camera.horizon) / EYE  # pixels a metre at each corner
        for bottom, top, shade in ((0.5, 0.8, 0.92), (0.3, 0.5, 0.62)):
            band = np.concatenate([_raised(low, ahead, bottom), _raised(low, ahead, top)[::-1]])
            canvas.polygons([band], _paint(light, (190.0 * shade, 186.0 * shade, 182.0 * shade), SCENERY))
        posts: Points = 4.0 * np.arange(math.ceil((s + 3.0) / 4.0), math.floor((s + 60.0) / 4.0), dtype=np.float64)
        x, z = self.road.world(np.full(len(posts), lateral), posts)
        feet = camera.ground(x, z)
        scale = (feet[:, 1] - camera.horizon) / EYE
        for foot, metre in zip(feet, scale, strict=True):
            top = foot - [0, 0.5 * metre]
            cv2.line(
                canvas.pixels,
                whole(foot).tolist(),
                whole(top).tolist(),
                _paint(light, (110.0, 108.0, 105.0), SCENERY),
                max(1, round(0.09 * metre)),
            )


def _raised(feet: Points, metre: Points, height: float) -> Points:
    return np.column_stack([feet[:, 0], feet[:, 1] - height * metre])


def _paint(light: Light, colour: Colour, slot: int = GROUND) -> Paint:
    share = 0.45 if light.night and slot == SCENERY else 1.0  # the ground is darkened later, pixel by pixel
    blue, green, red = (channel * tint * share for channel, tint in zip(colour, light.tint, strict=True))
    return blue, green, red, slot


def _strips(area: Area, layout: Layout) -> tuple[Strip, ...]:
    edge = layout.edge
    if area is Area.HIGHWAY:
        lines = [(line - 0.09, line + 0.09, "mark") for line in (MEDIAN + 0.9, 11.2, MEDIAN - 0.9, -14.9)]
        road = [(-edge - 4.0, edge, "asphalt"), (MEDIAN - 0.4, MEDIAN + 0.4, "kerb")]
        return ((-60.0, 60.0, "grass"), *road, *lines)
    road = [(-edge - 0.3, edge + 0.3, "kerb"), (-edge, edge, "asphalt")]
    if area is Area.CITY:
        return ((-60.0, 60.0, "walk"), *road)
    low, high = layout.walk
    return ((-60.0, 60.0, "grass"), (-high, -low, "walk"), (low, high, "walk"), *road)


def _dashes(area: Area) -> tuple[tuple[float, float, float, float], ...]:
    if area is Area.HIGHWAY:
        return tuple((line, 6.0, 18.0, 0.08) for line in (3.75, 7.45, -7.45, -11.15))
    if area is Area.TOWN:
        return ((0.0, 3.0, 7.0, 0.07),)
    sides = [((side * 3.45, 1.0, 2.0, 0.06), (side * 4.85, 5.6, 6.6, 0.05)) for side in (-1, 1)]
    return ((0.0, 3.0, 7.0, 0.07), *sides[0], *sides[1])


def make_ground(area: Area, road: Road, end: float, rng: np.random.Generator) -> Ground:
    """Ground with repaired places in the asphalt, up to `end` metres."""
    layout = LAYOUTS[area]
    count = int(end / 7)
    places = np.sort(rng.uniform(0, end, count))
    low = -layout.edge + 1.2 if area is not Area.HIGHWAY else 0.5
    lateral = rng.uniform(low, layout.edge - 1.2, count)
    half = rng.uniform(0.25, 0.8, count)
    patches = np.column_stack([places, rng.uniform(0.8, 5.0, count), lateral - half, lateral + half])
    across = np.arange(-layout.edge + 0.6, layout.edge - 0.3, 1.0)
    stripes = [(-1.6, 3.2, left, left + 0.5) for left in across] + [(-4.0, 0.4, 0.15, 2 * layout.own)]
    return Ground(area, layout, road, patches, _strips(area, layout), _dashes(area), np.array(stripes))
