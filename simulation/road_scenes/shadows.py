"""Shadows on the ground: what stands up darkens what lies away from the sun, once however many overlap."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.camera import Camera, Points
from simulation.road_scenes.canvas import Canvas, whole
from simulation.road_scenes.light import Light

Solid = tuple[float, float, float, float, float, float]  # x, z, heading, width, height, length in metres


class Shadows:
    """Holds the mask of a frame; made once for a drive."""

    def __init__(self, canvas: Canvas) -> None:
        self.mask: NDArray[np.uint8] = np.zeros((canvas.height, canvas.width), np.uint8)

    def cast(self, canvas: Canvas, camera: Camera, light: Light, solids: list[Solid]) -> None:
        """Darkens the ground of the canvas under and behind solids; nothing else may be painted yet."""
        top = min(max(0, math.floor(camera.horizon) + 1), canvas.height)
        if not solids or top == canvas.height:
            return
        self.mask[top:] = 0
        outlines = footprints(np.array(solids), light.sun)
        x, z = outlines[..., 0], outlines[..., 1]
        for outline in whole(camera.ground(x, z)):
            hull = cv2.convexHull(outline)
            cv2.fillConvexPoly(self.mask, hull, 255)
        ground = canvas.pixels[top:]
        cv2.copyTo(cv2.convertScaleAbs(ground, alpha=light.shadow), self.mask[top:], ground)


def footprints(solids: Points, sun: tuple[float, float, float] | None) -> Points:
    """Corners on the ground of the feet and the shadows of the tops of boxes (n, 6), (n, 8, 2) as x, z.

    Without sun the top's corners fall on the feet: what is left is the dark under a thing.

    >>> footprints(np.array([[0.0, 10, 0, 2, 1, 4]]), (0.6, 0.8, 0.0))[0, 4].tolist()
    [-1.75, 8.0]
    """
    x, z, heading, width, height, length = solids.T
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    across = width[:, None] / 2 * np.array([-1.0, 1.0, 1.0, -1.0])
    along = length[:, None] / 2 * np.array([-1.0, -1.0, 1.0, 1.0])
    feet = np.stack([x[:, None] + across * cos + along * sin, z[:, None] - across * sin + along * cos], axis=-1)
    shift = np.zeros((len(solids), 1, 2))
    if sun is not None:
        shift[:, 0] = -height[:, None] * np.array([sun[0], sun[2]]) / sun[1]
    return np.concatenate([feet, feet + shift], axis=1)
