"""Class-balanced selection: the batch with the least cost plus distance to what is wanted, and a proof of how good."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import fsum

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from plugins.balance import door
from plugins.balance.branching import SAFE, Search, fixable
from plugins.balance.distances import L1, L2, BoolArray, Distance, L2Squared
from plugins.balance.pool import Pool
from plugins.balance.relaxation import Relaxation, solve_relaxation, split
from plugins.balance.swaps import descend, descend_by_twos
from plugins.balance.wasserstein import Wasserstein
from plugins.contract import FloatArray, IntArray
from plugins.evidence import uniform_by_id

BANDS = (400, 2000)  # items about the threshold that are exchanged for each other, first few, then more
LOOKS = 2 * 10**9  # operations on exchanges for one item, in each band
BY_TWOS, TWOS = (300, 600), 30  # items exchanged two by two, and how often
SMALL, NODES = 200, 200  # items that a search may leave open, and relaxations that it may solve
FINE, COARSE, FEW = 1e-9, 1e-7, 10**6  # precision of the relaxation, up to so many probabilities and above
TINY = 1e-12  # an objective that counts as 0
EQUAL = 1e-9  # a gap below this is the precision of what is solved


DISTANCES = ("l1", "l2", "l2_squared", "wasserstein")


@dataclass(frozen=True)
class Solution:
    """selected: (b,) positions, cheapest first. objective: cost + weight * distance. bound: no batch is below it.

    gap: (objective - bound) / |objective|, and 0 when they agree to 1e-9, the precision of the relaxations. counts:
    (C,) P^T z, how many of each class are expected. distance: of counts to the target, without the weight.
    multipliers: (C,), a start for a similar program. seconds: wall clock.
    """

    selected: IntArray
    objective: float
    bound: float
    gap: float
    counts: FloatArray
    distance: float
    multipliers: FloatArray
    seconds: float


def solve(
    probabilities: FloatArray,
    cost: FloatArray,
    target: FloatArray,
    budget: int,
    weight: float,
    *,
    distance: str = "l1",
    ground: FloatArray | None = None,
    price: float | None = None,
    ties: FloatArray | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    start: FloatArray | None = None,
    counts: bool = False,
    thorough: bool = True,
) -> Solution:
    """min cost.z + weight * dist(target, P^T z)  s.t.  1^T z = b, z in {0, 1}^N  (thesis Eq. 4.8).

    probabilities: (N, C), rows sum to 1, or with `counts` how many of each class an item is expected to bring (objects
    in a frame, say), which may sum to anything; read where they lie, a memory map too. cost: (N,), lower is more
    wanted. target: (C,), Omega >= 0. budget: b; all N are taken if it is larger. distance: one of DISTANCES; for
    "wasserstein" give ground (C, C), and optionally the price of a label that is missing or too many. ties: (N,), of
    equal items the smaller goes first; by default drawn by seed and position, so give keys of the items where the
    pool's order must not matter. time_limit: seconds after which the best batch so far is returned with its gap;
    the clock is looked at between steps, of which one takes seconds at a thousand classes. start: (C,) multipliers of
    a similar program. thorough: False leaves out exchanges two by two and the search for a proof, which take most of
    the time and gain the last ten-thousandth of the objective. ValueError names the first thing that is wrong.

    The relaxation is solved to a proof (`relaxation`), its few fractions are rounded, exchanges improve the batch
    (`swaps`), and a small program is searched until its optimum is certain (`branching`).

    >>> P = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8]])
    >>> answer = solve(P, np.array([-0.9, -0.8, -0.2, -0.1]), np.array([1.0, 1.0]), budget=2, weight=1.0)
    >>> answer.selected.tolist(), answer.counts.tolist(), answer.gap
    ([0, 2], [1.0, 1.0], 0.0)
    """
    began = time.perf_counter()
    P, wanted = np.asarray(probabilities), np.asarray(target, dtype=np.float64)
    costs = np.asarray(cost, dtype=np.float64)
    keys = uniform_by_id(np.arange(len(P)), seed) if ties is None else np.asarray(ties, dtype=np.float64)
    door.check_shapes(P, costs, wanted, keys)
    door.check_numbers(budget, weight, time_limit)
    if start is not None:
        start = np.asarray(start, dtype=np.float64)
        door.check_start(start, len(wanted))
    measure = make_distance(distance, weight, len(wanted), ground, price)
    threads = max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)
    with threadpool_limits(1, user_api="blas"):  # blocks run side by side; BLAS threads would wait for each other
        pool = Pool(P, costs, keys, threads)
        pool.heaviest = door.check_rows(pool, counts)
        program = Program(pool, wanted, min(budget, len(P)), measure)
        deadline = began + time_limit if time_limit is not None else np.inf
        selected, bound, y = program.batch(deadline, start, thorough) if weight > 0 else program.cheapest()
        selected = selected[np.lexsort((keys[selected], costs[selected]))]
        expected = pool.total(selected)
        value = float(measure.value(wanted - expected))
    objective = fsum(costs[selected]) + (value if weight > 0 else 0.0)
    bound = min(bound, objective)
    gap = (objective - bound) / max(abs(objective), TINY)
    apart = value / measure.weight
    took = time.perf_counter() - began
    return Solution(selected, objective, bound, gap if gap > EQUAL else 0.0, expected, apart, y, took)


def make_distance(
    name: str, weight: float, classes: int, ground: FloatArray | None = None, price: float | None = None
) -> Distance:
    """The distance of that name times weight (1 where that is 0); ValueError on an unknown one or a bad ground."""
    weight = weight or 1.0
    if name == "wasserstein":
        if ground is None:
            raise ValueError("The distance 'wasserstein' needs ground distances between classes; give ground (C, C).")
        ground = np.asarray(ground, dtype=np.float64)
        door.check_ground(ground, classes, price)
        return Wasserstein(weight, ground, price)
    known: dict[str, type[L1] | type[L2] | type[L2Squared]] = {"l1": L1, "l2": L2, "l2_squared": L2Squared}
    if name not in known:
        raise ValueError(f"Unknown distance '{name}'. Available: {', '.join(DISTANCES)}.")
    return known[name](weight, classes)


@dataclass(frozen=True)
class Program:
    """One program whose parts were looked at: b <= N items of the pool against (C,) target."""

    pool: Pool
    target: FloatArray
    budget: int
    distance: Distance

    def cheapest(self) -> tuple[IntArray, float, FloatArray]:
        """The batch of least cost, which is the optimum where balance counts for nothing or there is no choice."""
        selected = np.lexsort((self.pool.ties, self.pool.cost))[: self.budget]
        return selected, np.inf, np.zeros(len(self.target))

    def batch(
        self, deadline: float, start: FloatArray | None, thorough: bool = True
    ) -> tuple[IntArray, float, FloatArray]:
        """Selected positions, what no batch is below, and multipliers. deadline: of time.perf_counter."""
        if self.budget in (0, len(self.pool)):
            return self.cheapest()
        tolerance = FINE if self.pool.probabilities.size <= FEW else COARSE
        known = solve_relaxation(self.pool, self.target, self.budget, self.distance, start, tolerance, deadline)
        taken = self._rounded(known)
        for size in BANDS:
            if time.perf_counter() < deadline:
                self._improve(taken, known, size, deadline, descend, LOOKS // (size * len(self.target)))
        if not thorough:
            return np.flatnonzero(taken), known.bound, known.y
        if self.distance.cheap:
            by_twos = partial(descend_by_twos, y=known.y)
            for size in BY_TWOS:
                self._improve(taken, known, size, deadline, by_twos, TWOS)
        bound = self._proven(taken, known, deadline)
        return np.flatnonzero(taken), bound, known.y

    def _rounded(self, known: Relaxation) -> BoolArray:
        """(N,) bool: what the relaxation fixed, and of its core the largest shares."""
        few = self.budget - len(known.inside)
        order = np.lexsort((self.pool.ties[known.core], -known.shares))
        taken = np.zeros(len(self.pool), dtype=bool)
        taken[known.inside] = True
        taken[known.core[order[:few]]] = True
        return taken

    def _improve(
        self, taken: BoolArray, known: Relaxation, size: int, deadline: float, way: Callable[..., BoolArray], most: int
    ) -> None:
        """Exchanges, `most` looks in one way, among the `size` items about the threshold; `taken` is changed."""
        near = split(known.reduced, self.pool.ties, self.budget, size).core
        residual = self.target - self.pool.total(np.flatnonzero(taken))
        rows, cost = self.pool.rows(near), self.pool.cost[near]
        taken[near] = way(rows, cost, taken[near], residual, self.distance, most, deadline)

    def _proven(self, taken: BoolArray, known: Relaxation, deadline: float) -> float:
        """A bound for what was taken, after a search of all that reduced costs leave open, if that is little.

        `taken` is changed where the search finds something better.
        """
        inside = np.flatnonzero(taken)
        objective = fsum(self.pool.cost[inside])
        objective += float(self.distance.value(self.target - self.pool.total(inside)))
        scale = max(1.0, abs(objective))
        if objective - known.bound <= SAFE * scale or time.perf_counter() >= deadline:
            return known.bound
        outside, fixed = fixable(known.reduced, self.budget, objective - known.bound + SAFE * scale)
        undecided = np.flatnonzero(~(outside | fixed))
        if len(undecided) > SMALL:
            return known.bound
        undecided = undecided[np.argsort(self.pool.ties[undecided], kind="stable")]
        always = np.flatnonzero(fixed)
        left = self.budget - len(always)
        if not 0 < left < len(undecided):
            return objective  # what is fixed leaves one batch at most, and that would have to be this one
        base = fsum(self.pool.cost[always])
        rows, target = self.pool.rows(undecided), self.target - self.pool.total(always)
        search = Search(rows, self.pool.cost[undecided], target, left, self.distance)
        proof = search.run(taken[undecided], known.bound - base, NODES, deadline)
        taken[undecided] = proof.chosen
        return max(known.bound, base + proof.bound)
