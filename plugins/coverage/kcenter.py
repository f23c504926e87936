"""k-center: again and again the item that lies farthest from everything labeled or chosen so far.

Exact, at the speed of matrix products: float32 products propose the farthest items with a proven error, float64
decides among them, and a choice that is certain among the few candidates is one for the whole pool.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import frexp, sqrt
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from plugins.combination import checked_values
from plugins.contract import FloatArray, IntArray, PluginConfig, Selection, Selector
from plugins.coverage.embeddings import labeled_and_pool, row_keys
from plugins.evidence import Evidence

CENTRES = 512  # in one product with the pool
ENTRIES = 2**20  # of one block's products; they stay in the cache while they are read twice
ROUNDING = 2.0**-24  # of float32
Result = TypeVar("Result")
SHARE = 32  # candidates' distances to each other cost about 1/32 of the pool's to the choices


class KCenterConfig(PluginConfig):
    """Nothing to set."""


def kcenter_greedy(
    points: FloatArray, labeled: FloatArray, budget: int, ties: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Farthest-first traversal (Gonzalez 1985; Sener & Savarese 2018, Alg. 1): order (b,) and radii (b + 1,).

    points: (N, D), labeled: (L, D), finite, of one dtype. ties: (N,), of equal distances the smaller goes first.
    b = min(budget, N). radii[i] is the covering radius of labeled and the first i choices: the largest Euclidean
    distance of a pool item to the nearest of them, so choice i lies radii[i] away from all before; inf while there
    is none. Without labeled items the first choice is the item nearest to the pool's mean, which alone covers best
    and is no outlier; the guarantee of at most twice the smallest radius holds for any first choice.

    >>> line = np.array([[0.0], [4.0], [6.0], [6.0]])
    >>> order, radii = kcenter_greedy(line, np.array([[1.0]]), 3, ties=np.array([0.5, 0.1, 0.9, 0.2]))
    >>> order.tolist(), radii.tolist()
    ([3, 1, 0], [5.0, 2.0, 1.0, 0.0])
    """
    budget = max(0, min(budget, len(points)))
    if not len(points):
        return np.empty(0, dtype=np.int64), np.zeros(1)
    threads = max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)
    with threadpool_limits(1, user_api="blas"):  # blocks run side by side; BLAS threads would wait for each other
        return traverse(Cover(points, labeled, threads), budget, ties)


def traverse(cover: Cover, budget: int, ties: FloatArray) -> tuple[IntArray, FloatArray]:
    """`kcenter_greedy` on a prepared pool: rounds of candidates, their exact replay, and one update of the pool."""
    points, labeled = cover.points, cover.labeled
    order: list[int] = []
    squares: list[float] = []
    if not len(labeled):
        squares.append(np.inf)
        if budget:
            order.append(cover.central(ties))
            cover.choose(np.array(order))
    confirmed = 1
    while len(order) < budget:
        most = sqrt(len(points) * confirmed / SHARE)
        wanted = int(min(max(most, 64), cover.most_candidates, len(points) - len(order)))
        candidates, exact, rest = cover.farthest(wanted, ties)
        if exact[0] == 0:  # what is left repeats what is covered
            left = np.setdiff1d(np.arange(len(points)), order)
            filled = left[np.argsort(ties[left], kind="stable")][: budget - len(order)].tolist()
            order += filled
            squares += [0.0] * len(filled)
            break
        chosen, reached = replay(cover.shifted(candidates), exact, ties[candidates], rest, budget - len(order))
        cover.choose(candidates[chosen])
        order += candidates[chosen].tolist()
        squares += reached
        confirmed = len(chosen)
    if len(order) == len(points):
        squares.append(0.0)
    elif len(squares) == len(order):
        squares.append(float(cover.farthest(1, ties)[1][0]))
    return np.array(order, dtype=np.int64), np.sqrt(squares) * cover.scale


def replay(
    candidates: FloatArray, exact: FloatArray, ties: FloatArray, rest: tuple[float, float], budget: int
) -> tuple[IntArray, list[float]]:
    """The traversal among (m, D) candidates for as long as no other item can be farther: positions, squared distances.

    exact: (m,) squared distances to the nearest centre. rest: (squared distance, tie) that no item outside beats;
    distances only shrink, so a candidate that wins against it wins against the pool. At least one is chosen.
    """
    by_tie = np.argsort(ties, kind="stable")
    if candidates.shape[1]:  # of equal rows the first one stands for all: behind it the others are at distance 0
        by_tie = by_tie[np.sort(np.unique(row_keys(candidates[by_tie]), return_index=True)[1])]
    points, left, ties = candidates[by_tie], exact[by_tie], ties[by_tie]
    between = squares_between(points)
    chosen: list[int] = []
    reached: list[float] = []
    while len(chosen) < budget:
        top = int(left.argmax())  # the first of equals, and rows stand in the order of ties
        square = float(left[top])
        if chosen and (square <= 0 or (square, -float(ties[top])) < (rest[0], -rest[1])):
            break
        chosen.append(top)
        reached.append(square)
        np.minimum(left, between[top], out=left)
        left[top] = -1
    return by_tie[chosen], reached


def squares_between(points: FloatArray) -> FloatArray:
    """(m, m) squared distances of different float64 rows (m, D); those lost in rounding are taken by difference."""
    between = points @ points.T
    norms = between.diagonal().copy()
    between *= -2
    between += norms
    between += norms[:, None]
    np.fill_diagonal(between, np.inf)
    row, other = np.nonzero(between < 2.0**-26 * norms)
    for start in range(0, len(row), 4096):
        a, b = row[start : start + 4096], other[start : start + 4096]
        between[a, b] = np.square(points[a] - points[b]).sum(axis=1)
    np.fill_diagonal(between, 0)
    return np.asarray(between)


class Cover:
    """The pool's squared distances to the nearest of a growing set of centres, halved and in units of `scale`**2.

    Per item: `near`, the nearest centre as far as float32 can tell, `half`, half its squared distance, and `second`,
    that of the runner-up. A product of blocks with the new centres updates all three; no N x N or N x L matrix.
    """

    def __init__(self, points: FloatArray, labeled: FloatArray, threads: int = 1) -> None:
        self.points, self.labeled = points, labeled
        n, width = points.shape
        self._threads = threads
        self.most_candidates = max(64, int(sqrt(n * width / 2)))  # their distances take less room than the pool
        filled = [array for array in (points, labeled) if array.size]
        low = min((float(array.min()) for array in filled), default=0.0)
        high = max((float(array.max()) for array in filled), default=0.0)
        self.scale = max(2.0 ** (frexp(high / 2 - low / 2)[1] + 1), 2.0**-100)
        totals = self._blocks(lambda rows: points[rows].sum(axis=0, dtype=np.float64), 512)
        self.mean = np.sum(totals, axis=0) / n
        # A round number near the mean keeps products small, and sums over whole numbers exact.
        self.origin = (np.round(self.mean / self.scale * 256) / 256).astype(points.dtype)
        self._rows = np.zeros((n, -(-(width + 1) // 16) * 16), dtype=np.float32)
        self._rows[:, width] = 1  # times half a centre's norm: the product is half the squared distance, less |x|^2 / 2
        self._half_norms = np.empty(n, dtype=np.float32)
        self._blocks(self._prepare, 512)
        terms = self._rows.shape[1]
        # |fl(x.c - |c|^2/2) - ...| <= (g/2 + 4u)(|x| + |c|)^2, g = terms u / (1 - terms u); |c| <= |x| + distance
        self._slack = 1.1 * (terms * ROUNDING / (1 - terms * ROUNDING) / 2 + 4 * ROUNDING)
        self.near = np.zeros(n, dtype=np.int64)
        self.half = np.full(n, np.inf, dtype=np.float32)
        self.second = np.full(n, np.inf, dtype=np.float32)
        self.chosen = np.empty(0, dtype=np.int64)
        self._added: list[tuple[int, FloatArray]] = []
        for start in range(0, len(labeled), CENTRES):
            self._add(self._shift(labeled[start : start + CENTRES]), start)

    def central(self, ties: FloatArray) -> int:
        """The position of the item nearest to the mean of the pool."""
        aim = (self.mean / self.scale - self.origin).astype(np.float32)
        half = self._half_norms + (aim @ aim / 2 - self._rows[:, : len(aim)] @ aim)
        slack = self._error(half)
        near = np.flatnonzero(half - slack <= (half + slack).min())
        exact = np.concatenate([self._squares(near[rows], self.mean) for rows in self._slices(len(near))])
        return int(near[np.lexsort((ties[near], exact))[0]])

    def choose(self, items: IntArray) -> None:
        """Makes pool items centres."""
        first = len(self.labeled) + len(self.chosen)
        self.chosen = np.concatenate([self.chosen, items])
        for start in range(0, len(items), CENTRES):
            self._add(self._rows[items[start : start + CENTRES], : self.points.shape[1]], first + start)
        self.half[self.chosen] = -np.inf

    def farthest(self, m: int, ties: FloatArray) -> tuple[IntArray, FloatArray, tuple[float, float]]:
        """The m farthest items, farthest first, their exact squared distances, and what no other item beats.

        m: at most as many as are not chosen. The last is (squared distance, tie).
        """
        half = self.half.astype(np.float64)
        slack = self._error(half)
        lower = half - slack
        floor = float(np.partition(lower, len(lower) - m)[len(lower) - m])
        able = np.flatnonzero(half + slack >= floor)
        exact = np.concatenate([self._exact(able[rows], slack[able[rows]]) for rows in self._slices(len(able))])
        order = np.lexsort((ties[able], -exact))
        rest = (2 * floor, np.inf)  # every other item stays below
        if len(able) > m:
            rest = (float(exact[order[m]]), float(ties[able[order[m]]]))
        return able[order[:m]], exact[order[:m]], rest

    def shifted(self, items: IntArray) -> FloatArray:
        """(m, D) float64 rows of pool items about the origin, in units of `scale`."""
        return np.asarray(self.points[items].astype(np.float64) / self.scale - self.origin)

    def _exact(self, items: IntArray, slack: FloatArray) -> FloatArray:
        """(k,) squared distances to the nearest centre; where float32 cannot tell which that is, float64 does."""
        near = self.near[items]
        unsure = np.flatnonzero(self.second[items] - self.half[items] <= 3 * slack)
        if unsure.size:
            near[unsure] = self._decide(items[unsure], slack[unsure])
            # Decided for good: only a later centre can come close again.
            self.near[items[unsure]], self.second[items[unsure]] = near[unsure], np.inf
        return self._squares(items, self._centres(near))

    def _decide(self, items: IntArray, slack: FloatArray) -> IntArray:
        """(k,) the nearest centres of (k,) items, in float64 among all that float32 cannot tell apart."""
        limit = (self.half[items] + 3 * slack - self._half_norms[items])[:, None]
        close = [np.nonzero(self._rows[items] @ signed.T <= limit) for _, signed in self._added]
        row = np.concatenate([found[0] for found in close])
        number = np.concatenate([found[1] + first for (first, _), found in zip(self._added, close, strict=True)])
        parts = self._slices(len(row))
        squares = np.concatenate([self._squares(items[row[part]], self._centres(number[part])) for part in parts])
        order = np.lexsort((number, squares, row))
        return np.asarray(number[order[np.unique(row[order], return_index=True)[1]]])

    def _squares(self, items: IntArray, others: FloatArray) -> FloatArray:
        """(k,) squared distances of pool items to (k, D) or (D,) others by difference, so equal rows are 0 apart."""
        return np.asarray(np.square((self.points[items].astype(np.float64) - others) / self.scale).sum(axis=1))

    def _centres(self, numbers: IntArray) -> FloatArray:
        """(k, D) float64 rows of centres by number: labeled items first, then choices."""
        known = len(self.labeled)
        rows = np.empty((len(numbers), self.points.shape[1]))
        rows[numbers < known] = self.labeled[numbers[numbers < known]]
        rows[numbers >= known] = self.points[self.chosen[numbers[numbers >= known] - known]]
        return rows

    def _error(self, half: FloatArray) -> FloatArray:
        """(N,) how far `half` may be off."""
        reach = 2 * np.sqrt(2 * self._half_norms) + np.sqrt(2 * np.maximum(half, 0))
        return np.asarray(self._slack * np.square(reach))

    def _shift(self, points: FloatArray) -> FloatArray:
        shifted = points * points.dtype.type(1 / self.scale)
        shifted -= self.origin
        return np.asarray(shifted, dtype=np.float32)

    def _prepare(self, rows: slice) -> None:
        shifted = self._shift(self.points[rows])
        self._rows[rows, : shifted.shape[1]] = shifted
        self._half_norms[rows] = np.einsum("nd,nd->n", shifted, shifted) / 2

    def _add(self, centres: FloatArray, first: int) -> None:
        """Updates the pool for (k, D) shifted centres, whose numbers start at `first`."""
        signed = np.zeros((len(centres), self._rows.shape[1]), dtype=np.float32)
        signed[:, : centres.shape[1]] = -centres
        signed[:, centres.shape[1]] = np.einsum("kd,kd->k", centres, centres) / 2
        self._added.append((first, signed))

        def update(rows: slice) -> None:
            products = self._rows[rows] @ signed.T
            half, second, near = self.half[rows], self.second[rows], self.near[rows]
            best = products.min(axis=1) + self._half_norms[rows]
            closer = np.flatnonzero(best < half)
            np.minimum(second, np.maximum(half, best), out=second)  # where no centre is closer, this is all there is
            if len(closer):
                few = products[closer]
                number = few.argmin(axis=1)
                few[np.arange(len(few)), number] = np.inf
                runner_up = few.min(axis=1) + self._half_norms[rows][closer]
                second[closer] = np.minimum(second[closer], runner_up)
                near[closer] = number + first
                half[closer] = best[closer]

        self._blocks(update, min(4096, max(256, ENTRIES // len(centres))))

    def _blocks(self, work: Callable[[slice], Result], size: int = 4096) -> list[Result]:
        """work(rows) for every block of the pool, on `threads` threads; the caller keeps BLAS to one thread."""
        slices = self._slices(len(self.points), size)
        if len(slices) == 1:
            return [work(slices[0])]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(work, slices))

    def _slices(self, n: int, size: int = 4096) -> list[slice]:
        return [slice(start, start + size) for start in range(0, n, size)]


class KCenterGreedy(Selector[KCenterConfig]):
    """order: as `kcenter_greedy` on the embeddings; the values are not read, bound is half the radius reached."""

    name, title = "kcenter", "k-center greedy"
    summary = (
        "Takes the item farthest from everything labeled or chosen, again and again; covers good features well, "
        "but on weak ones it collects oddities and does worse than random choice."
    )
    reference = "Gonzalez 1985; Sener & Savarese 2018, Alg. 1; thesis ch. 3 and 5, baseline KCenterGreedy"
    needs = frozenset({"task_id", "embeddings", "labeled_embeddings"})
    harmful_below = 0.6  # docs/studies/dispersion.md, CIFAR-10

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        n = len(evidence)
        checked_values("The combined score", values, n)
        if min(budget, n) <= 0:
            return Selection(np.empty(0, dtype=np.int64))
        by_id, known = np.argsort(evidence.task_id, kind="stable"), len(evidence.labeled_embeddings)
        points = labeled_and_pool(evidence, by_id, self.name)
        order, radii = kcenter_greedy(points[known:], points[:known], budget, evidence.jitter[by_id])
        order, radius = by_id[order], float(radii[-1])
        away = dict(zip(order.tolist(), radii.tolist(), strict=False))
        return Selection(
            order,
            reason=lambda item: far(away[item]),
            bound=radius / 2,
            gap=0.5 if radius else 0.0,
            notes=(
                f"Every item lies within {radius:.3g} of a labeled or chosen one; "
                f"no choice of {len(order)} items gets below {radius / 2:.3g}.",
            ),
        )


def far(distance: float) -> str:
    """One sentence on an item chosen at this distance from all before it.

    >>> far(3.21)
    'farthest from everything labeled or chosen so far (distance 3.21)'
    """
    if np.isinf(distance):
        return "nearest to the middle of all items, since nothing is labeled yet"
    if distance == 0:
        return "equal to something labeled or chosen: nothing new was left"
    return f"farthest from everything labeled or chosen so far (distance {distance:.3g})"
