"""Sums by group."""

from __future__ import annotations

import numpy as np

from plugins.contract import FloatArray, IntArray


def totals(group: IntArray, values: FloatArray, count: int) -> FloatArray:
    """(count,) float64 sum of (n,) values in each of the groups 0 .. count - 1.

    >>> totals(np.array([2, 0, 2]), np.array([1.0, 2.0, 3.0]), 4).tolist()
    [2.0, 0.0, 4.0, 0.0]
    """
    return np.asarray(np.bincount(group, values, count), dtype=np.float64)
