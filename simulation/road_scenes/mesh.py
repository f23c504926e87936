"""Solid things of flat faces: cars, houses, signs. Convex pieces in painting order need no depth buffer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.camera import EYE, NEAR, Camera, Points, clipped
from simulation.road_scenes.canvas import SCENERY, Canvas, whole
from simulation.road_scenes.fixed import Fixed, fix
from simulation.road_scenes.light import Colour, Light

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels of the canvas, ends excluded


@dataclass(frozen=True)
class Face:
    """A flat convex polygon (n, 3) in the thing's frame (right, up, ahead), wound so that `outward` can be checked."""

    points: Points
    colour: Colour
    glows: float = 0.0  # 1: gives its own light
    detail: bool = False  # left out far away
    outward: tuple[float, float, float] | None = None  # a direction that the normal must agree with


@dataclass(frozen=True)
class Mesh:
    """Faces as arrays: vertices (v, 3), faces (f, m) padded with their last index, normals, colours (f, 3)."""

    vertices: Points
    faces: NDArray[np.intp]
    normals: Points
    colours: Points
    glows: Points
    coarse: NDArray[np.bool_]  # (f,) seen from afar too
    offsets: Points  # (f,) of the faces' planes: a point p lies before a face where normal . p is larger
    bright: bool  # a face gives its own light
    radius: float  # metres around the origin that hold it, heights aside


def make_mesh(faces: Iterable[Face], centre: tuple[float, float, float] = (0.0, 0.7, 0.0)) -> Mesh:
    """Faces in painting order; normals point away from `centre` unless a face says otherwise."""
    listed = list(faces)
    sizes = [len(face.points) for face in listed]
    starts = np.cumsum([0, *sizes[:-1]])
    vertices = np.concatenate([face.points for face in listed])
    indices = starts[:, None] + np.minimum(np.arange(max(sizes)), np.array(sizes)[:, None] - 1)
    first, second, third = (vertices[starts + k] for k in range(3))
    normals = np.cross(second - first, third - first)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    away = np.array([f.points.mean(axis=0) - centre if f.outward is None else f.outward for f in listed])
    normals *= np.where(np.einsum("ij,ij->i", normals, away) >= 0, 1.0, -1.0)[:, None]
    return Mesh(
        vertices,
        indices,
        normals,
        np.array([face.colour for face in listed]),
        np.array([face.glows for face in listed]),
        ~np.array([face.detail for face in listed]),
        np.einsum("ij,ij->i", normals, first),
        any(face.glows for face in listed),
        float(np.hypot(vertices[:, 0], vertices[:, 2]).max()),
    )


def draw_mesh(
    canvas: Canvas, camera: Camera, light: Light, mesh: Mesh, at: tuple[float, float, float], slot: int, *, plain: bool
) -> Box | None:
    """Paints a mesh at (x, z, heading); returns the part of the canvas that its pixels lie in, None if outside.

    plain: far away; details are left out. Of scenery nobody asks where its pixels are: the whole canvas is returned.
    """
    x, z, heading = at
    seen = camera.place(mesh.vertices, x, z, heading)
    cos, sin = math.cos(heading), math.sin(heading)
    dx, dz = camera.x - x, camera.z - z
    shown = mesh.normals @ np.array([dx * cos - dz * sin, EYE, dx * sin + dz * cos]) > mesh.offsets
    if plain:
        shown &= mesh.coarse
    order = np.flatnonzero(shown)
    right, ahead = camera.turned(-dx, -dz)
    shades = light.shade(mesh.normals[order], heading)
    paints = light.seen(mesh.colours[order], shades, right, ahead, mesh.glows[order] if mesh.bright else None)
    if ahead - mesh.radius > NEAR or seen[:, 2].min() > NEAR:
        pixels = whole(camera.project(seen))
        box = (0, 0, canvas.width, canvas.height) if slot == SCENERY else within(canvas, pixels)
        if box is not None:
            _paint(canvas, pixels[mesh.faces[order]], paints, slot)
        return box
    return _paint_cut(canvas, camera, [seen[mesh.faces[f]] for f in order], paints, slot)


def fix_mesh(mesh: Mesh, at: tuple[float, float, float], light: Light, *, plain: bool) -> Fixed:
    """A mesh that never moves."""
    kept = np.flatnonzero(mesh.coarse) if plain else np.arange(len(mesh.faces))
    shades = light.shade(mesh.normals[kept], at[2])
    faces = (mesh.faces[kept], mesh.normals[kept])
    return fix(at, mesh.vertices, light, mesh.colours[kept], shades=shades, glows=mesh.glows[kept], faces=faces)


def _paint(canvas: Canvas, polygons: NDArray[np.int32], paints: Points, slot: int) -> None:
    for polygon, (blue, green, red) in zip(polygons, paints.tolist(), strict=True):
        cv2.fillConvexPoly(canvas.pixels, polygon, (blue, green, red, slot))


def _paint_cut(canvas: Canvas, camera: Camera, polygons: list[Points], paints: Points, slot: int) -> Box | None:
    """Faces of a thing that reaches behind the camera, cut one by one."""
    corners = []
    for polygon, (blue, green, red) in zip(polygons, paints.tolist(), strict=True):
        cut = clipped(polygon)
        if len(cut) >= 3:
            pixels = whole(camera.project(cut))
            cv2.fillConvexPoly(canvas.pixels, pixels, (blue, green, red, slot))
            corners.append(pixels)
    return within(canvas, np.concatenate(corners)) if corners else None


def within(canvas: Canvas, pixels: NDArray[np.int32], margin: int = 1) -> Box | None:
    """The box around pixels (n, 2), widened by a margin and cut to the canvas; None if nothing is left."""
    (x0, y0), (x1, y1) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    box = (
        max(x0 - margin, 0),
        max(y0 - margin, 0),
        min(x1 + margin + 1, canvas.width),
        min(y1 + margin + 1, canvas.height),
    )
    return box if box[0] < box[2] and box[1] < box[3] else None
