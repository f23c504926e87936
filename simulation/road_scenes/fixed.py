"""Things that never move, as arrays in the world: lit once for a drive, and brought before the camera all together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.camera import EYE, NEAR, Camera, Points
from simulation.road_scenes.canvas import SCENERY, Canvas, whole
from simulation.road_scenes.light import Light

Colours = list[list[float]]


@dataclass(frozen=True)
class Fixed:
    """points: (n, 3) as x, up, z; faces: (f, m) of them; normals (f, 3) and offsets (f,) of their planes.

    lit, own: (c, 3) the colours that shine by light and by themselves, those of the faces first.
    """

    points: Points
    faces: NDArray[np.intp]
    normals: Points
    offsets: Points
    lit: Points
    own: Points


@dataclass(frozen=True)
class View:
    """A fixed thing in a frame. pixels: (n, 2) of its points; colours: through the air, per colour; facing: the faces
    that the camera sees; whole: no point is behind the camera; right, ahead: metres; scale: pixels a metre."""

    pixels: NDArray[np.int32]
    colours: Colours
    facing: list[int]
    whole: bool
    right: float
    ahead: float
    scale: float


def fix(
    at: tuple[float, float, float],
    points: Points,
    light: Light,
    colours: Points,
    *,
    shades: Points | float = 0.9,
    glows: Points | None = None,
    faces: tuple[NDArray[np.intp], Points] | None = None,
) -> Fixed:
    """A thing at (x, z, heading) with points (n, 3) in its own frame.

    colours: (c, 3); shades, glows: (c,); faces: (f, m) indices and their normals (f, 3) in its own frame.
    """
    x, z, heading = at
    cos, sin = math.cos(heading), math.sin(heading)
    turn = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
    placed = points @ turn + np.array([x, 0.0, z])
    own = np.zeros((len(colours), 1)) if glows is None else glows[:, None]
    lit = colours * np.array(light.tint) * (np.zeros(len(colours)) + shades)[:, None] * (1 - own)
    indices, normals = faces if faces is not None else (np.empty((0, 3), np.intp), np.empty((0, 3)))
    turned = normals @ turn
    offsets = np.einsum("ij,ij->i", turned, placed[indices[:, 0]])
    return Fixed(placed, indices, turned, offsets, lit, own * colours)


def look(things: Sequence[tuple[Fixed, tuple[float, float, float], float]], camera: Camera, light: Light) -> list[View]:
    """Views of things, each given with its place (x, z, heading) and the radius that holds it."""
    if not things:
        return []
    fixed = [thing for thing, _, _ in things]
    where = [camera.turned(x - camera.x, z - camera.z) for _, (x, z, _), _ in things]
    seen = camera.world(np.concatenate([thing.points for thing in fixed]))
    np.maximum(seen[:, 2], NEAR, out=seen[:, 2])
    pixels = whole(camera.project(seen))
    air = np.array([light.air(right, ahead) for right, ahead in where])
    air = air.repeat([len(thing.lit) for thing in fixed], axis=0)
    lit, own = np.concatenate([thing.lit for thing in fixed]), np.concatenate([thing.own for thing in fixed])
    colours = (lit * air[:, :1] + own * air[:, 1:] + np.array(light.haze) * (1 - air[:, 1:])).tolist()
    eye = np.array([camera.x, EYE, camera.z])
    facing = np.concatenate([thing.normals for thing in fixed]) @ eye > np.concatenate([t.offsets for t in fixed])
    views, p, c, f = [], 0, 0, 0
    for (thing, _, radius), (right, ahead) in zip(things, where, strict=True):
        points, paints, faces = len(thing.points), len(thing.lit), len(thing.faces)
        shown = np.flatnonzero(facing[f : f + faces]).tolist()
        scale = camera.focal / max(ahead, NEAR)
        views.append(
            View(pixels[p : p + points], colours[c : c + paints], shown, ahead - radius > NEAR, right, ahead, scale)
        )
        p, c, f = p + points, c + paints, f + faces
    return views


def paint_faces(canvas: Canvas, thing: Fixed, view: View) -> None:
    """The faces that the camera sees, in painting order."""
    polygons = view.pixels[thing.faces[view.facing]]
    for polygon, face in zip(polygons, view.facing, strict=True):
        blue, green, red = view.colours[face]
        cv2.fillConvexPoly(canvas.pixels, polygon, (blue, green, red, SCENERY))
