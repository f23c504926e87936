"""Signs, gantries, hedges and fences: things of a few flat boards."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from simulation.road_scenes.light import Colour, bgr
from simulation.road_scenes.mesh import Face, Mesh, make_mesh
from simulation.road_scenes.road import Layout
from simulation.road_scenes.table import Area

_SIGNS = {Area.CITY: bgr("#2457a8"), Area.TOWN: bgr("#c03030"), Area.HIGHWAY: bgr("#1f5fa8")}
_POLE = bgr("#7d8288")


@cache
def make_sign(area: Area, height: float = 2.4, size: float = 0.34) -> Mesh:
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


def make_gantry(layout: Layout) -> Mesh:
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


def make_hedge(width: float, height: float, length: float, colour: Colour) -> Mesh:
    """A box along the road, its foot at the origin's middle."""
    x, z = width / 2, length / 2
    top = np.array([(-x, height, -z), (x, height, -z), (x, height, z), (-x, height, z)])
    faces = [Face(top, colour, outward=(0, 1, 0))]
    for side in (-1.0, 1.0):
        wall = np.array([(side * x, 0, -z), (side * x, 0, z), (side * x, height, z), (side * x, height, -z)])
        faces.append(Face(wall, colour, outward=(side, 0, 0)))
    end = np.array([(-x, 0, -z), (x, 0, -z), (x, height, -z), (-x, height, -z)])
    return make_mesh([*faces, Face(end, colour, outward=(0, 0, -1))])
