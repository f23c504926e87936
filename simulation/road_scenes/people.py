"""People as jointed figures: they walk, pedal, or sit in a wheelchair, and are seen from every side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.camera import Camera, Points
from simulation.road_scenes.canvas import Canvas, Paint, whole
from simulation.road_scenes.light import Colour, Light, bgr
from simulation.road_scenes.mesh import Box, within

Pixels = NDArray[np.int32]
NEAREST = 0.8  # metres; a person nearer than this is behind the windscreen's edge

SKINS = tuple(bgr(c) for c in ("#f0c8a8", "#d9a57e", "#b07a52", "#7d5233", "#56381f"))
COATS = tuple(
    bgr(c)
    for c in ("#b5302e", "#2f5fa8", "#2c2f36", "#e0d5bd", "#3f7d53",
              "#d18a2a", "#74508c", "#8a8f94", "#efefef", "#1f7a8c")
)  # fmt: skip
TROUSERS = tuple(bgr(c) for c in ("#24324f", "#2a2a2c", "#5b5146", "#7d838a", "#3c4a63", "#8b7355"))
HAIRS = tuple(bgr(c) for c in ("#2a1c12", "#5a3a1e", "#a87f45", "#1a1a1a", "#9b9b9b"))


@dataclass(frozen=True)
class Person:
    """Height in metres and clothes; coat: a long one; umbrella, hat, bag: carried."""

    height: float
    skin: Colour
    coat: Colour
    trousers: Colour
    hair: Colour
    hat: Colour | None = None
    umbrella: Colour | None = None
    bag: Colour | None = None
    skirt: bool = False

    @cached_property
    def colours(self) -> Points:
        """(5, 3): skin, coat, trousers, hair or hat, bag or umbrella."""
        carried = self.umbrella or self.bag or (0.0, 0.0, 0.0)
        return np.array([self.skin, self.coat, self.trousers, self.hat or self.hair, carried])


@dataclass(frozen=True)
class Stroke:
    """Paints on one canvas for one figure: scale is pixels a metre."""

    canvas: Canvas
    scale: float
    slot: int

    def limb(self, points: Pixels, width: float, paint: Paint) -> None:
        """A chain of joints, `width` metres thick."""
        cv2.polylines(self.canvas.pixels, [points], False, paint, max(1, round(width * self.scale)))

    def disc(self, point: Pixels, radius: float, paint: Paint) -> None:
        centre = (int(point[0]), int(point[1]))
        cv2.circle(self.canvas.pixels, centre, max(1, round(radius * self.scale)), paint, -1)


def begin(
    canvas: Canvas, camera: Camera, local: Points, at: tuple[float, float, float], slot: int, widest: float
) -> tuple[Stroke, Pixels, Box, Points] | None:
    """Joints (n, 3) of a figure at (x, z, heading) on the canvas, and the box of its strokes; None if outside."""
    seen = camera.place(local, *at)
    if seen[:, 2].min() < NEAREST:
        return None
    pixels = whole(camera.project(seen))
    scale = camera.focal / float(seen[:, 2].mean())
    box = within(canvas, pixels, 3 + math.ceil(widest * scale))
    return None if box is None else (Stroke(canvas, scale, slot), pixels, box, seen)


def stride(h: float, phase: float, swing: float) -> Points:
    """15 joints of a walker of height h looking along +z: neck, pelvis, head, then per side hip, knee, foot,
    shoulder, elbow, hand.

    phase: radians, a step is half a turn; swing: largest angle of the thigh, 0 when standing.
    """
    joints = [(0.0, 0.84 * h, 0.01), (0.0, 0.5 * h, 0.0), (0.0, 0.93 * h, 0.02)]
    for side in (-1, 1):
        thigh = swing * math.sin(phase) * side
        knee_bend = swing * 1.1 * max(0.0, math.cos(phase) * side) + 0.04
        knee = (side * 0.055 * h, 0.5 * h - 0.24 * h * math.cos(thigh), 0.24 * h * math.sin(thigh))
        shin = thigh - knee_bend
        foot = (side * 0.055 * h, knee[1] - 0.245 * h * math.cos(shin), knee[2] + 0.245 * h * math.sin(shin))
        arm = -0.8 * thigh
        elbow = (side * 0.125 * h, 0.81 * h - 0.17 * h * math.cos(arm), 0.17 * h * math.sin(arm))
        fore = arm + 0.35 * swing + 0.1
        hand = (side * 0.12 * h, elbow[1] - 0.15 * h * math.cos(fore), elbow[2] + 0.15 * h * math.sin(fore))
        joints += [(side * 0.05 * h, 0.5 * h, 0.0), knee, foot, (side * 0.115 * h, 0.81 * h, 0.0), elbow, hand]
    return np.array(joints)


def draw_pedestrian(
    canvas: Canvas,
    camera: Camera,
    light: Light,
    person: Person,
    at: tuple[float, float, float],
    motion: tuple[float, float],
    slot: int,
) -> Box | None:
    """Paints a walker at (x, z, heading); motion: (phase, swing). Returns the box of its strokes."""
    h = person.height
    if distant(camera, canvas, at):
        return draw_distant(canvas, camera, light, person, at, (0.0, h), slot)
    local = stride(h, *motion)
    if person.umbrella is not None:
        local[14] = (0.1 * h, 0.72 * h, 0.14 * h)  # the hand that holds it
        local = np.vstack([local, [(0.1 * h, 1.02 * h, 0.12 * h), (0.1 * h, 1.2 * h, 0.1 * h)]])
    begun = begin(canvas, camera, local, at, slot, 0.62 if person.umbrella is not None else 0.2 * h)
    if begun is None:
        return None
    stroke, px, box, seen = begun
    skin, coat, trousers, hair, carried = paints(stroke, light, person, seen)
    near, far = (3, 9) if seen[3, 2] <= seen[9, 2] else (9, 3)
    if stroke.scale * h > 24:
        stroke.limb(px[far + 3 : far + 6], 0.055 * h, dimmed(coat))
        stroke.disc(px[far + 5], 0.024 * h, skin)
    stroke.limb(px[far : far + 3], 0.085 * h, dimmed(trousers))
    stroke.limb(px[near : near + 3], 0.085 * h, trousers)
    for leg in (far, near):
        stroke.disc(px[leg + 2], 0.035 * h, (20, 20, 24, slot))
    if person.skirt:
        canvas.polygon(np.array([px[1], px[4], px[10]]), coat)
        stroke.limb(px[[4, 10]], 0.1 * h, coat)
    stroke.limb(px[[0, 1]], 0.17 * h, coat)
    stroke.limb(px[[6, 12]], 0.085 * h, coat)
    if person.bag is not None:
        stroke.limb(px[[far + 3, near]], 0.12 * h, carried)
    if stroke.scale * h > 24:
        stroke.limb(px[near + 3 : near + 6], 0.06 * h, dimmed(coat, 0.88))
        stroke.disc(px[near + 5], 0.026 * h, skin)
    draw_head(stroke, px[0], px[2], h, skin, hair, facing=seen[2, 2] - seen[0, 2])
    if person.umbrella is not None:
        _umbrella(stroke, px, carried)
    return box


def distant(camera: Camera, canvas: Canvas, at: tuple[float, float, float]) -> bool:
    """Whether a person is under some 17 pixels tall in the finished picture, too small for limbs."""
    _, ahead = camera.turned(at[0] - camera.x, at[1] - camera.z)
    return camera.focal * 1.75 < 17 * canvas.oversampling * ahead


def draw_distant(
    canvas: Canvas,
    camera: Camera,
    light: Light,
    person: Person,
    at: tuple[float, float, float],
    body: tuple[float, float],
    slot: int,
) -> Box | None:
    """A small figure: legs (or wheels), coat and head. body: metres above the ground of its foot and its top."""
    low, high = body
    h = high - low
    local = np.array(
        [(0.0, low, 0.0), (0.0, low + 0.5 * h, 0.0), (0.0, low + 0.84 * h, 0.0), (0.0, low + 0.93 * h, 0.0)]
    )
    begun = begin(canvas, camera, local, at, slot, 0.62)
    if begun is None:
        return None
    stroke, px, box, seen = begun
    skin, coat, trousers, _, carried = paints(stroke, light, person, seen)
    stroke.limb(px[:2], 0.13 * h, trousers)
    stroke.limb(px[1:3], 0.2 * h, coat)
    stroke.disc(px[3], 0.07 * h, skin)
    if person.umbrella is not None:
        stroke.limb(
            np.array([px[3] - [round(0.5 * stroke.scale), 0], px[3] + [round(0.5 * stroke.scale), 0]]), 0.2, carried
        )
    return box


def draw_head(stroke: Stroke, neck: Pixels, head: Pixels, h: float, skin: Paint, hair: Paint, facing: float) -> None:
    """facing: how much farther the face is than the neck; above 0 it looks away and hair covers it."""
    stroke.limb(np.array([neck, head]), 0.06 * h, skin)
    stroke.disc(head, 0.066 * h, skin if facing < 0.01 else hair)
    if facing < 0.01:
        top = head - np.array([0, max(1, round(0.03 * h * stroke.scale))], np.int32)
        stroke.disc(top, 0.055 * h, hair)
        stroke.disc(head + np.array([0, round(0.014 * h * stroke.scale)], np.int32), 0.05 * h, skin)


def _umbrella(stroke: Stroke, px: Pixels, paint: Paint) -> None:
    stroke.limb(px[[14, 16]], 0.025, (40, 40, 40, stroke.slot))
    across, up = max(2, round(0.56 * stroke.scale)), max(1, round(0.3 * stroke.scale))
    centre = (int(px[15][0]), int(px[15][1]))
    cv2.ellipse(stroke.canvas.pixels, centre, (across, up), 0, 180, 360, paint, -1)


def paints(stroke: Stroke, light: Light, person: Person, seen: Points) -> list[Paint]:
    """Skin, coat, trousers, hair (or hat) and what is carried, as lit where the person is."""
    lit = light.seen(person.colours, 0.92, float(seen[0, 0]), float(seen[0, 2]), None)
    return [(blue, green, red, stroke.slot) for blue, green, red in lit.tolist()]


def lit(stroke: Stroke, light: Light, colour: Colour, seen: Points) -> Paint:
    """One more colour, as lit where the person is."""
    blue, green, red = light.seen(np.array([colour]), 0.92, float(seen[0, 0]), float(seen[0, 2]), None)[0].tolist()
    return blue, green, red, stroke.slot


def dimmed(paint: Paint, share: float = 0.78) -> Paint:
    return paint[0] * share, paint[1] * share, paint[2] * share, paint[3]
