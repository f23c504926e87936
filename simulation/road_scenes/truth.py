"""Ground truth read off the slots: boxes of the pixels that show an object, and of those that would if alone."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from simulation.road_scenes.canvas import Picture
from simulation.road_scenes.table import Kind

Extent = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, ends excluded


@dataclass(frozen=True)
class Seen:
    """An object in a frame. box, pixels: what shows of it; whole: box and pixels if nothing stood before it, within
    the picture; cut: the picture's border cuts it."""

    id: int
    kind: Kind
    box: Extent
    pixels: int
    whole_box: Extent
    whole_pixels: int
    cut: bool

    @property
    def visibility(self) -> float:
        """Share of its pixels that show, above 0 and at most 1."""
        return self.pixels / self.whole_pixels


@dataclass(frozen=True)
class Frame:
    """picture: (height, width, 3) blue, green, red; slots: (height, width) into `numbers`, the ids; objects: those with
    enough visible pixels, by id."""

    picture: Picture
    slots: Picture
    numbers: NDArray[np.uint16]  # (256,) id of each slot, 0 for what is no object
    objects: tuple[Seen, ...]

    @property
    def ids(self) -> NDArray[np.uint16]:
        """(height, width): the id of the object that a pixel shows, 0 for none."""
        return self.numbers[self.slots]


def extent(slots: Picture, slot: int, around: Extent) -> tuple[int, Extent]:
    """Number and box of the pixels of a slot, none of which lies outside `around`.

    >>> extent(np.array([[0, 0, 0], [0, 7, 7]], np.uint8), 7, (0, 0, 3, 2))
    (2, (1, 1, 3, 2))
    """
    x0, y0, x1, y1 = around
    mask = slots[y0:y1, x0:x1] == slot
    pixels = int(np.count_nonzero(mask))
    if not pixels:
        return 0, (x0, y0, x0, y0)
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return pixels, (x0 + left, y0 + top, x0 + left + width, y0 + top + height)
