"""Cyclists and wheelchair users: a machine with turning wheels and the jointed figure on it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from simulation.road_scenes.camera import Camera, Points
from simulation.road_scenes.canvas import Canvas, Paint
from simulation.road_scenes.light import Colour, Light, bgr
from simulation.road_scenes.mesh import Box
from simulation.road_scenes.people import Person, Pixels, Stroke, begin, dimmed, draw_head, lit, paints

FRAMES = tuple(bgr(c) for c in ("#1e1e22", "#b02a2a", "#2a5db0", "#2f8f5b", "#d0d0d4", "#e0a020"))
_CIRCLE = np.arange(14) * (2 * math.pi / 14)
_RUBBER, _METAL = bgr("#1b1c1e"), bgr("#9aa0a6")


def wheel(x: float, up: float, ahead: float, radius: float) -> Points:
    """14 points of an upright wheel along the way."""
    return np.column_stack(
        [np.full(14, x), up + radius * np.sin(_CIRCLE), ahead + radius * np.cos(_CIRCLE)],
    )


def cyclist_joints(h: float, phase: float) -> Points:
    """28 points of wheels, then neck, pelvis, head, saddle, bottom bracket, handlebar, front hub, rear hub, then per
    side hip, knee, foot, shoulder, elbow, hand; phase: of the pedals, radians."""
    k = h / 1.75
    hip, shoulder = (0.0, 0.98 * k, -0.2), (0.0, 1.42 * k, 0.14)
    joints = [shoulder, hip, (0.0, 1.6 * k, 0.24), (0.0, 0.9, -0.24), (0.0, 0.3, 0.0), (0.0, 1.0, 0.42)]
    joints += [(0.0, 0.34, 0.54), (0.0, 0.34, -0.52)]
    for side in (-1, 1):
        turn = phase + (math.pi if side > 0 else 0.0)
        foot = np.array([0.12 * side, 0.3 + 0.17 * math.sin(turn), 0.02 + 0.17 * math.cos(turn)])
        start = np.array([0.1 * side, hip[1], hip[2]])
        middle = (start + foot) / 2
        bend = math.sqrt(max(0.0, (0.46 * k) ** 2 - float(((foot - start) ** 2).sum()) / 4))
        knee = middle + np.array([0.0, 0.45 * bend, 0.9 * bend])
        joints += [tuple(start), tuple(knee), tuple(foot)]
        joints += [(0.19 * side, 1.4 * k, 0.12), (0.24 * side, 1.17 * k, 0.24), (0.22 * side, 1.02, 0.44)]
    return np.vstack([wheel(0, 0.34, 0.54, 0.33), wheel(0, 0.34, -0.52, 0.33), np.array(joints)])


def draw_cyclist(
    canvas: Canvas,
    camera: Camera,
    light: Light,
    person: Person,
    frame: Colour,
    at: tuple[float, float, float],
    phase: float,
    slot: int,
) -> Box | None:
    """Paints a cyclist at (x, z, heading); returns the box of the strokes."""
    h = person.height
    begun = begin(canvas, camera, cyclist_joints(h, phase), at, slot, 0.3)
    if begun is None:
        return None
    stroke, px, box, seen = begun
    skin, coat, trousers, helmet, _ = paints(stroke, light, person, seen)
    metal = lit(stroke, light, frame, seen)
    rubber = lit(stroke, light, _RUBBER, seen)
    for rim in (px[:14], px[14:28]):
        cv2.polylines(canvas.pixels, [rim], True, rubber, max(1, round(0.05 * stroke.scale)))
    px, seen = px[28:], seen[28:]
    for chain in ([7, 4, 3, 7], [4, 5, 6], [3, 5]):
        stroke.limb(px[chain], 0.04, metal)
    if light.night or stroke.scale > 60:
        _lamp(stroke, px, light, towards=bool(seen[6, 2] < seen[7, 2]))
    near, far = (8, 14) if seen[8, 2] <= seen[14, 2] else (14, 8)
    stroke.limb(px[far : far + 3], 0.12, dimmed(trousers))
    stroke.limb(px[far + 3 : far + 6], 0.085, dimmed(coat))
    stroke.limb(px[[0, 1]], 0.3, coat)
    stroke.limb(px[[11, 17]], 0.14, coat)
    stroke.limb(px[near : near + 3], 0.13, trousers)
    for leg in (far, near):
        stroke.disc(px[leg + 2], 0.055, (20, 20, 24, slot))
    stroke.limb(px[near + 3 : near + 6], 0.09, dimmed(coat, 0.88))
    stroke.disc(px[near + 5], 0.045, skin)
    stroke.limb(px[[13, 19]], 0.03, (30, 30, 30, slot))
    draw_head(stroke, px[0], px[2], h, skin, helmet, facing=seen[2, 2] - seen[0, 2])
    return box


def _lamp(stroke: Stroke, px: Pixels, light: Light, *, towards: bool) -> None:
    bright: Paint = (220, 250, 255, stroke.slot) if towards else (30, 30, 235, stroke.slot)
    stroke.disc(px[5] if towards else px[3], 0.06 if light.night else 0.04, bright)


def wheelchair_joints(h: float, push: float) -> Points:
    """56 points of wheels (large left, large right, casters), then neck, pelvis, head, four corners of the back (left
    low, left high, right high, right low), front of the seat left and right, then per side hip, knee, foot, shoulder,
    elbow, hand; push: phase of the arms, radians."""
    k = h / 1.75
    joints = [(0.0, 1.12 * k, -0.14), (0.0, 0.56, -0.1), (0.0, 1.3 * k, -0.08)]
    joints += [(-0.22, 0.5, -0.2), (-0.22, 0.95, -0.26), (0.22, 0.95, -0.26), (0.22, 0.5, -0.2)]
    joints += [(-0.22, 0.5, 0.25), (0.22, 0.5, 0.25)]
    reach = 0.16 * math.cos(push)
    for side in (-1, 1):
        joints += [(0.1 * side, 0.56, -0.05), (0.12 * side, 0.58, 0.36), (0.11 * side, 0.16, 0.46)]
        joints += [(0.19 * side, 1.08 * k, -0.14), (0.29 * side, 0.84 * k, -0.16 + reach / 2)]
        joints += [(0.3 * side, 0.6, 0.04 + reach)]
    wheels = [wheel(-0.3, 0.3, -0.08, 0.3), wheel(0.3, 0.3, -0.08, 0.3)]
    wheels += [wheel(-0.2, 0.09, 0.34, 0.09), wheel(0.2, 0.09, 0.34, 0.09)]
    return np.vstack([*wheels, np.array(joints)])


def draw_wheelchair(
    canvas: Canvas,
    camera: Camera,
    light: Light,
    person: Person,
    frame: Colour,
    at: tuple[float, float, float],
    push: float,
    slot: int,
) -> Box | None:
    """Paints a wheelchair and its user at (x, z, heading); returns the box of the strokes."""
    h = person.height
    begun = begin(canvas, camera, wheelchair_joints(h, push), at, slot, 0.3)
    if begun is None:
        return None
    stroke, px, box, seen = begun
    skin, coat, trousers, hair, _ = paints(stroke, light, person, seen)
    cloth = lit(stroke, light, frame, seen)
    metal = lit(stroke, light, _METAL, seen)
    rubber = lit(stroke, light, _RUBBER, seen)
    left_near = bool(seen[:14, 2].mean() <= seen[14:28, 2].mean())
    wheels = [px[:14], px[14:28]][:: 1 if not left_near else -1]  # the farther one first
    away = bool(seen[58, 2] > seen[56, 2])
    body, depth = px[56:], seen[56:]
    _wheel(stroke, wheels[0], rubber, metal)
    for caster in (px[28:42], px[42:56]):
        cv2.polylines(canvas.pixels, [caster], True, rubber, max(1, round(0.04 * stroke.scale)))
    stroke.limb(body[[3, 7]], 0.05, metal)
    stroke.limb(body[[6, 8]], 0.05, metal)
    if not away:
        canvas.polygon(body[3:7], cloth)
    near, far = (9, 15) if depth[9, 2] <= depth[15, 2] else (15, 9)
    for leg, paint in ((far, dimmed(trousers)), (near, trousers)):
        stroke.limb(body[leg : leg + 3], 0.14, paint)
        stroke.disc(body[leg + 2], 0.06, (20, 20, 24, slot))
    stroke.limb(body[far + 3 : far + 6], 0.09, dimmed(coat))
    stroke.limb(body[[0, 1]], 0.3, coat)
    stroke.limb(body[[12, 18]], 0.15, coat)
    draw_head(stroke, body[0], body[2], h, skin, hair, facing=0.1 if away else 0.0)
    if away:
        canvas.polygon(body[3:7], cloth)
        stroke.limb(body[[4, 5]], 0.04, metal)
    _wheel(stroke, wheels[1], rubber, metal)
    stroke.limb(body[near + 3 : near + 6], 0.095, dimmed(coat, 0.88))
    stroke.disc(body[near + 5], 0.05, skin)
    return box


def _wheel(stroke: Stroke, rim: Pixels, rubber: Paint, metal: Paint) -> None:
    pixels = stroke.canvas.pixels
    if stroke.scale > 30:
        for start in range(0, 7, 2):
            cv2.line(pixels, rim[start].tolist(), rim[start + 7].tolist(), metal, max(1, round(0.012 * stroke.scale)))
    cv2.polylines(pixels, [rim], True, rubber, max(1, round(0.055 * stroke.scale)))
