"""Boxes in pixels and in Label Studio's percent of the image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
LEAST_SIDE = 1e-3  # px; what is thinner is the rounding of a line


def checked_size(width: float, height: float) -> None:
    """Raises ValueError unless an image can have this size in pixels."""
    for name, value in (("width", width), ("height", height)):
        if not (math.isfinite(value) and value >= 1):
            raise ValueError(f"The {name} of the image is {value!r} px; give its size in pixels, 1 or more.")


def checked_boxes(what: str, box: Any) -> FloatArray:
    """(K, 4) float64 corners x1, y1, x2, y2, finite and in order; `what` names them in errors."""
    boxes = np.asarray(box, dtype=np.float64)
    if boxes.size == 0:
        return np.empty((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"The boxes of {what} have shape {boxes.shape}; give (K, 4) corners x1, y1, x2, y2.")
    wrong = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"Box {row} of {what} is {boxes[row].tolist()}; give finite corners x1 <= x2 and y1 <= y2 in pixels."
        )
    return boxes


def clipped(box: FloatArray, width: float, height: float) -> FloatArray:
    """(K, 4) the part of each box that lies on the image.

    >>> clipped(np.array([[-5.0, 2.0, 30.0, 8.0]]), 20, 10).tolist()
    [[0.0, 2.0, 20.0, 8.0]]
    """
    return np.asarray(np.clip(box, 0.0, [width, height, width, height]))


def has_area(box: FloatArray) -> NDArray[np.bool_]:
    """(K,) whether a box covers anything: one outside the image is a line or a point once it is clipped."""
    return np.asarray((box[:, 2:] - box[:, :2] > LEAST_SIDE).all(axis=1))


def to_percent(box: FloatArray, width: float, height: float) -> FloatArray:
    """(K, 4) x, y, width, height in percent of the image, of corners in pixels.

    >>> to_percent(np.array([[10.0, 20.0, 40.0, 60.0]]), 100, 200).tolist()
    [[10.0, 10.0, 30.0, 20.0]]
    """
    corners = box / [width, height, width, height] * 100
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)


def to_pixels(percent: FloatArray, width: float, height: float) -> FloatArray:
    """(K, 4) corners x1, y1, x2, y2 in pixels, of x, y, width, height in percent of the image.

    >>> to_pixels(np.array([[10.0, 10.0, 30.0, 20.0]]), 100, 200).tolist()
    [[10.0, 20.0, 40.0, 60.0]]
    """
    corners = np.concatenate([percent[:, :2], percent[:, :2] + percent[:, 2:]], axis=1)
    return np.asarray(corners * [width, height, width, height] / 100)
