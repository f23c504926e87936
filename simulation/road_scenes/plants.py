"""Trees in leaf, in autumn colours or bare under snow, and street lamps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from simulation.road_scenes.camera import Points
from simulation.road_scenes.canvas import SCENERY, Canvas
from simulation.road_scenes.fixed import Fixed, View, fix
from simulation.road_scenes.light import Light, bgr
from simulation.road_scenes.table import Condition

_BARK, _STEEL, _LIGHT = bgr("#5b4636"), bgr("#6d7277"), bgr("#ffe1aa")
_NEAREST = 1.0  # metres; nearer poles are beside the camera
_SHADES = np.array([0.82, 0.92, 1.0, 1.08, 1.16])
At = tuple[float, float, float]


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


def make_tree(height: float, rng: np.random.Generator) -> Tree:
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


def fix_tree(tree: Tree, at: At, light: Light) -> Fixed:
    """Points: foot, fork, the discs; colours: bark, then each disc, or in winter twigs and snow."""
    points = np.vstack([[(0.0, 0.0, 0.0), (0.0, 0.62 * tree.height, 0.0)], tree.crown[:, :3]])
    leaves = [light.leaves[shade % len(light.leaves)] for shade in tree.shades]
    shades = [_SHADES[shade % len(_SHADES)] for shade in tree.shades]
    return fix(
        at, points, light, np.array([_BARK, *leaves, *light.leaves[:2]]), shades=np.array([0.85, *shades, 0.95, 0.95])
    )


def draw_tree(canvas: Canvas, tree: Tree, view: View, condition: Condition) -> None:
    """A trunk and a crown of discs; in winter branches with some snow."""
    if view.ahead < _NEAREST:
        return
    foot, fork = view.pixels[:2].tolist()
    thick = max(1, round(0.035 * tree.height * view.scale))
    cv2.line(canvas.pixels, foot, fork, (*view.colours[0], SCENERY), thick)
    if condition is Condition.WINTER:
        _bare(canvas, tree, view)
        return
    radii = (tree.crown[:, 3] * view.scale).tolist()
    for disc, radius, colour in zip(view.pixels[2:].tolist(), radii, view.colours[1:7], strict=True):
        cv2.circle(canvas.pixels, disc, max(1, round(radius)), (*colour, SCENERY), -1)
        if radius > 8:
            blue, green, red = (min(255.0, 1.13 * channel) for channel in colour)
            place = (int(disc[0] - 0.25 * radius), int(disc[1] - 0.3 * radius))
            cv2.circle(canvas.pixels, place, round(0.55 * radius), (blue, green, red, SCENERY), -1)


def _bare(canvas: Canvas, tree: Tree, view: View) -> None:
    dark, snow = view.colours[7:9]
    thick = max(1, round(0.012 * tree.height * view.scale))
    low = ((view.pixels[0] + 2 * view.pixels[1]) // 3).tolist()
    high = view.pixels[1].tolist()
    for index, tip in enumerate(view.pixels[2:].tolist()):
        cv2.line(canvas.pixels, high if index % 2 else low, tip, (*dark, SCENERY), thick)
        reach = float(tree.crown[index, 3]) * view.scale
        for dx in (-0.55, 0.1, 0.6):
            twig = (int(tip[0] + dx * reach), int(tip[1] - 0.6 * reach))
            cv2.line(canvas.pixels, tip, twig, (*dark, SCENERY), max(1, thick // 2))
            if reach > 6 and dx > 0:
                cv2.line(canvas.pixels, tip, (twig[0], twig[1] - thick), (*snow, SCENERY), max(1, thick // 2))


def fix_lamp(lamp: Lamp, at: At, light: Light) -> Fixed:
    """Points: foot, bend, lamp; colours: steel, and the lamp's own light."""
    points = np.array([(0.0, 0.0, 0.0), (0.0, lamp.height, 0.0), (-lamp.arm, lamp.height + 0.3, 0.0)])
    return fix(at, points, light, np.array([_STEEL, _LIGHT]), glows=np.array([0.0, 1.0]))


def draw_lamp(canvas: Canvas, view: View, *, night: bool) -> tuple[float, float, float] | None:
    """A pole with an arm; returns (u, v, pixels a metre) of its light where it burns."""
    if view.ahead < _NEAREST:
        return None
    steel, shine = view.colours
    scale = view.scale
    cv2.polylines(canvas.pixels, [view.pixels], False, (*steel, SCENERY), max(1, round(0.13 * scale)))
    bulb = view.pixels[2].tolist()
    paint = (*(shine if night else steel), SCENERY)
    cv2.ellipse(canvas.pixels, bulb, (max(1, round(0.38 * scale)), max(1, round(0.13 * scale))), 0, 0, 360, paint, -1)
    return (float(bulb[0]), float(bulb[1]), scale) if night else None
