"""Boxes as detectors take them: checked at the door, inside their image, of a class that there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from plugins.contract import FloatArray, IntArray

SMALLEST = 1.0  # px: a box that is narrower after the image's border cut it teaches nothing


def checked_boxes(boxes: LabeledBoxes, labeled: Images, classes: tuple[str, ...]) -> LabeledBoxes:
    """The same boxes as int64 and float64 if they fit the L images and C classes, else ValueError."""
    item, box, label = np.asarray(boxes.item), np.asarray(boxes.box, dtype=np.float64), np.asarray(boxes.label)
    if item.ndim != 1 or label.shape != item.shape or box.shape != (len(item), 4):
        raise ValueError(
            f"Boxes came as items of shape {item.shape}, corners {box.shape} and labels {label.shape}; give (B,), "
            "(B, 4) and (B,)."
        )
    _within(item, len(labeled), "Item", "labeled images")
    _within(label, len(classes), "Label", "classes")
    if not np.isfinite(box).all():
        raise ValueError(f"Box {int(np.flatnonzero(~np.isfinite(box).all(axis=1))[0])} is not finite; correct it.")
    if not len(item):
        raise ValueError(f"None of the {len(labeled)} labeled images has a box; label one with a box first.")
    return LabeledBoxes(item.astype(np.int64), box, label.astype(np.int64))


def _within(values: IntArray, end: int, what: str, of: str) -> None:
    wrong = np.flatnonzero((values < 0) | (values >= end))
    if len(wrong):
        raise ValueError(f"{what} {int(values[wrong[0]])} is not one of the {end} {of}; give positions from 0.")


def inside(boxes: LabeledBoxes, sizes: Sequence[tuple[int, int]]) -> LabeledBoxes:
    """Boxes cut at their image's border; those of which less than a pixel is left are gone. sizes: (height, width)."""
    limits = np.array(sizes, dtype=np.float64).reshape(-1, 2)[boxes.item][:, [1, 0, 1, 0]]
    ordered = np.hstack(
        [np.minimum(boxes.box[:, :2], boxes.box[:, 2:]), np.maximum(boxes.box[:, :2], boxes.box[:, 2:])]
    )
    cut = np.clip(ordered, 0, limits)
    kept = ((cut[:, 2:] - cut[:, :2]) >= SMALLEST).all(axis=1)
    return LabeledBoxes(boxes.item[kept], cut[kept], boxes.label[kept])


def normalised(box: FloatArray, size: tuple[int, int]) -> NDArray[np.float64]:
    """Corners (n, 4) in px -> centre x, centre y, width, height as shares of the image, as YOLO's files have them.

    >>> normalised(np.array([[10.0, 20.0, 30.0, 60.0]]), (100, 50)).tolist()
    [[0.4, 0.4, 0.4, 0.4]]
    """
    scale = np.array([size[1], size[0]], dtype=np.float64)
    return np.hstack([(box[:, :2] + box[:, 2:]) / 2 / scale, (box[:, 2:] - box[:, :2]) / scale])
