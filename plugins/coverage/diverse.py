"""Diverse best: of the items with the highest values, a batch of different ones."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from plugins.combination import checked_values
from plugins.contract import FloatArray, IntArray, PluginConfig, Selection, Selector
from plugins.coverage.embeddings import labeled_and_pool
from plugins.coverage.kcenter import kcenter_greedy
from plugins.coverage.kmeans import fit_centres, nearest
from plugins.coverage.top import top
from plugins.evidence import Evidence

Method = Literal["kmeans", "kmeans++", "kcenter"]


class DiverseConfig(PluginConfig):
    """From how many, and by what."""

    factor: float = Field(
        5.0,
        ge=1,
        le=1_000,
        description="Candidates per item of the batch; more makes the batch more varied and each item less valuable. "
        "1 takes the highest values alone.",
    )
    method: Method = Field(
        "kmeans",
        description="How the batch is spread: kmeans takes one item of each group, kmeans++ draws items by squared "
        "distance to those drawn, kcenter takes the farthest again and again and so prefers odd items.",
    )


def one_per_group(points: FloatArray, values: FloatArray, budget: int, ties: FloatArray, seed: int) -> IntArray:
    """(b,) positions in (n, D): of each of b k-means groups the item nearest to its centre.

    Of equally near ones the higher value, then the smaller tie. Where rows repeat there are fewer groups than b;
    the rest is filled by value.
    """
    centres = fit_centres(points, np.arange(len(points)), budget, seed)
    group, distance = nearest(points, centres)
    inward = np.lexsort((ties, -values, distance, group))
    first = inward[np.unique(group[inward], return_index=True)[1]]
    return filled(first, values, budget, ties)


def drawn_apart(points: FloatArray, values: FloatArray, budget: int, ties: FloatArray, seed: int) -> IntArray:
    """(b,) positions in (n, D): the highest value, then k-means++ seeding (Arthur & Vassilvitskii 2007).

    Each further item is drawn with a probability proportional to its squared distance to the nearest one drawn, so
    repeated rows are never drawn; the rest is filled by value. The same rows in the same order give the same draw.
    """
    rng = np.random.default_rng(seed % 2**32)
    rows = points.astype(np.float64)
    chosen = [int(top(values, ties, 1)[0])]
    squares = np.square(rows - rows[chosen[0]]).sum(axis=1)
    while len(chosen) < budget and squares.any():
        reach = np.cumsum(squares)
        drawn = min(rng.random() * reach[-1], np.nextafter(reach[-1], 0))  # the product may round up to all of it
        chosen.append(int(np.searchsorted(reach, drawn, side="right")))
        np.minimum(squares, np.square(rows - rows[chosen[-1]]).sum(axis=1), out=squares)
    return filled(np.array(chosen), values, budget, ties)


def farthest_apart(points: FloatArray, values: FloatArray, budget: int, ties: FloatArray) -> IntArray:
    """(b,) positions in (n, D): the highest value, then `kcenter_greedy` from there."""
    first = top(values, ties, 1)
    others = np.setdiff1d(np.arange(len(points)), first)
    order, _ = kcenter_greedy(points[others], points[first], budget - 1, ties[others])
    return np.concatenate([first, others[order]])


def filled(chosen: IntArray, values: FloatArray, budget: int, ties: FloatArray) -> IntArray:
    """(budget,) `chosen` and, where it is shorter, the highest values of what is left."""
    left = np.setdiff1d(np.arange(len(values)), chosen)
    return np.concatenate([chosen, left[top(values[left], ties[left], budget - len(chosen))]])[:budget]


class Diverse(Selector[DiverseConfig]):
    """order: highest value first, b different items among the `factor` x b highest values."""

    name, title = "diverse", "Diverse best"
    summary = (
        "Takes the highest values and spreads the batch over different ones among them, so that look-alikes do not "
        "fill it; for batches above 10 per class."
    )
    reference = "Zhdanov 2019, with the candidates unweighted; Arthur & Vassilvitskii 2007; Gonzalez 1985"
    needs = frozenset({"task_id", "embeddings", "labeled_embeddings"})

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        n = len(evidence)
        values = checked_values("The combined score", values, n)
        budget = max(0, min(budget, n))
        if budget == 0:
            return Selection(np.empty(0, dtype=np.int64))
        by_id, known = np.argsort(evidence.task_id, kind="stable"), len(evidence.labeled_embeddings)
        ties = evidence.jitter
        wanted = min(n, int(np.ceil(self.config.factor * budget)))
        best = by_id[np.isin(by_id, top(values, ties, wanted))]
        points = labeled_and_pool(evidence, by_id, self.name)[known:][np.isin(by_id, best)]
        picked = self._spread(points, values[best], budget, ties[best], evidence.seed)
        picked = picked[np.lexsort((ties[best[picked]], -values[best[picked]]))]
        group, _ = nearest(points, points[picked])
        alike = dict(zip(best[picked].tolist(), np.bincount(group, minlength=len(picked)).tolist(), strict=True))
        return Selection(best[picked], reason=lambda item: stands_for(alike[item], wanted))

    def _spread(self, points: FloatArray, values: FloatArray, budget: int, ties: FloatArray, seed: int) -> IntArray:
        if budget == len(points):
            return np.arange(budget)
        if self.config.method == "kcenter":
            return farthest_apart(points, values, budget, ties)
        if self.config.method == "kmeans++":
            return drawn_apart(points, values, budget, ties, seed)
        return one_per_group(points, values, budget, ties, seed)


def stands_for(alike: int, candidates: int) -> str:
    """One sentence on a chosen item that `alike` of the candidates resemble most, itself included.

    >>> stands_for(4, 50)
    'among the 50 best by score; of the batch it is nearest to 3 others of them'
    """
    if alike <= 1:
        return f"among the {candidates} best by score, and unlike the others of them"
    return f"among the {candidates} best by score; of the batch it is nearest to {alike - 1} others of them"
