"""The relaxation over a whole pool: a coarse answer from a part, then a few passes over all, until it is proven."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import fsum

import numpy as np

from plugins.balance.distances import Distance
from plugins.balance.interior import relax
from plugins.balance.pool import Pool
from plugins.contract import FloatArray, IntArray

SMALLEST, CORE, LARGEST = 400, 12, 2000  # items about the threshold: at least, for each class; 2 C more than that
LOOSE = 1e-6  # of the objective: the precision of an early core
ENOUGH, PATIENCE = 1e-6, 2  # slow passes that end the search when what is left of the objective is less
TINY = 1e-9  # an objective that counts as 0
MOST_PASSES = 30
LINE = 5  # steps of a search between two multipliers
COARSER = 8  # each level has this many times fewer items
ROUNDING = 2.0**-53  # of float64
GRID = 2.0**-38  # reduced costs closer than this share of the largest are equal, so that rounding breaks no tie


@dataclass(frozen=True)
class Relaxation:
    """An optimum of the relaxation, as far as `value` - `bound` says.

    y: (C,) multipliers. reduced: (N,) cost - P y. value: the objective of shares that
    are 1 on `inside`, `shares` on `core` and 0 elsewhere. bound: no batch, fractional or not, is below it.
    """

    y: FloatArray
    reduced: FloatArray
    core: IntArray
    shares: FloatArray
    inside: IntArray
    value: float
    bound: float


@dataclass(frozen=True)
class Split:
    """core: items about the threshold, in the order of ties. inside: those before it. reach: their threshold."""

    core: IntArray
    inside: IntArray


def split(reduced: FloatArray, ties: FloatArray, budget: int, size: int) -> Split:
    """Of (n,) items in the order of reduced cost and then ties, the `size` about place b, and those before them.

    0 < b < n, so that the core can hold at least one item too many and one too few.

    >>> split(np.array([0.3, 0.1, 0.1, 0.9]), np.array([0.5, 0.7, 0.2, 0.1]), budget=2, size=2)
    Split(core=array([0, 1]), inside=array([2]))
    """
    n = len(reduced)
    low, high = max(0, budget - size // 2), min(n, budget + size // 2)
    grid = np.round(reduced / (GRID * max(float(np.abs(reduced).max()), 1e-300)))
    edges = np.partition(grid, [low, high - 1])[[low, high - 1]]
    near = np.flatnonzero((grid >= edges[0]) & (grid <= edges[1]))
    near = near[np.lexsort((ties[near], grid[near]))]
    before = np.flatnonzero(grid < edges[0])
    inside = np.sort(np.concatenate([before, near[: low - len(before)]]))
    core = near[low - len(before) : high - len(before)]
    return Split(core[np.argsort(ties[core], kind="stable")], inside)


def solve_relaxation(
    pool: Pool,
    target: FloatArray,
    budget: int,
    distance: Distance,
    start: FloatArray | None = None,
    tolerance: float = 1e-8,
    deadline: float = np.inf,
) -> Relaxation:
    """Shares and multipliers whose values differ by at most `tolerance` of the objective, 0 < b < N.

    start: (C,) multipliers near the optimum, if known; otherwise they come from parts of the pool, each COARSER times
    smaller than the next, whose budget and target are scaled down. A pass over the pool prices every item with the
    multipliers at hand; the items about the threshold, with the rest fixed in or out, are solved to optimality and
    give the next multipliers. Their bound over all items says when nothing was fixed wrongly; until then the core
    grows.
    """
    size = min(max(SMALLEST, CORE * len(target)), LARGEST + 2 * len(target))
    y = _coarse(pool, target, budget, distance, size) if start is None else distance.inside(start)
    reduced = pool.reduced(y)
    best, bound = (y, reduced), lower_bound(reduced, target, budget, distance, y, pool.heaviest)
    value, gap, precision, slow = np.inf, np.inf, LOOSE, 0
    for _ in range(MOST_PASSES):
        y, core, inside, z, reached = _round(pool, best[1], target, budget, distance, best[0], size, precision)
        if reached < value:
            value, shares = reached, (core, inside, z)
        priced = pool.reduced(y)
        best, bound = _best_between((*best, bound), y, priced, target, budget, distance, pool.heaviest)
        before, gap = gap, value - bound
        share = gap / max(abs(value), TINY)
        slow = slow + 1 if gap > before / 2 else 0
        settled = slow >= PATIENCE and share <= ENOUGH  # what is left is rounding, or costs more than it is worth
        if share <= tolerance or settled or time.perf_counter() > deadline:
            break
        size *= 2 if gap > before / 3 else 1
        precision = max(tolerance / 10, min(LOOSE, share / 1000))
    core, inside, z = shares
    return Relaxation(*best, core, z, inside, value, min(bound, value))


def _coarse(pool: Pool, target: FloatArray, budget: int, distance: Distance, size: int) -> FloatArray:
    """(C,) multipliers from ever larger parts of the pool, drawn by ties."""
    y: FloatArray = np.zeros(len(target))
    by_tie = np.argsort(pool.ties, kind="stable")
    for part in parts(len(pool), size):
        small = Pool(pool.probabilities, pool.cost, pool.ties, pool.threads, np.sort(by_tie[:part]))
        share = part / len(pool)
        few = min(max(1, round(budget * share)), part - 1)
        y = _round(small, small.reduced(y), target * share, few, distance, y, 2 * size, LOOSE)[0]
    return y


def parts(n: int, smallest: int) -> list[int]:
    """Sizes of the parts to solve before n items, smallest first.

    >>> parts(100_000, 1_000)
    [1562, 12500]
    """
    sizes = []
    while n > COARSER * smallest:
        n //= COARSER
        sizes.append(n)
    return sizes[::-1]


def _round(
    pool: Pool,
    reduced: FloatArray,
    target: FloatArray,
    budget: int,
    distance: Distance,
    y: FloatArray,
    size: int,
    tolerance: float,
) -> tuple[FloatArray, IntArray, IntArray, FloatArray, float]:
    """One core solved to optimality: its multipliers, the core, what is fixed inside, shares, and their objective."""
    halves = split(reduced, pool.ties, budget, size)
    rows, costs = pool.rows(halves.core), pool.cost[halves.core]
    wanted = target - pool.total(halves.inside)
    fixed = fsum(pool.cost[halves.inside])
    scale = abs(fixed) + float(np.abs(costs).sum()) / 2 + float(np.abs(y) @ np.abs(wanted))
    found = relax(rows, costs, wanted, budget - len(halves.inside), distance, y, tolerance * max(scale, 1e-9))
    value = fixed + float(costs @ found.z + distance.value(wanted - found.z @ rows))
    return distance.inside(found.y), halves.core, halves.inside, found.z, value


def _best_between(
    known: tuple[FloatArray, FloatArray, float],
    y: FloatArray,
    reduced: FloatArray,
    target: FloatArray,
    budget: int,
    distance: Distance,
    heaviest: float,
) -> tuple[tuple[FloatArray, FloatArray], float]:
    """The multipliers with the best bound on the line from the known ones to y, without another pass over the pool.

    known: (y, reduced cost, bound). Reduced costs are affine in y and the bound is concave, so a few partial sorts do.
    """
    first, first_reduced, first_bound = known
    best, best_bound = (y, reduced), lower_bound(reduced, target, budget, distance, y, heaviest)
    if best_bound >= first_bound:
        return best, best_bound

    def at(share: float) -> tuple[tuple[FloatArray, FloatArray], float]:
        mixed = distance.inside((1 - share) * first + share * y)
        costs = (1 - share) * first_reduced + share * reduced
        return (mixed, costs), lower_bound(costs, target, budget, distance, mixed, heaviest)

    low, high = 0.0, 1.0
    best, best_bound = (first, first_reduced), first_bound
    for _ in range(LINE):
        one, other = low + (high - low) / 3, high - (high - low) / 3
        (left, left_bound), (right, right_bound) = at(one), at(other)
        if left_bound > right_bound:
            high = other
        else:
            low = one
        if max(left_bound, right_bound) > best_bound:
            best, best_bound = (left, left_bound) if left_bound > right_bound else (right, right_bound)
    return best, best_bound


def lower_bound(
    reduced: FloatArray, target: FloatArray, budget: int, distance: Distance, y: FloatArray, heaviest: float = 1.0
) -> float:
    """y.target - conjugate(y) + the sum of the b smallest reduced costs, less what rounding may have added.

    By weak duality no z with 1^T z = b and 0 <= z <= 1 has a lower objective, whichever y in Y. A reduced cost is off
    by at most (C + 2) u (|y|_max + |r|), u = 2^-53 (Higham 2002, ch. 3), and a sum of b of them by b times that.
    """
    smallest = np.partition(reduced, budget - 1)[:budget] if budget else reduced[:0]
    largest = float(np.abs(smallest).max(initial=0.0))
    terms = y * target
    error = budget * (len(y) + 2) * 1.1 * (max(heaviest, 1.0) * float(np.abs(y).max(initial=0.0)) + largest)
    error += 4 * (len(y) + 2) * (float(np.abs(terms).sum()) + distance.conjugate(y))
    return fsum(terms) + fsum(smallest) - distance.conjugate(y) - ROUNDING * error
