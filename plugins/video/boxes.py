"""Boxes as arrays: areas and overlaps of (n, 4) xyxy boxes in px."""

from __future__ import annotations

import numpy as np

from plugins.contract import FloatArray


def areas(boxes: FloatArray) -> FloatArray:
    """(n,) area of (n, 4) boxes in px², 0 where a side is not positive.

    >>> areas(np.array([[0.0, 0.0, 2.0, 3.0], [5.0, 5.0, 4.0, 9.0]])).tolist()
    [6.0, 0.0]
    """
    width = np.maximum(boxes[:, 2] - boxes[:, 0], 0)
    return np.asarray(width * np.maximum(boxes[:, 3] - boxes[:, 1], 0))


def overlaps(a: FloatArray, b: FloatArray) -> FloatArray:
    """(n,) intersection over union of row i of (n, 4) `a` with row i of (n, 4) `b`; 0 where neither has an area.

    NaN in a box gives NaN, which is larger than nothing.

    >>> overlaps(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]])).round(3).tolist()
    [0.333]
    """
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    union = areas(a) + areas(b) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union != 0))


def outside(boxes: FloatArray, sizes: FloatArray) -> FloatArray:
    """(n,) share of the width of (n, 4) boxes that lies outside images of (n, 2) width and height in px.

    0 where the size is unknown (NaN).

    >>> outside(np.array([[-5.0, 0.0, 15.0, 9.0]]), np.array([[100.0, 50.0]])).tolist()
    [0.25]
    """
    left = np.maximum(-boxes[:, 0], 0)
    right = np.maximum(boxes[:, 2] - sizes[:, 0], 0)
    share = (left + right) / np.maximum(boxes[:, 2] - boxes[:, 0], 1e-9)
    return np.asarray(np.nan_to_num(np.minimum(share, 1), nan=0.0))
