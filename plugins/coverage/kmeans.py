"""k-means coverage: while the model knows little, one item from each group of look-alikes that has no label yet."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from sklearn.cluster import KMeans, kmeans_plusplus
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from plugins.combination import checked_values
from plugins.contract import FloatArray, IntArray, PluginConfig, Selection, Selector
from plugins.coverage.embeddings import labeled_and_pool, row_keys
from plugins.evidence import Evidence, uniform_by_id

BLOCK = 16_384  # rows
SALT = 0x4B4D45414E53  # which items a large pool's centres are fitted on is no function of the tie-breaking jitter


class KMeansConfig(PluginConfig):
    """What bounds the time."""

    fit_items: int = Field(
        20_000,
        ge=100,
        le=10_000_000,
        description="Items (pool and labeled) that centres are fitted on; of a larger pool a random part is used. "
        "More follows rare groups better and costs time in proportion.",
    )
    max_clusters: int = Field(
        1_000,
        ge=2,
        le=100_000,
        description="Most groups; labeled items plus batch beyond it share groups. More costs time in proportion.",
    )


def distinct(points: FloatArray) -> int:
    """How many different rows (n, D) has.

    >>> distinct(np.array([[0.0, 1.0], [0.0, 1.0], [-0.0, 1.0], [2.0, 1.0]]))
    2
    """
    if not points.size:
        return min(len(points), 1)
    return len(np.unique(row_keys(points)))


def nearest(points: FloatArray, centres: FloatArray) -> tuple[IntArray, FloatArray]:
    """For each row of (n, D): its nearest of (k, D) centres (n,), and the squared distance (n,), by blocks."""
    cluster = np.empty(len(points), dtype=np.int64)
    distance = np.empty(len(points))
    half = np.einsum("kd,kd->k", centres, centres) / 2
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        own = (half - block @ centres.T).argmin(axis=1)
        away = block - centres[own]
        cluster[start : start + BLOCK] = own
        distance[start : start + BLOCK] = np.einsum("nd,nd->n", away, away)
    return cluster, distance


def coverage_order(cluster: IntArray, distance: FloatArray, covered: IntArray, ties: FloatArray) -> IntArray:
    """(N,) positions: the item nearest to each uncovered centre, largest group first, then each one's next, and so on.

    cluster, distance, ties: (N,) of the pool. covered: clusters that hold a labeled item; their items come last.
    """
    n = len(cluster)
    sizes = np.bincount(cluster)
    inward = np.lexsort((ties, distance, cluster))
    place = np.empty(n, dtype=np.int64)
    place[inward] = np.arange(n) - (np.cumsum(sizes) - sizes)[cluster[inward]]
    return np.lexsort((ties, -sizes[cluster], place, np.isin(cluster, covered)))


def fit_centres(points: FloatArray, part: IntArray, clusters: int, seed: int) -> FloatArray:
    """(k, D) centres, k <= clusters: k-means on the rows `part` of (n, D), never more groups than different rows."""
    sample = points[part]
    k = min(clusters, distinct(sample))
    trials = None if k <= 100 else 1  # greedy seeding costs more than all of Lloyd's rounds where k is large
    with threadpool_limits(1, user_api="blas"):  # seeding is many small products: waiting BLAS threads cost 10 times
        start, _ = kmeans_plusplus(sample, k, random_state=seed % 2**32, n_local_trials=trials)
        fitted = KMeans(k, init=start, n_init=1, max_iter=30).fit(sample)
    return np.asarray(fitted.cluster_centers_)


class KMeansCoverage(Selector[KMeansConfig]):
    """order: as `coverage_order`, with L labeled items + budget clusters over pool and labeled items together."""

    name, title = "kmeans", "k-means coverage"
    summary = "Spreads a batch over groups of similar items that nobody has labeled; for the first labels of a project."
    reference = "Lloyd 1982; Arthur & Vassilvitskii 2007; thesis ch. 5 (low budgets)"
    needs = frozenset({"task_id", "embeddings", "labeled_embeddings"})

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        n = len(evidence)
        checked_values("The combined score", values, n)
        budget = max(0, min(budget, n))
        if budget == 0:
            return Selection(np.empty(0, dtype=np.int64))
        by_id = np.argsort(evidence.task_id, kind="stable")
        points, labeled = labeled_and_pool(evidence, by_id, self.name), len(evidence.labeled_embeddings)
        part, notes = self._part(evidence, by_id, labeled)
        wanted = labeled + budget
        if wanted > self.config.max_clusters:
            notes.append(f"{wanted} groups were wanted and {self.config.max_clusters} made (max_clusters).")
        centres = fit_centres(points, part, min(wanted, self.config.max_clusters), evidence.seed)
        cluster, distance = nearest(points, centres)
        pool, covered = cluster[labeled:], np.unique(cluster[:labeled])
        order = coverage_order(pool, distance[labeled:], covered, evidence.jitter[by_id])[:budget]
        sizes, known = np.bincount(pool, minlength=len(centres)), set(covered.tolist())
        chosen = dict(zip(by_id[order].tolist(), pool[order].tolist(), strict=True))

        def reason(item: int) -> str:
            group = chosen[item]
            state = "some already labeled" if group in known else "none of them labeled yet"
            return f"stands for a group of {sizes[group]} similar items, {state}"

        return Selection(by_id[order], reason=reason, notes=tuple(notes))

    def _part(self, evidence: Evidence, by_id: IntArray, labeled: int) -> tuple[IntArray, list[str]]:
        """Rows that centres are fitted on: all, or those whose hashed task id is smallest; and a note if not all."""
        n, limit = len(by_id), self.config.fit_items
        if labeled + n <= limit:
            return np.arange(labeled + n), []
        room = max(limit - labeled, limit // 2)
        if room >= n:
            return np.arange(labeled + n), []
        drawn = np.argpartition(uniform_by_id(evidence.task_id[by_id], evidence.seed ^ SALT), room - 1)[:room]
        part = np.concatenate([np.arange(labeled), labeled + np.sort(drawn)])
        return part, [f"Groups were fitted on {room} of {n} items (fit_items); every item was considered."]
