"""Dropout passes: what a model predicts on average while parts of it are switched off, streamed over the pool.

Gal & Ghahramani 2016, with one mask per pass for all items (Kirsch, van Amersfoort & Gal 2019, "consistent" dropout):
each pass is one model drawn at random, so an item's numbers do not depend on where it stands in the pool.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import scipy.special
from numpy.typing import NDArray

from plugins.contract import FloatArray

PASSES = frozenset({"expected_probabilities", "expected_entropy"})
SALT = 0x44524F50  # masks are no function of the draws that training made under the same seed
Columns = dict[str, NDArray[np.float32]]


def asked_for(wanted: Collection[str]) -> bool:
    """Whether any of the columns in `wanted` needs dropout passes."""
    return not PASSES.isdisjoint(wanted)


def masks(passes: int, widths: Iterable[int], rate: float, seed: int) -> list[NDArray[np.float32]]:
    """For each width D one (M, D): 0 where a pass drops a feature, with probability `rate`, else 1 / (1 - rate).

    >>> [mask.shape for mask in masks(4, [3, 2], 0.5, seed=0)]
    [(4, 3), (4, 2)]
    """
    rng = np.random.default_rng([seed & 0xFFFFFFFFFFFFFFFF, SALT])
    return [((rng.random((passes, width)) >= rate) / (1.0 - rate)).astype(np.float32) for width in widths]


class Means:
    """Means over M passes, gathered block by block: (N, M, C) never exists."""

    def __init__(self, n: int, classes: int, passes: int) -> None:
        self._passes = passes
        self._probabilities = np.zeros((n, classes), dtype=np.float32)
        self._entropy = np.zeros(n, dtype=np.float32)

    def add(self, rows: slice, each: Iterable[FloatArray]) -> None:
        """The M probabilities (n, C) of the items at `rows`, one pass after the other."""
        total: FloatArray = np.zeros(self._probabilities[rows].shape)
        entropy: FloatArray = np.zeros(len(total))
        for probabilities in each:
            total += probabilities
            entropy += scipy.special.entr(probabilities).sum(axis=1)
        self._probabilities[rows], self._entropy[rows] = total / self._passes, entropy / self._passes

    def columns(self) -> Columns:
        """expected_probabilities (N, C) and expected_entropy (N,) in nats."""
        return {"expected_probabilities": self._probabilities, "expected_entropy": self._entropy}
