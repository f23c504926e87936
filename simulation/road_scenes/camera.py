"""A pinhole camera at a driver's eye. Camera coordinates are (right, up, ahead) in metres, up from the eye."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

NEAR = 0.4  # metres; what is nearer is cut off
EYE = 1.5  # metres above the road
HALF_VIEW = math.radians(32)  # half of the horizontal angle of view
_WIDE, _SLANT = math.tan(HALF_VIEW), 1 / math.cos(HALF_VIEW)
HORIZON = 0.45  # share of the height above the horizon of a level camera


@dataclass(frozen=True)
class Camera:
    """x, z: place in the world; yaw: heading, from +z towards +x; pitch: upwards; both in radians.

    focal, width, height: pixels. Pitch moves the picture up and down, which is exact enough for the degree it has.
    """

    x: float
    z: float
    yaw: float
    pitch: float
    width: int
    height: int

    @cached_property
    def focal(self) -> float:
        return self.width / 2 / math.tan(HALF_VIEW)

    @cached_property
    def horizon(self) -> float:
        """The row of the horizon."""
        return HORIZON * self.height + self.focal * self.pitch

    @cached_property
    def _turn(self) -> tuple[float, float]:
        return math.cos(self.yaw), math.sin(self.yaw)

    @cached_property
    def _scales(self) -> Points:
        return np.array([self.focal, -self.focal])

    @cached_property
    def _middle(self) -> Points:
        return np.array([self.width / 2, self.horizon])

    def place(self, local: Points, x: float, z: float, heading: float) -> Points:
        """Points of a thing that stands at (x, z) and looks along heading, (n, 3) -> camera coordinates (n, 3).

        local: (right, up from the ground, ahead) in the thing's own frame.
        """
        right, ahead = self.turned(x - self.x, z - self.z)
        cos, sin = math.cos(heading - self.yaw), math.sin(heading - self.yaw)
        seen: Points = local @ np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
        seen += np.array([right, -EYE, ahead])
        return seen

    def world(self, points: Points) -> Points:
        """Points of the world (n, 3) as x, up, z -> camera coordinates (n, 3)."""
        cos, sin = self._turn
        seen: Points = (points - np.array([self.x, EYE, self.z])) @ np.array(
            [[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]]
        )
        return seen

    def turned(self, dx: float, dz: float) -> tuple[float, float]:
        """(right, ahead) of a difference in the world."""
        cos, sin = self._turn
        return dx * cos - dz * sin, dx * sin + dz * cos

    def sees(self, x: float, z: float, radius: float) -> bool:
        """Whether a thing within so many metres of (x, z) may be in the picture."""
        right, ahead = self.turned(x - self.x, z - self.z)
        return ahead > NEAR - radius and abs(right) < ahead * _WIDE + radius * _SLANT

    def ground(self, x: Points, z: Points) -> Points:
        """Pixels (n, 2) of points of the ground; behind the camera they are moved to NEAR, far below the picture."""
        cos, sin = self._turn
        dx, dz = x - self.x, z - self.z
        scale = self.focal / np.maximum(dx * sin + dz * cos, NEAR)
        pixels = np.empty((*np.shape(x), 2))
        pixels[..., 0] = self.width / 2 + scale * (dx * cos - dz * sin)
        pixels[..., 1] = self.horizon + scale * EYE
        return pixels

    def project(self, seen: Points) -> Points:
        """Camera coordinates (n, 3), all beyond NEAR -> pixels (n, 2).

        >>> level = Camera(0, 0, 0, 0, 480, 270)
        >>> level.project(np.array([[0.0, 0.0, 10.0], [0.0, -1.5, 10.0]])).round(1)
        array([[240. , 121.5],
               [240. , 179.1]])
        """
        pixels: Points = seen[:, :2] / seen[:, 2:]
        pixels *= self._scales
        pixels += self._middle
        return pixels


def clipped(polygon: Points) -> Points:
    """The part of a polygon (n, 3) in camera coordinates beyond NEAR (Sutherland & Hodgman 1974), (m, 3), m <= n + 1.

    >>> clipped(np.array([[0.0, 0, 1], [1, 0, 1], [1, 0, -1], [0, 0, -1]]))[:, 2].round(2).tolist()
    [0.4, 1.0, 1.0, 0.4]
    """
    kept = []
    for start, end in zip(np.roll(polygon, 1, axis=0), polygon, strict=True):
        if (start[2] < NEAR) != (end[2] < NEAR):
            share = (NEAR - start[2]) / (end[2] - start[2])
            kept.append(start + share * (end - start))
        if end[2] >= NEAR:
            kept.append(end)
    return np.array(kept).reshape(-1, 3)
