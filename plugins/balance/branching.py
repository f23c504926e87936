"""Branch and bound over the few items that no bound has fixed: the optimum and its proof, or at least a better gap."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass
from math import fsum

import numpy as np
from numpy.typing import NDArray

from plugins.balance.distances import BoolArray, Distance
from plugins.balance.interior import relax
from plugins.balance.relaxation import lower_bound
from plugins.contract import FloatArray

SAFE = 1e-10  # of the objective: differences below it are rounding and fix or prune nothing wrongly
OUT, FREE, IN = 0, -1, 1
States = NDArray[np.int8]


@dataclass(frozen=True)
class Proof:
    """chosen: (k,) the best batch found. objective: its value. bound: no batch of these items is below it."""

    chosen: BoolArray
    objective: float
    bound: float


@dataclass(frozen=True)
class Search:
    """min cost.z + d(target - P^T z) s.t. 1^T z = b over k items: rows (k, C), cost (k,), target (C,)."""

    rows: FloatArray
    cost: FloatArray
    target: FloatArray
    budget: int
    distance: Distance

    def value(self, chosen: BoolArray) -> float:
        """The objective of a batch."""
        return fsum(self.cost[chosen]) + float(self.distance.value(self.target - self.rows[chosen].sum(axis=0)))

    def run(self, chosen: BoolArray, bound: float, most_nodes: int, deadline: float) -> Proof:
        """Best bound first (Land & Doig 1960), from a batch and a bound, for `most_nodes` nodes or until the deadline.

        The bound is that of the weakest node left, so it is true whenever the search stops.
        """
        best, objective = chosen, self.value(chosen)
        leaves = np.inf  # the least bound among nodes that were given up
        heap: list[tuple[float, int, States]] = [(bound, 0, np.full(len(self.cost), FREE, dtype=np.int8))]
        nodes = count = 0
        while heap and nodes < most_nodes and time.perf_counter() < deadline:
            known, _, states = heapq.heappop(heap)
            if known >= objective - SAFE * max(1.0, abs(objective)):
                leaves = min(leaves, known)
                break
            nodes += 1
            lower, candidate, states, split = self.node(states, objective)
            value = self.value(candidate)
            if value < objective:
                best, objective = candidate, value
            if split < 0 or lower >= objective - SAFE * max(1.0, abs(objective)):
                leaves = min(leaves, max(known, lower))
                continue
            for side in (OUT, IN):
                child = states.copy()
                child[split] = side
                count += 1
                heapq.heappush(heap, (max(known, lower), count, child))
        left = min([leaves, *(entry[0] for entry in heap[:1])])
        return Proof(best, objective, min(max(left, bound), objective))

    def node(self, states: States, objective: float) -> tuple[float, BoolArray, States, int]:
        """A node's bound, the batch its shares round to, what its reduced costs fix, and the item to split, or -1."""
        free, fixed = np.flatnonzero(states == FREE), states == IN
        left = self.budget - int(fixed.sum())
        candidate = fixed.copy()
        if left in (0, len(free)) or not 0 < left < len(free):
            candidate[free[: max(left, 0)]] = True
            possible = 0 <= left <= len(free)
            return (self.value(candidate) if possible else np.inf), self._whole(candidate), states, -1
        rows, cost, target = self.rows[free], self.cost[free], self.target - self.rows[fixed].sum(axis=0)
        found = relax(
            rows, cost, target, left, self.distance, np.zeros(len(target)), SAFE / 10 * max(1.0, abs(objective))
        )
        y = self.distance.inside(found.y)
        reduced = cost - rows @ y
        lower = fsum(self.cost[fixed]) + lower_bound(
            reduced, target, left, self.distance, y, float(rows.sum(axis=1).max())
        )
        candidate[free[np.argsort(-found.z, kind="stable")[:left]]] = True
        states = states.copy()
        outside, inside = fixable(reduced, left, objective - lower + SAFE * max(1.0, abs(objective)))
        states[free[outside]], states[free[inside]] = OUT, IN
        undecided = np.where(states[free] == FREE, np.abs(found.z - 0.5), np.inf)
        split = int(free[undecided.argmin()]) if np.isfinite(undecided.min()) else -1
        if split < 0:  # all fixed: what the fixing left is the only batch that could be better
            only = states == IN
            if int(only.sum()) == self.budget and self.value(only) < self.value(candidate):
                candidate = only
            lower = max(lower, min(objective, self.value(candidate)))
        return lower, candidate, states, split

    def _whole(self, chosen: BoolArray) -> BoolArray:
        """`chosen`, or any batch of the right size where the node has none."""
        if int(chosen.sum()) == self.budget:
            return chosen
        whole = np.zeros(len(self.cost), dtype=bool)
        whole[: self.budget] = True
        return whole


def fixable(reduced: FloatArray, budget: int, room: float) -> tuple[BoolArray, BoolArray]:
    """Which of (n,) items are in no batch, and which in every batch, whose objective is within `room` of the bound.

    To force an item in, the last of the b cheapest has to go; to force one out, the next has to come (Dantzig et al.
    1954, reduced cost fixing). 0 < b < n.

    >>> outside, inside = fixable(np.array([0.0, 0.5, 0.6, 2.0]), budget=2, room=0.4)
    >>> outside.tolist(), inside.tolist()
    ([False, False, False, True], [True, False, False, False])
    """
    last, following = np.partition(reduced, [budget - 1, budget])[[budget - 1, budget]]
    return reduced - last > room, following - reduced > room
