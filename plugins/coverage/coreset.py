"""CoreSet: the smallest radius within which a batch can cover the pool, as a mixed integer program with a proof."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from pydantic import Field
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, hstack
from scipy.spatial.distance import cdist

from plugins.combination import checked_values
from plugins.contract import FloatArray, IntArray, PluginConfig, PluginError, Selection, Selector
from plugins.coverage.embeddings import labeled_and_pool
from plugins.coverage.kcenter import kcenter_greedy
from plugins.coverage.kmeans import nearest
from plugins.evidence import Evidence, uniform_by_id

BLOCK = 256  # rows of distances at a time
SALT = 0x434F5245534554  # the part of a large pool is no function of the tie-breaking jitter
FEASIBLE, LIMIT, INFEASIBLE = 0, 1, 2  # scipy.optimize.milp's status


class CoreSetConfig(PluginConfig):
    """How long, how many, and how many may stay uncovered."""

    time_limit: float = Field(
        20.0,
        ge=0,
        le=86_400,
        description="Seconds for the integer program; when they are over, the best batch so far is taken. "
        "0 takes the greedy batch. HiGHS looks at the clock now and then, so large programs take longer; and a "
        "batch that was cut short may differ from run to run.",
    )
    outliers: float = Field(
        1e-4,
        ge=0,
        lt=1,
        description="Share of the pool that need not be covered; more keeps odd items from setting the radius.",
    )
    max_items: int = Field(
        500,
        ge=2,
        le=20_000,
        description="Items in the integer program; of a larger pool the greedy batch and a random part are used. "
        "Time and memory grow with the square.",
    )


@dataclass(frozen=True)
class Covering:
    """chosen: positions. radius: what they reach. bound: no choice reaches less. finished: that is proven equal."""

    chosen: IntArray
    radius: float
    bound: float
    finished: bool


def radius_of(distance: FloatArray, outliers: int) -> float:
    """The largest of (N,) distances when the `outliers` largest are left out; 0 when nothing remains.

    >>> radius_of(np.array([1.0, 9.0, 3.0]), 1), radius_of(np.array([1.0]), 1)
    (3.0, 0.0)
    """
    if len(distance) <= outliers:
        return 0.0
    return float(np.partition(distance, len(distance) - 1 - outliers)[len(distance) - 1 - outliers])


def smallest_radius(
    points: FloatArray, away: FloatArray, start: Covering, budget: int, outliers: int, seconds: float
) -> Covering:
    """Bisection on the radius (Sener & Savarese 2018, sec. 4.2 and App. B): each step asks whether `budget` centres do.

    points: (N, D) items to cover and to choose from. away: (N,) distances to the labeled items, inf without.
    start: a covering to improve. outliers: items that may stay farther away. seconds: time for all programs.
    The radius sought is a distance between two items, so the search is over those and ends with a proof.
    """
    deadline = time.monotonic() + seconds
    if seconds <= 0 or start.radius <= start.bound:
        return Covering(start.chosen, start.radius, start.bound, start.radius <= start.bound)
    pairs = pairs_within(points, start.radius)
    radii = np.unique(np.concatenate([pairs.data, away[away < start.radius]]))
    radii = np.append(radii[(radii >= start.bound) & (radii < start.radius)], start.radius)
    chosen, low, high = start.chosen, 0, len(radii) - 1  # radii[high] is reached, nothing below radii[low] can be
    floor = 0  # below it a program was impossible or too hard
    while floor < high and (left := deadline - time.monotonic()) > 0:
        middle = (floor + high) // 2
        found = cover_within(pairs, away, float(radii[middle]), budget, outliers, left / 3)
        if found is None:
            floor = middle + 1
        elif len(found):
            chosen = found
            reached = np.minimum(away, cdist(points, points[found]).min(axis=1))
            high = min(middle, int(np.searchsorted(radii, radius_of(reached, outliers))))
        else:
            low = floor = middle + 1
    return Covering(chosen, float(radii[high]), float(radii[low]), low == high)


def cover_within(
    pairs: csr_array, away: FloatArray, radius: float, budget: int, outliers: int, seconds: float
) -> IntArray | None:
    """At most `budget` centres that leave no more than `outliers` items beyond `radius`; empty if there are none.

    min 0  s.t.  sum_{j: d_ij <= radius} u_j + xi_i >= 1 for each i beyond `radius` of the labeled items,
    sum u <= budget, sum xi <= outliers, u binary, 0 <= xi <= 1. None when the seconds are over before an answer.
    """
    needy = np.flatnonzero(away > radius)
    if len(needy) <= outliers:
        return np.zeros(1, dtype=np.int64)  # any centre will do
    kept = pairs[needy]
    kept = csr_array(((kept.data <= radius).astype(np.float64), kept.indices, kept.indptr), shape=kept.shape)
    kept.eliminate_zeros()
    n, m = kept.shape[1], len(needy)
    whole = hstack([kept, eye_array(m)], format="csc")
    total = np.zeros((2, n + m))
    total[0, :n], total[1, n:] = 1, 1
    answer = milp(
        np.zeros(n + m),
        integrality=np.concatenate([np.ones(n), np.zeros(m)]),
        bounds=Bounds(0, np.concatenate([np.ones(n), np.full(m, float(outliers > 0))])),
        constraints=[LinearConstraint(whole, lb=1), LinearConstraint(total, ub=[budget, outliers])],
        options={"time_limit": seconds},
    )
    if answer.x is not None and answer.status in (FEASIBLE, LIMIT):
        return np.flatnonzero(answer.x[:n] > 0.5)
    if answer.status == INFEASIBLE:
        return np.empty(0, dtype=np.int64)
    if answer.status == LIMIT:
        return None
    raise PluginError(f"Selector 'coreset' got no answer from HiGHS ({answer.message}); choose 'kcenter' instead.")


def pairs_within(points: FloatArray, radius: float) -> csr_array:
    """(N, N) sparse distances, those up to `radius`; zeros (an item to itself) are stored."""
    columns, distances, counts = [], [], [0]
    for start in range(0, len(points), BLOCK):
        block = cdist(points[start : start + BLOCK], points)
        row, column = np.nonzero(block <= radius)
        columns.append(column.astype(np.int32))
        distances.append(block[row, column])
        counts.extend(np.bincount(row, minlength=len(block)).tolist())
    ends = np.cumsum(counts)
    return csr_array((np.concatenate(distances), np.concatenate(columns), ends), shape=(len(points), len(points)))


class CoreSet(Selector[CoreSetConfig]):
    """order: the centres found, farthest first; bound: no batch of this size covers the pool within less."""

    name, title = "coreset", "CoreSet"
    summary = (
        "k-center with an integer program: a smaller covering radius than greedy, and a proof of how small it can get; "
        "for some hundred to thousand items, and like greedy no help on weak features."
    )
    reference = "Sener & Savarese 2018, sec. 4.2 and App. B; thesis ch. 3, baseline CoreSet"
    needs = frozenset({"task_id", "embeddings", "labeled_embeddings"})
    harmful_below = 0.6  # docs/studies/dispersion.md, CIFAR-10

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        n = len(evidence)
        checked_values("The combined score", values, n)
        budget = max(0, min(budget, n))
        if budget == 0:
            return Selection(np.empty(0, dtype=np.int64))
        by_id, known = np.argsort(evidence.task_id, kind="stable"), len(evidence.labeled_embeddings)
        points, ties = labeled_and_pool(evidence, by_id, self.name), evidence.jitter[by_id]
        labeled, pool = points[:known], points[known:]
        away = np.sqrt(nearest(pool, labeled)[1]) if known else np.full(n, np.inf)
        outliers = int(self.config.outliers * n)
        greedy, radii = kcenter_greedy(pool, labeled, budget + outliers, ties)
        # budget + 1 + outliers items stand radii[-1] apart: whichever stay uncovered, two others share a centre.
        bound = float(radii[budget + outliers]) / 2 if budget + outliers < n else 0.0
        greedy = greedy[:budget]
        first = Covering(greedy, self._radius(pool, away, greedy, outliers), bound, False)
        best, notes = self._improve(pool, away, first, budget, evidence.task_id[by_id], evidence.seed)
        chosen = np.concatenate([best.chosen, greedy[~np.isin(greedy, best.chosen)]])[:budget]
        chosen = chosen[kcenter_greedy(pool[chosen], labeled, budget, ties[chosen])[0]]
        radius = best.radius
        gap = (radius - best.bound) / radius if radius > 0 else 0.0
        exempt = f" but {outliers}" if outliers else ""
        notes.append(
            f"Every item{exempt} lies within {radius:.3g} of a labeled or chosen one (greedy: {first.radius:.3g}); "
            f"no choice of {budget} items gets below {best.bound:.3g}."
        )
        return Selection(
            by_id[chosen],
            reason=lambda _: f"one of {budget} items that together leave none{exempt} farther than {radius:.3g}",
            bound=best.bound,
            gap=gap,
            notes=tuple(notes),
        )

    def _improve(
        self, pool: FloatArray, away: FloatArray, first: Covering, budget: int, ids: IntArray, seed: int
    ) -> tuple[Covering, list[str]]:
        """The better of the greedy covering and what the integer program finds in its time, and notes on that."""
        n, most = len(pool), self.config.max_items
        if self.config.time_limit == 0:
            return first, ["The greedy batch: no time was given to the integer program (time_limit)."]
        if n <= most:
            outliers = int(self.config.outliers * n)
            best = smallest_radius(pool, away, first, budget, outliers, self.config.time_limit)
            return best, [] if best.finished else [self._late()]
        if budget >= most:
            return first, [f"The greedy batch: {budget} items are too many for a program of {most} (max_items)."]
        rank = uniform_by_id(ids, seed ^ SALT)
        rank[first.chosen] = -1
        part = np.sort(np.argpartition(rank, most - 1)[:most])
        own = np.searchsorted(part, first.chosen)
        outliers = int(self.config.outliers * most)
        start = Covering(own, self._radius(pool[part], away[part], own, outliers), 0.0, False)
        found = smallest_radius(pool[part], away[part], start, budget, outliers, self.config.time_limit)
        radius = self._radius(pool, away, part[found.chosen], int(self.config.outliers * n))
        notes = [f"The integer program saw {most} of {n} items (max_items); radius and bound hold for all of them."]
        notes += [] if found.finished else [self._late()]
        if radius < first.radius:
            return Covering(part[found.chosen], radius, first.bound, found.finished), notes
        return first, [*notes, "The greedy batch covers the whole pool better and was taken."]

    def _late(self) -> str:
        return f"The integer program was stopped after {self.config.time_limit:g} s (time_limit)."

    def _radius(self, pool: FloatArray, away: FloatArray, chosen: IntArray, outliers: int) -> float:
        reached = np.minimum(away, np.sqrt(nearest(pool, pool[chosen])[1]))
        return radius_of(reached, outliers)
