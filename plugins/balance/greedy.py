"""Greedy k-center with class balance: thesis Alg. 2, exact, at a cost of a few passes over the pool per item chosen."""

from __future__ import annotations

import numpy as np

from plugins.contract import FloatArray, IntArray

REFRESH = 64  # items whose distance is brought up to date together
BLOCK = 4_096  # rows of a product with the labeled items
CLOSE = 2.0**-26  # of the squared norms: products lose such small squares to rounding, so differences are taken


def balanced_kcenter(
    points: FloatArray,
    labeled: FloatArray,
    probabilities: FloatArray,
    target: FloatArray,
    budget: int,
    weight: float,
    ties: FloatArray,
) -> IntArray:
    """(b,) positions, b = min(budget, N): again and again argmin_i -d_i + weight * |Omega - P_i - P^T z|_1 (Alg. 2).

    points: (N, D), labeled: (L, D), finite. d_i: Euclidean distance of item i to the nearest labeled or chosen one, 0
    for all while there is none. probabilities: (N, C), non-negative. target: (C,) Omega. ties: (N,); of equal items
    the one with the smaller tie. Time per choice O(N), plus what distances must be looked at again.

    >>> line, p = np.array([[0.0], [4.0], [5.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> balanced_kcenter(line, np.array([[1.0]]), p, np.array([0.0, 1.0]), 1, 0.0, np.zeros(3)).tolist()
    [2]
    >>> balanced_kcenter(line, np.array([[1.0]]), p, np.array([0.0, 1.0]), 1, 2.0, np.zeros(3)).tolist()
    [1]
    """
    away, balance = Distances(points, labeled), Balance(probabilities, target)
    chosen: list[int] = []
    open_ = np.ones(len(points), dtype=bool)
    for _ in range(max(0, min(budget, len(points)))):
        imbalance = weight * balance.terms()
        item = _best(away, imbalance, open_, ties)
        chosen.append(item)
        open_[item] = False
        away.add(item)
        balance.add(item)
    return np.array(chosen, dtype=np.int64)


def _best(away: Distances, imbalance: FloatArray, open_: IntArray, ties: FloatArray) -> int:
    """The open item of smallest key. A distance only shrinks, so an old one makes a key that is too small, never too
    large: only items that could still win are brought up to date (Minoux 1978)."""
    keys = np.where(open_, imbalance - away.known, np.inf)
    while True:
        fresh = away.fresh()
        limit = float(keys[fresh].min(initial=np.inf))
        stale = np.flatnonzero(~fresh & (keys <= limit) & open_)
        if not len(stale):
            level = np.flatnonzero(keys == limit)
            return int(level[ties[level].argmin()])
        if len(stale) > REFRESH:
            stale = stale[np.argpartition(keys[stale], REFRESH)[:REFRESH]]
        away.refresh(stale)
        keys[stale] = imbalance[stale] - away.known[stale]


class Distances:
    """(N,) distances to the nearest centre, each as of some number of centres; `refresh` brings items up to date."""

    def __init__(self, points: FloatArray, labeled: FloatArray) -> None:
        self._points = points
        self._centres = np.empty((16, points.shape[1]))
        self.known = np.zeros(len(points))
        self._any = len(labeled) > 0
        self._seen = np.zeros(len(points), dtype=np.int64)  # how many chosen centres `known` accounts for
        self._count = 0
        if self._any:
            known = np.asarray(labeled, dtype=np.float64)
            for start in range(0, len(points), BLOCK):
                rows = np.arange(start, min(start + BLOCK, len(points)))
                self.known[rows] = self._nearest(self._rows(rows), known)

    def fresh(self) -> IntArray:
        """(N,) whether a distance accounts for every centre."""
        return np.asarray(self._seen == self._count)

    def add(self, item: int) -> None:
        """Makes an item a centre; the first one of all is looked at by everyone."""
        if self._count == len(self._centres):
            self._centres = np.concatenate([self._centres, np.empty_like(self._centres)])
        self._centres[self._count] = self._rows(np.array([item]))[0]
        self._count += 1
        if not self._any:
            self._any = True
            self.known[:] = np.inf
            for start in range(0, len(self.known), BLOCK):
                self.refresh(np.arange(start, min(start + BLOCK, len(self.known))))

    def refresh(self, items: IntArray) -> None:
        """Brings (k,) items up to date."""
        since = int(self._seen[items].min(initial=self._count))
        fresh = self._nearest(self._rows(items), self._centres[since : self._count])
        self.known[items] = np.minimum(self.known[items], fresh)
        self._seen[items] = self._count

    def _rows(self, items: IntArray) -> FloatArray:
        return np.asarray(self._points[items].astype(np.float64))

    @staticmethod
    def _nearest(rows: FloatArray, centres: FloatArray) -> FloatArray:
        """(k,) distance of each of (k, D) rows to the nearest of (m, D) centres, m > 0."""
        norms = np.einsum("kd,kd->k", rows, rows)[:, None] + np.einsum("md,md->m", centres, centres)
        squares = norms - 2 * (rows @ centres.T)
        row, centre = np.nonzero(squares <= CLOSE * norms)
        for start in range(0, len(row), BLOCK):
            r, c = row[start : start + BLOCK], centre[start : start + BLOCK]
            squares[r, c] = np.square(rows[r] - centres[c]).sum(axis=1)
        return np.asarray(np.sqrt(squares.min(axis=1)))


class Balance:
    """|Omega - P_i - s|_1 of every item i, s the sum of the rows chosen so far, less what is the same for all items.

    A class whose remaining want r_c is at least every P_ic, or at most every one, counts r_c - P_ic or P_ic - r_c: its
    part of the sum changes with r_c for all items alike, so it is touched only when it enters or leaves that state.
    """

    def __init__(self, probabilities: FloatArray, target: FloatArray) -> None:
        self._p = probabilities
        self._left = target.astype(np.float64).copy()  # r = Omega - s
        empty = not len(probabilities)
        self._low = np.zeros(len(target)) if empty else probabilities.min(axis=0).astype(np.float64)
        self._high = np.zeros(len(target)) if empty else probabilities.max(axis=0).astype(np.float64)
        self._sign = np.zeros(len(target), dtype=np.int64)  # of P_ic in `_straight`; 0 while a class bends
        self._straight = np.zeros(len(probabilities))
        self._bent: dict[int, FloatArray] = {}  # class -> its column, contiguous
        for c in range(len(target)):
            self._place(c)

    def terms(self) -> FloatArray:
        """(N,) the L1 term of each item, up to a constant."""
        total = self._straight.copy()
        for c, column in self._bent.items():
            total += np.abs(self._left[c] - column)
        return total

    def add(self, item: int) -> None:
        """Takes an item: its row leaves what is wanted."""
        row = self._p[item].astype(np.float64)
        self._left -= row
        for c in np.flatnonzero(row):
            self._place(int(c))

    def _place(self, c: int) -> None:
        sign = -1 if self._left[c] >= self._high[c] else 1 if self._left[c] <= self._low[c] else 0
        if sign == 0 and c not in self._bent:
            self._bent[c] = self._p[:, c].astype(np.float64)
        elif sign != 0:
            self._bent.pop(c, None)
        if sign != self._sign[c]:
            self._straight += (sign - self._sign[c]) * self._p[:, c].astype(np.float64)
            self._sign[c] = sign
