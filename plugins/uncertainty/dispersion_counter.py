"""Label dispersion while a training runs: counts one epoch at a time, so that no history need be kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray


class DispersionCounter:
    """Dispersion of n items while a training runs, without its history: exactly `dispersion` of all epochs so far.

    Holds one small count for each label that an item was ever given, never (n, C): a hundred epochs in which items
    waver between three labels cost three counts each. One pass over them per epoch.

    >>> counter = DispersionCounter(2)
    >>> for labels in ([3, 3], [8, 3], [3, 3], [5, 3]):
    ...     counter.add(np.array(labels))
    >>> counter.values().tolist()
    [0.5, 0.0]
    """

    def __init__(self, n: int) -> None:
        self.epochs = 0
        self._distinct = np.zeros(n, dtype=np.uint16)  # labels that each item was given so far
        self._slots: list[_Slot] = []  # slot k: the items with more than k distinct labels

    def add(self, labels: IntArray) -> None:
        """Counts one epoch: (n,) integer labels. ValueError on another shape or type, or beyond 65 535 epochs."""
        if labels.shape != self._distinct.shape or labels.dtype.kind not in "iu":
            raise ValueError(
                f"An epoch of {labels.shape} {labels.dtype} labels was added to a counter of {len(self._distinct)} "
                "items; give one class index per item."
            )
        if self.epochs == np.iinfo(np.uint16).max:
            raise ValueError(f"The counter is full after {self.epochs} epochs; add one epoch in every few.")
        self.epochs += 1
        new = np.ones(len(labels), dtype=bool)
        for slot in self._slots:
            hit = labels[slot.items] == slot.labels
            slot.counts += hit
            new[slot.items[hit]] = False
        fresh = np.flatnonzero(new)
        depth = self._distinct[fresh]
        for k in np.unique(depth).tolist():
            self._place(k, fresh[depth == k], labels)
        self._distinct[fresh] += 1

    def _place(self, k: int, items: IntArray, labels: IntArray) -> None:
        """Gives `items`, which have k labels, their next one with a count of 1."""
        if k == len(self._slots):
            self._slots.append(_Slot())
        self._slots[k].extend(items, labels[items])

    def values(self) -> FloatArray:
        """(n,) float64 dispersion of the epochs so far, 0 before the first."""
        frequent = np.zeros(len(self._distinct), dtype=np.int64)
        for slot in self._slots:
            frequent[slot.items] = np.maximum(frequent[slot.items], slot.counts)
        return np.asarray(1.0 - frequent / self.epochs) if self.epochs else np.zeros(len(frequent))


class _Slot:
    """items (m,), the label (m,) each has in this slot, and how often it had it (m,)."""

    def __init__(self) -> None:
        self.items: NDArray[np.unsignedinteger[Any]] = np.empty(0, dtype=np.uint8)
        self.labels: IntArray = np.empty(0, dtype=np.uint8)
        self.counts = np.empty(0, dtype=np.uint16)

    def extend(self, items: IntArray, labels: IntArray) -> None:
        self.items = np.concatenate([self.items, items.astype(np.uint32)])
        self.labels = np.concatenate([self.labels, labels.astype(_smallest(labels))])
        self.counts = np.concatenate([self.counts, np.ones(len(items), dtype=np.uint16)])


def _smallest(labels: IntArray) -> np.dtype[Any]:
    """The smallest type that holds all of (m,) labels, m > 0."""
    return np.promote_types(np.min_scalar_type(labels.min()), np.min_scalar_type(labels.max()))
