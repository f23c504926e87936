"""Class-balanced selection: the batch with the least cost plus distance to what is wanted, and a proof of how good."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import fsum

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from plugins.balance import door
from plugins.balance.distances import L1, L2, NAMES, Distance, L2Squared
from plugins.balance.pool import Pool
from plugins.balance.relaxation import Relaxation, solve_relaxation, split
from plugins.balance.swaps import descend
from plugins.contract import FloatArray, IntArray
from plugins.evidence import uniform_by_id


@dataclass(frozen=True)
class Solution:
    """selected: (b,) positions, cheapest first. objective: cost + weight * distance. bound: no batch is below it.

    gap: (objective - bound) / |objective|, 0 when they agree to rounding. counts: (C,) P^T z, what is expected of each
    class. distance: the unweighted distance of counts to the target. multipliers: (C,), to start a similar program.
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
    ties: FloatArray | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    start: FloatArray | None = None,
) -> Solution:
    """min cost.z + weight * dist(target, P^T z)  s.t.  1^T z = b, z in {0, 1}^N  (thesis Eq. 4.8).

    probabilities: (N, C), rows sum to 1; float32 is read where it lies, never copied whole. cost: (N,), lower is more
    wanted. target: (C,) Omega >= 0. A budget above N takes all. distance: one of l1, l2, l2_squared.
    """
    began = time.perf_counter()
    P, cost, target = (
        np.asarray(probabilities),
        np.asarray(cost, dtype=np.float64),
        np.asarray(target, dtype=np.float64),
    )
    n = len(P)
    keys = uniform_by_id(np.arange(n), seed) if ties is None else np.asarray(ties, dtype=np.float64)
    door.check_shapes(P, cost, target, keys)
    door.check_numbers(budget, weight, time_limit)
    b = min(budget, n)
    threads = max((library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"), default=1)
    with threadpool_limits(1, user_api="blas"):  # blocks run side by side; BLAS threads would wait for each other
        pool = Pool(P, cost, keys, threads)
        door.check_rows(pool)
        measure = make_distance(distance, weight or 1.0, len(target), ground)
        if weight == 0 or b in (0, n):
            selected = cheapest(pool, b)
            bound, y = -np.inf, np.zeros(len(target))
        else:
            relaxation = solve_relaxation(pool, target, b, measure, start)
            selected, bound, y = _rounded(pool, target, b, measure, relaxation), relaxation.bound, relaxation.y
        selected = selected[np.lexsort((keys[selected], cost[selected]))]
        counts = pool.total(selected)
        apart = float(measure.value(target - counts)) / (weight or 1.0)
        objective = fsum(cost[selected]) + weight * apart
    bound = objective if bound == -np.inf else min(bound, objective)
    gap = (objective - bound) / max(abs(objective), 1e-12)
    gap = gap if gap > 1e-12 else 0.0
    return Solution(selected, objective, bound, gap, counts, apart, y, time.perf_counter() - began)


def make_distance(name: str, weight: float, classes: int, ground: FloatArray | None = None) -> Distance:
    """The distance of that name, times weight > 0; ValueError when there is none."""
    if name == "l1":
        return L1(weight, classes)
    if name == "l2":
        return L2(weight, classes)
    if name == "l2_squared":
        return L2Squared(weight, classes)
    raise ValueError(f"Unknown distance '{name}'. Available: {', '.join(NAMES)}.")


def cheapest(pool: Pool, budget: int) -> IntArray:
    """(b,) the items of least cost, of equals those with the smallest tie."""
    return np.lexsort((pool.ties, pool.cost))[:budget]


def _rounded(pool: Pool, target: FloatArray, budget: int, distance: Distance, known: Relaxation) -> IntArray:
    few = budget - len(known.inside)
    order = np.lexsort((pool.ties[known.core], -known.shares))
    first = np.concatenate([known.inside, known.core[order[:few]]])
    taken = np.zeros(len(pool), dtype=bool)
    taken[first] = True
    near = split(known.reduced, pool.ties, budget, max(200, 4 * len(target))).core
    rows = pool.rows(near)
    residual = target - pool.total(first)
    chosen, _ = descend(rows, pool.cost[near], taken[near], residual, distance, 20_000)
    taken[near] = chosen
    return np.flatnonzero(taken)
