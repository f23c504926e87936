"""Houses: a block of flats with rows of windows and a shop, or a house with a gable roof, a door and a chimney."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.camera import Points
from simulation.road_scenes.canvas import SCENERY, Canvas
from simulation.road_scenes.fixed import Fixed, View, fix, paint_faces
from simulation.road_scenes.light import Colour, Light, bgr
from simulation.road_scenes.mesh import Face, Mesh, fix_mesh, make_mesh

_WALLS = tuple(
    bgr(c)
    for c in ("#b9a48c", "#a8654a", "#c9bfae", "#8f9aa3", "#d3b98f",
              "#9a5a48", "#b4b8bb", "#c8a27a", "#7f8a86", "#d9cfc0")
)  # fmt: skip
_PLASTER = tuple(bgr(c) for c in ("#efe9dc", "#e3d3b4", "#d9b08c", "#f2f2ee", "#c8d2d6", "#b5674d", "#e8c9a0"))
_TILES = tuple(bgr(c) for c in ("#8c4a36", "#6e3d33", "#555a60", "#7a6a5a", "#9c5a3c"))
_SHOPS = tuple(bgr(c) for c in ("#b3312c", "#2f6a4f", "#274b7a", "#d9a441", "#6a3d6a", "#e8e2d6"))
_GLASS, _SKY_GLASS, _LIT = bgr("#46545f"), bgr("#7f95a6"), bgr("#ffd98a")
_PANES, _PANES_GLOW = np.array([_GLASS, _SKY_GLASS, _LIT]), np.array([0.0, 0.0, 1.0])
_FLOOR = 3.1  # metres
SNOW = bgr("#eef1f5")


@dataclass(frozen=True)
class Panes:
    """corners: (4 n, 3), dark panes first, then those that mirror the sky, then the lit; starts: of each, and n."""

    corners: Points
    starts: tuple[int, ...]


@dataclass(frozen=True)
class House:
    """mesh: walls, roof, door; snowy: the same with snow on its roof; windows: panes in the road's wall; bands: a pane
    for each floor, for afar."""

    mesh: Mesh
    snowy: Mesh
    windows: Panes
    bands: Panes

    @cached_property
    def low(self) -> tuple[float, float, float]:
        """Smallest coordinates of the mesh."""
        x, up, ahead = self.mesh.vertices.min(axis=0).tolist()
        return x, up, ahead

    @cached_property
    def high(self) -> tuple[float, float, float]:
        """Largest coordinates of the mesh."""
        x, up, ahead = self.mesh.vertices.max(axis=0).tolist()
        return x, up, ahead


def make_block(width: float, floors: int, side: int, *, night: bool, rng: np.random.Generator) -> House:
    """A block of flats right (side 1) or left (-1) of the road, which looks at the road; its wall is at the origin."""
    wall = _WALLS[rng.integers(len(_WALLS))]
    height, deep, half = floors * _FLOOR + 0.9, 12.0, width / 2
    shop = _SHOPS[rng.integers(len(_SHOPS))]
    front = (-float(side), 0.0, 0.0)
    faces = [
        *_walls(half, height, deep, side, wall),
        Face(_pane(-half, half, height - 0.35, height, -side * 0.12), _scaled(wall, 0.7), detail=True, outward=front),
        Face(
            _pane(-half, half, _FLOOR - 0.1, _FLOOR + 0.25, -side * 0.1),
            _scaled(wall, 0.82),
            detail=True,
            outward=front,
        ),
    ]
    if rng.random() < 0.7:
        glass = _pane(-half + 0.6, half - 0.6, 0.5, _FLOOR - 0.75, -side * 0.06)
        faces.append(Face(glass, _LIT if night else bgr("#5d6c74"), 0.75 if night else 0.0, outward=front))
        faces.append(Face(_awning(half - 0.4, side), shop, outward=(-float(side), 0.6, 0.0)))
    else:
        faces.append(Face(_pane(-0.7, 0.7, 0.0, 2.3, -side * 0.06), _scaled(shop, 0.6), outward=front))
    columns = max(2, round((width - 1.0) / 2.1))
    pitch = width / columns
    across = -half + pitch * (np.arange(columns) + 0.5)
    panes, bands = [], []
    tall = rng.uniform(1.35, 1.75)
    for floor in range(1, floors):
        sill = floor * _FLOOR + 0.75
        panes += [_pane(z - 0.28 * pitch, z + 0.28 * pitch, sill, sill + tall, -side * 0.05) for z in across]
        bands.append(_pane(-half + 0.25 * pitch, half - 0.25 * pitch, sill, sill + tall, -side * 0.05))
    lit = rng.random(len(panes)) < (0.35 if night else 0.0)
    mesh = make_mesh(faces, centre=(side * deep / 2, height / 2, 0.0))
    return House(mesh, mesh, _panes(panes, lit), _panes(bands, np.zeros(len(bands), bool)))


def make_house(width: float, side: int, *, night: bool, rng: np.random.Generator) -> House:
    """A house with a gable roof, ridge along the road, behind its garden."""
    plaster, tiles = _PLASTER[rng.integers(len(_PLASTER))], _TILES[rng.integers(len(_TILES))]
    floors = int(rng.integers(1, 3))
    height, deep, half = floors * 2.7 + 0.4, 8.0, width / 2
    meshes = []
    roof_height = rng.uniform(2.4, 3.4)
    door = rng.uniform(-0.25, 0.25) * width
    shade = rng.uniform(0.35, 0.8)
    for tile in (tiles, SNOW):
        faces = [*_walls(half, height, deep, side, plaster), *_gables(half, height, roof_height, deep, side, plaster)]
        faces.append(Face(_slope(half + 0.4, height, roof_height, deep, side), tile, outward=(-float(side), 1.0, 0.0)))
        faces.append(
            Face(
                _pane(door - 0.55, door + 0.55, 0.0, 2.15, -side * 0.05),
                _scaled(_SHOPS[int(shade * 6)], shade),
                outward=(-float(side), 0.0, 0.0),
            )
        )
        meshes.append(make_mesh(faces, centre=(side * deep / 2, height / 2, 0.0)))
    panes = []
    for floor in range(floors):
        for z in np.linspace(-half + 1.5, half - 1.5, 4):
            if floor or abs(z - door) > 1.2:
                sill = floor * 2.7 + 0.95
                panes.append(_pane(z - 0.6, z + 0.6, sill, sill + 1.2, -side * 0.05))
    lit = rng.random(len(panes)) < (0.5 if night else 0.0)
    windows = _panes(panes, lit)
    return House(meshes[0], meshes[1], windows, windows)


def fix_house(house: House, at: tuple[float, float, float], light: Light, *, snow: bool, near: bool) -> Fixed:
    """A house as it stands; afar without details, and a floor's windows are one band."""
    mesh = house.snowy if snow else house.mesh
    panes = house.windows if near else house.bands
    body = fix_mesh(mesh, at, light, plain=not near)
    glass = fix(at, panes.corners, light, _PANES, glows=_PANES_GLOW if light.night else None)
    return replace(
        body,
        points=np.concatenate([body.points, glass.points]),
        lit=np.concatenate([body.lit, glass.lit]),
        own=np.concatenate([body.own, glass.own]),
    )


def draw_house(canvas: Canvas, house: House, thing: Fixed, view: View, *, near: bool) -> None:
    """Walls and roof, then the windows of the wall at the road."""
    paint_faces(canvas, thing, view)
    panes = house.windows if near else house.bands
    quads = list(view.pixels[len(view.pixels) - len(panes.corners) :].reshape(-1, 4, 2))
    for start, end, (blue, green, red) in zip(panes.starts[:-1], panes.starts[1:], view.colours[-3:], strict=True):
        if start < end:
            cv2.fillPoly(canvas.pixels, quads[start:end], (blue, green, red, SCENERY))


def _panes(quads: list[Points], lit: NDArray[np.bool_]) -> Panes:
    """Two of five panes mirror the sky, and those that are lit shine."""
    tone = np.where(lit, 2, np.arange(len(quads)) % 5 < 2)
    order = np.argsort(tone, kind="stable")
    corners = np.array(quads).reshape(-1, 4, 3)[order].reshape(-1, 3)
    starts = np.searchsorted(tone[order], np.arange(4)).tolist()
    return Panes(corners, tuple(starts))


def _walls(half: float, height: float, deep: float, side: int, colour: Colour) -> Iterator[Face]:
    far = side * deep
    for end in (-1.0, 1.0):
        z = end * half
        wall = np.array([(0, 0, z), (far, 0, z), (far, height, z), (0, height, z)], float)
        yield Face(wall, _scaled(colour, 0.93), outward=(0.0, 0.0, end))
    yield Face(_pane(-half, half, 0.0, height, 0.0), colour, outward=(-float(side), 0.0, 0.0))


def _gables(half: float, height: float, roof: float, deep: float, side: int, colour: Colour) -> Iterator[Face]:
    for end in (-1.0, 1.0):
        z = end * half
        points = np.array([(0, height, z), (side * deep, height, z), (side * deep / 2, height + roof, z)], float)
        yield Face(points, _scaled(colour, 0.93), outward=(0.0, 0.0, end))


def _slope(half: float, height: float, roof: float, deep: float, side: int) -> Points:
    low, ridge = height - 0.25, height + roof
    x = -side * 0.4
    return np.array([(x, low, -half), (x, low, half), (side * deep / 2, ridge, half), (side * deep / 2, ridge, -half)])


def _awning(half: float, side: int) -> Points:
    inner, outer = -side * 0.1, -side * 1.1
    top, low = _FLOOR - 0.3, _FLOOR - 0.85
    return np.array([(inner, top, -half), (inner, top, half), (outer, low, half), (outer, low, -half)])


def _pane(z0: float, z1: float, y0: float, y1: float, x: float) -> Points:
    return np.array([(x, y0, z0), (x, y0, z1), (x, y1, z1), (x, y1, z0)])


def _scaled(colour: Colour, share: float) -> Colour:
    return colour[0] * share, colour[1] * share, colour[2] * share
