"""The pool as the program reads it: probabilities where they lie, in blocks, and never a second copy of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from plugins.contract import FloatArray, IntArray

ENTRIES = 2**18  # of one block: its float64 copy stays in the cache
Result = TypeVar("Result")


class Pool:
    """(N, C) probabilities of any float type, (N,) cost and ties; `part` (n,) positions make it a smaller pool.

    Every product is of float64 numbers, so its error is at most that of C + 2 float64 operations.
    heaviest: no row sums to more.
    """

    heaviest = 1.0

    def __init__(
        self, probabilities: FloatArray, cost: FloatArray, ties: FloatArray, threads: int, part: IntArray | None = None
    ) -> None:
        self.probabilities, self.threads, self.part = probabilities, threads, part
        self.cost = cost if part is None else cost[part]
        self.ties = ties if part is None else ties[part]

    def __len__(self) -> int:
        return len(self.cost)

    def reduced(self, y: FloatArray) -> FloatArray:
        """(n,) float64: cost - P y."""
        out = np.empty(len(self))

        def work(rows: slice) -> None:
            np.subtract(self.cost[rows], self._block(rows) @ y, out=out[rows])

        self.blocks(work)
        return out

    def rows(self, items: IntArray) -> FloatArray:
        """(k, C) float64 rows of k items."""
        where = items if self.part is None else self.part[items]
        return self.probabilities[where].astype(np.float64, copy=False)

    def total(self, items: IntArray) -> FloatArray:
        """(C,) the sum of the rows of items, added in the order given."""
        out = np.zeros(self.probabilities.shape[1])
        size = max(1, ENTRIES // len(out))
        for start in range(0, len(items), size):
            out += self.rows(items[start : start + size]).sum(axis=0)
        return out

    def blocks(self, work: Callable[[slice], Result]) -> list[Result]:
        """work(rows) for every block, on `threads` threads; the caller keeps BLAS to one thread."""
        size = max(1, ENTRIES // self.probabilities.shape[1])
        slices = [slice(start, start + size) for start in range(0, len(self), size)]
        if len(slices) <= 1 or self.threads <= 1:
            return [work(rows) for rows in slices]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(work, slices))

    def _block(self, rows: slice) -> FloatArray:
        where = rows if self.part is None else self.part[rows]
        return self.probabilities[where].astype(np.float64, copy=False)
