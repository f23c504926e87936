"""The canvas: a picture whose fourth channel says which object each pixel shows, written by the same stroke."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.camera import Points

Picture = NDArray[np.uint8]
Paint = tuple[float, float, float, int]  # blue, green, red, slot

GROUND, SCENERY, OBJECTS = 0, 255, 254  # slot of ground and sky, of things without a label, and how many objects fit


class Canvas:
    """pixels: (height * oversampling, width * oversampling, 4); the fourth channel is the slot of the drawn object.

    No stroke is smoothed, since a slot cannot be; smoothness comes from averaging the oversampled pixels.
    """

    def __init__(self, width: int, height: int, oversampling: int) -> None:
        self.oversampling = oversampling
        self.size = (width, height)
        self.pixels: Picture = np.zeros((height * oversampling, width * oversampling, 4), np.uint8)
        self.slots: Picture = self.pixels[::oversampling, ::oversampling, 3]  # a view: one drawn pixel for each of ours

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    def polygon(self, points: Points | NDArray[np.int32], paint: Paint) -> None:
        """A convex polygon, (n, 2) pixels."""
        cv2.fillConvexPoly(self.pixels, whole(points), paint)

    def polygons(self, polygons: Sequence[Points] | Points, paint: Paint) -> None:
        """Polygons of any shape that do not overlap each other, each (n, 2)."""
        corners = list(whole(polygons)) if isinstance(polygons, np.ndarray) else [whole(each) for each in polygons]
        if corners:
            cv2.fillPoly(self.pixels, corners, paint)

    def quads(self, quads: Points, paint: Paint) -> None:
        """Convex polygons that may overlap, (n, 4, 2)."""
        for quad in whole(quads):
            cv2.fillConvexPoly(self.pixels, quad, paint)

    def fill(self, top: int, paint: Paint) -> None:
        """Everything from a row down."""
        cv2.rectangle(self.pixels, (0, top), (self.width - 1, self.height - 1), paint, -1)

    def picture(self) -> Picture:
        """(height, width, 3): the oversampled pixels averaged."""
        shown = cv2.cvtColor(self.pixels, cv2.COLOR_BGRA2BGR)
        if self.oversampling > 1:
            shown = cv2.resize(shown, self.size, interpolation=cv2.INTER_AREA)
        return np.asarray(shown, dtype=np.uint8)


def whole(points: Points | NDArray[np.int32]) -> NDArray[np.int32]:
    """Pixels as OpenCV takes them."""
    return np.rint(points).astype(np.int32)
