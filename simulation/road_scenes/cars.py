"""Cars: a hull, a tapered cabin with windows, wheels, lights and plates, in four bodies and many paints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simulation.road_scenes.camera import Points
from simulation.road_scenes.light import Colour, bgr
from simulation.road_scenes.mesh import Face, Mesh, make_mesh


@dataclass(frozen=True)
class Body:
    """Outlines from the side as (ahead, up) in metres, convex; half widths at hull, cabin foot and roof."""

    hull: tuple[tuple[float, float], ...]
    cabin: tuple[tuple[float, float], ...]  # rear foot, rear roof, front roof, front foot
    half: tuple[float, float, float]
    wheels: tuple[float, float]
    radius: float = 0.33
    rear_window: bool = True

    @property
    def length(self) -> float:
        ends = [ahead for ahead, _ in self.hull]
        return max(ends) - min(ends)


BODIES = {
    "hatch": Body(
        ((-1.95, 0.32), (-1.98, 0.8), (-1.88, 0.95), (1.0, 0.97),
         (1.85, 0.78), (1.98, 0.45), (1.9, 0.24), (-1.8, 0.24)),
        ((-1.86, 0.94), (-1.45, 1.48), (0.1, 1.48), (0.95, 0.95)),
        (0.86, 0.82, 0.62),
        (-1.2, 1.25),
    ),
    "sedan": Body(
        ((-2.25, 0.34), (-2.28, 0.82), (-2.12, 0.95), (1.0, 0.97),
         (2.1, 0.76), (2.26, 0.44), (2.15, 0.24), (-2.1, 0.24)),
        ((-1.75, 0.94), (-1.05, 1.44), (0.2, 1.44), (1.0, 0.95)),
        (0.9, 0.84, 0.62),
        (-1.35, 1.4),
    ),
    "suv": Body(
        ((-2.2, 0.45), (-2.24, 0.95), (-2.15, 1.08), (1.1, 1.1), (2.1, 0.98), (2.28, 0.55), (2.15, 0.34), (-2.1, 0.34)),
        ((-2.12, 1.07), (-1.8, 1.72), (0.25, 1.72), (1.0, 1.09)),
        (0.95, 0.9, 0.72),
        (-1.35, 1.4),
        0.38,
    ),
    "van": Body(
        ((-2.4, 0.4), (-2.44, 1.0), (-2.42, 1.12), (1.5, 1.14), (2.25, 0.95), (2.42, 0.52), (2.3, 0.32), (-2.3, 0.32)),
        ((-2.42, 1.1), (-2.36, 2.05), (0.8, 2.05), (1.55, 1.12)),
        (0.98, 0.97, 0.88),
        (-1.5, 1.55),
        0.36,
    ),
}  # fmt: skip
PAINTS = tuple(
    bgr(colour)
    for colour in ("#e8e8ea", "#c9ccd1", "#8d9298", "#33363b", "#1d2024", "#a61c22", "#1f4f96", "#3d6e9e", "#5a6b4a",
                   "#c9a227", "#7a2a35", "#2f5d50", "#d8d2c4", "#b8602a")
)  # fmt: skip
_GLASS, _RUBBER, _RIM, _BLACK, _PLATE = bgr("#39454f"), bgr("#17181a"), bgr("#a3a7ab"), bgr("#232528"), bgr("#efefe6")
_TAIL, _BRAKE, _LAMP, _BEAM, _AMBER = (
    bgr("#a01818"), bgr("#ff2a20"), bgr("#dfe5e8"), bgr("#fff8e0"), bgr("#e08a1e")
)  # fmt: skip


def make_car(body: str, paint: Colour, *, lamps: bool, braking: bool = False, afar: bool = False) -> Mesh:
    """A car that looks along +z. lamps: head and tail lights are on, as at night and in rain.

    afar: a few pixels tall, of few faces.
    """
    form = BODIES[body]
    if afar:
        hull = np.array(form.hull)[[0, 2, 3, 4, 6, 7]]
        sides = [_disc(ahead, form.radius, form.radius, side * (form.half[0] + 0.01))[::2]
                 for side in (-1, 1) for ahead in form.wheels]  # fmt: skip
        wheels = [Face(side, _RUBBER, outward=(float(np.sign(side[0, 0])), 0.0, 0.0)) for side in sides]
        ends = [face for face in _ends(form, lamps, braking) if not face.detail]
        return make_mesh([*_swept(hull, form.half[0], form.half[0], paint), *wheels, *_cabin(form, paint), *ends])
    return make_mesh([*_tyres(form), *_hull(form, paint), *_cabin(form, paint), *_ends(form, lamps, braking)])


def _hull(form: Body, paint: Colour) -> Iterator[Face]:
    outline = np.array(form.hull)
    half = form.half[0]
    yield from _swept(outline, half, half, paint)
    low = float(outline[:, 1].min())
    rear, front = float(outline[:, 0].min()), float(outline[:, 0].max())
    for side in (-1, 1):
        out = (float(side), 0.0, 0.0)
        points = np.array([(rear + 0.2, low), (front - 0.2, low), (front - 0.1, low + 0.1), (rear + 0.1, low + 0.1)])
        yield Face(_at(points, side * half), _BLACK, detail=True, outward=out)
        for ahead in form.wheels:
            yield Face(_disc(ahead, form.radius, form.radius * 1.12, side * (half + 0.005)), _BLACK, outward=out)
            yield Face(_disc(ahead, form.radius, form.radius, side * (half + 0.01)), _RUBBER, outward=out)
            yield Face(_disc(ahead, form.radius, form.radius * 0.6, side * (half + 0.015)), _RIM, outward=out)
            yield Face(
                _disc(ahead, form.radius, form.radius * 0.2, side * (half + 0.02)), _BLACK, detail=True, outward=out
            )
        for ahead in (form.cabin[1][0] * 0.2, form.cabin[3][0] * 0.85):  # gaps of the doors
            gap = np.array([(ahead, low + 0.12), (ahead + 0.02, low + 0.12), (ahead + 0.02, 0.93), (ahead, 0.93)])
            yield Face(_at(gap, side * (half + 0.004)), _darker(paint, 0.6), detail=True, outward=out)


def _cabin(form: Body, paint: Colour) -> Iterator[Face]:
    foot, roof = form.half[1], form.half[2]
    (rf, low), (rr, top), (fr, _), (ff, low_front) = form.cabin
    left = [(-foot, low, rf), (-roof, top, rr), (-roof, top, fr), (-foot, low_front, ff)]
    right = [(-x, y, z) for x, y, z in left]
    faces = [
        ([left[1], left[2], right[2], right[1]], (0.0, 1.0, 0.0)),
        ([left[0], left[1], right[1], right[0]], (0.0, 0.3, -1.0)),
        ([left[3], left[2], right[2], right[3]], (0.0, 0.3, 1.0)),
        (left, (-1.0, 0.1, 0.0)),
        (right, (1.0, 0.1, 0.0)),
    ]
    for index, (corners, outward) in enumerate(faces):
        quad = np.array(corners)
        yield Face(quad, _darker(paint, 1.0 if index else 0.97), outward=outward)
        if index in (1, 2):
            yield Face(_shrunk(quad, 0.86, 0.8), _GLASS, outward=outward)
        elif index > 2:
            for window in _halves(quad):
                yield Face(_shrunk(window, 0.9, 0.76), _GLASS, outward=outward)


def _ends(form: Body, lamps: bool, braking: bool) -> Iterator[Face]:
    """Bumpers, lights and plates at both ends."""
    half = form.half[0]
    outline = np.array(form.hull)
    for end in (-1, 1):
        out = (0.0, 0.0, float(end))
        z = end * (float((end * outline[:, 0]).max()) + 0.01)
        low, high = float(outline[:, 1].min()) + 0.06, float(outline[:, 1].max())
        yield Face(_upright(-half * 0.96, half * 0.96, low, low + 0.16, z), _BLACK, outward=out)
        middle = high - 0.32 if end < 0 else high - 0.36
        colour, glow = (_BRAKE, 1.0) if braking else (_TAIL, 0.75 if lamps else 0.15)
        if end > 0:
            colour, glow = (_BEAM, 1.0) if lamps else (_LAMP, 0.1)
            yield Face(_upright(-0.38, 0.38, middle - 0.12, middle + 0.06, z), _BLACK, detail=True, outward=out)
        for side in (-1, 1):
            x0, x1 = sorted((side * half * 0.62, side * half * 0.95))
            yield Face(_upright(x0, x1, middle - 0.02, middle + 0.14, z), colour, glow, outward=out)
            a0, a1 = sorted((side * half * 0.56, side * half * 0.62))
            yield Face(_upright(a0, a1, middle - 0.02, middle + 0.14, z), _AMBER, 0.1, detail=True, outward=out)
        yield Face(_upright(-0.26, 0.26, low + 0.18, low + 0.29, z), _PLATE, 0.1, detail=True, outward=out)


def _tyres(form: Body) -> Iterator[Face]:
    """What is seen of the wheels from behind and from the front, and the dark underneath."""
    for end, ahead in zip((-1.0, 1.0), form.wheels, strict=True):
        z = ahead + end * form.radius * 0.8
        under = _upright(-form.half[0] * 0.9, form.half[0] * 0.9, 0.1, 0.4, z - end * 0.1)
        yield Face(under, bgr("#101113"), outward=(0.0, 0.0, end))
        for side in (-1, 1):
            x0, x1 = sorted((side * (form.half[0] - 0.24), side * (form.half[0] - 0.03)))
            yield Face(_upright(x0, x1, 0.0, 0.42, z), _RUBBER, outward=(0.0, 0.0, end))


def _swept(outline: Points, left: float, right: float, colour: Colour) -> Iterator[Face]:
    """A convex outline (n, 2) of (ahead, up) carried across the width: its rim, then both sides."""
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        quad = np.array(
            [(-left, start[1], start[0]), (-left, end[1], end[0]), (right, end[1], end[0]), (right, start[1], start[0])]
        )
        yield Face(quad, colour)
    yield Face(_at(outline, -left), colour, outward=(-1.0, 0.0, 0.0))
    yield Face(_at(outline, right), colour, outward=(1.0, 0.0, 0.0))


def _at(outline: Points, x: float) -> Points:
    """(ahead, up) -> (x, up, ahead)."""
    return np.column_stack([np.full(len(outline), x), outline[:, 1], outline[:, 0]])


def _disc(ahead: float, up: float, radius: float, x: float) -> Points:
    angles = np.arange(12) * (2 * math.pi / 12)
    return _at(np.column_stack([ahead + radius * np.cos(angles), up + radius * np.sin(angles)]), x)


def _upright(x0: float, x1: float, y0: float, y1: float, z: float) -> Points:
    return np.array([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)])


def _shrunk(quad: Points, along: float, up: float) -> Points:
    """A window in a face: towards the middle, by other shares along and up."""
    middle = quad.mean(axis=0)
    shrunk: Points = middle + (quad - middle) * np.array([along, up, along])
    return shrunk


def _halves(quad: Points) -> list[Points]:
    """The front and the rear window of a side: foot and roof of the cabin cut in the middle."""
    foot, roof = (quad[0] + quad[3]) / 2, (quad[1] + quad[2]) / 2
    return [np.array([quad[0], quad[1], roof, foot]), np.array([foot, roof, quad[2], quad[3]])]


def _darker(colour: Colour, share: float) -> Colour:
    return colour[0] * share, colour[1] * share, colour[2] * share
