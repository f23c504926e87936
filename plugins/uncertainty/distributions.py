"""Class distributions by blocks of rows, so that a memory-mapped pool of millions never lies in memory at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from plugins.contract import FloatArray

BLOCK = 65_536  # rows


def by_rows(measure: Callable[[FloatArray], FloatArray], probabilities: FloatArray) -> FloatArray:
    """(N,) float64: `measure` of (n, C) float64 blocks of (N, C) probabilities.

    >>> by_rows(lambda block: block.max(axis=1), np.array([[0.25, 0.75]], dtype=np.float32)).tolist()
    [0.75]
    """
    values = np.empty(len(probabilities))
    for start in range(0, len(probabilities), BLOCK):
        block = probabilities[start : start + BLOCK].astype(np.float64)
        values[start : start + BLOCK] = measure(block)
    return values
