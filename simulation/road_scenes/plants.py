"""Trees in leaf, in autumn colours or bare under snow, and street lamps."""

from __future__ import annotations

import cv2
import numpy as np

from simulation.road_scenes.camera import Camera
from simulation.road_scenes.canvas import SCENERY, Canvas, whole
from simulation.road_scenes.light import Light, bgr
from simulation.road_scenes.mesh import within
from simulation.road_scenes.scenery import Lamp, Tree
from simulation.road_scenes.table import Condition

_BARK, _STEEL = bgr("#5b4636"), bgr("#6d7277")
_SHADES = np.array([0.82, 0.92, 1.0, 1.08, 1.16])
At = tuple[float, float, float]


def draw_tree(canvas: Canvas, camera: Camera, light: Light, tree: Tree, at: At, condition: Condition) -> None:
    """A trunk and a crown of discs; in winter branches with some snow."""
    foot = np.array([[0.0, 0.0, 0.0], [0.0, 0.62 * tree.height, 0.0]])
    seen = camera.place(np.vstack([foot, tree.crown[:, :3]]), *at)
    if seen[:, 2].min() < 1.0:
        return
    pixels = whole(camera.project(seen))
    scale = camera.focal / float(seen[0, 2])
    if within(canvas, pixels, int(0.3 * tree.height * scale)) is None:
        return
    right, ahead = float(seen[0, 0]), float(seen[0, 2])
    leaves = np.array(light.leaves)[[shade % len(light.leaves) for shade in tree.shades]]
    shades = _SHADES[[shade % len(_SHADES) for shade in tree.shades]]
    bark = light.seen(np.array([_BARK]), 0.85, right, ahead, None)[0]
    paint = (*bark.tolist(), SCENERY)
    cv2.line(canvas.pixels, pixels[0].tolist(), pixels[1].tolist(), paint, max(1, round(0.035 * tree.height * scale)))
    if condition is Condition.WINTER:
        _bare(canvas, light, tree, pixels, scale, (right, ahead))
        return
    colours = light.seen(leaves, shades, right, ahead, None)
    for disc, radius, colour in zip(pixels[2:], tree.crown[:, 3] * scale, colours.tolist(), strict=True):
        cv2.circle(canvas.pixels, disc.tolist(), max(1, round(radius)), (*colour, SCENERY), -1)
        if radius > 8:
            lighter = tuple(min(255.0, 1.13 * channel) for channel in colour)
            place = (int(disc[0] - 0.25 * radius), int(disc[1] - 0.3 * radius))
            cv2.circle(canvas.pixels, place, round(0.55 * radius), (*lighter, SCENERY), -1)


def _bare(
    canvas: Canvas, light: Light, tree: Tree, pixels: np.ndarray, scale: float, where: tuple[float, float]
) -> None:
    dark, snow = light.seen(np.array(light.leaves), 0.95, *where, None).tolist()
    thick = max(1, round(0.012 * tree.height * scale))
    fork = ((pixels[0] + 2 * pixels[1]) // 3).tolist()
    for index, disc in enumerate(pixels[2:]):
        tip = disc.tolist()
        start = pixels[1].tolist() if index % 2 else fork
        cv2.line(canvas.pixels, start, tip, (*dark, SCENERY), thick)
        reach = tree.crown[index, 3] * scale
        for dx in (-0.55, 0.1, 0.6):
            twig = (int(tip[0] + dx * reach), int(tip[1] - 0.6 * reach))
            cv2.line(canvas.pixels, tip, twig, (*dark, SCENERY), max(1, thick // 2))
            if reach > 6 and dx > 0:
                cv2.line(canvas.pixels, tip, (twig[0], twig[1] - thick), (*snow, SCENERY), max(1, thick // 2))


def draw_lamp(canvas: Canvas, camera: Camera, light: Light, lamp: Lamp, at: At) -> tuple[float, float, float] | None:
    """A pole with an arm; returns (u, v, pixels a metre) of its light where it burns and is in the picture."""
    arm = -lamp.arm
    local = np.array([[0.0, 0.0, 0.0], [0.0, lamp.height, 0.0], [arm, lamp.height + 0.3, 0.0]])
    seen = camera.place(local, *at)
    if seen[:, 2].min() < 1.0:
        return None
    pixels = whole(camera.project(seen))
    if within(canvas, pixels, 8) is None:
        return None
    scale = camera.focal / float(seen[0, 2])
    colour = light.seen(np.array([_STEEL]), 0.9, float(seen[0, 0]), float(seen[0, 2]), None)[0].tolist()
    cv2.polylines(canvas.pixels, [pixels], False, (*colour, SCENERY), max(1, round(0.13 * scale)))
    bulb = pixels[2].tolist()
    paint = (170.0, 225.0, 255.0, SCENERY) if light.night else (*colour, SCENERY)
    cv2.ellipse(canvas.pixels, bulb, (max(1, round(0.38 * scale)), max(1, round(0.13 * scale))), 0, 0, 360, paint, -1)
    return (float(bulb[0]), float(bulb[1]), scale) if light.night else None
