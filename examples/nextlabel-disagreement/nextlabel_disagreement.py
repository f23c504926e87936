"""Disagreement: ask about the items whose nearest labeled neighbours carry different labels.

It sees the borders between labeled neighbourhoods without asking the model, so a model that is sure and wrong does not
hide them. It needs features in which neighbours look alike, and labels of at least two classes.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from plugins.contract import FloatArray, IntArray, PluginConfig, PluginError, Scorer, Scores
from plugins.evidence import Evidence

BLOCK = 2**17  # distances at a time


class DisagreementConfig(PluginConfig):
    """How many neighbours vote."""

    neighbours: int = Field(
        5,
        ge=2,
        le=1_000,
        description="Labeled items that vote on each item; more see wider borders, fewer follow single labels.",
    )


def nearest_labeled(points: FloatArray, labeled: FloatArray, k: int) -> IntArray:
    """(N, k) positions in (L, D) `labeled` of the k nearest to each of (N, D) `points`, nearest first, k <= L.

    The distance is Euclidean, in float64; of equal distances the earlier position counts as nearer.

    >>> nearest_labeled(np.array([[0.0], [9.0]]), np.array([[8.0], [1.0], [0.5]]), 2).tolist()
    [[2, 1], [0, 1]]
    """
    known = labeled.astype(np.float64)
    distances = np.einsum("ld,ld->l", known, known) - 2 * (
        points.astype(np.float64) @ known.T
    )  # squared, less |point|^2
    return np.asarray(np.argsort(distances, axis=1, kind="stable")[:, :k])


def disagreement(votes: IntArray, classes: int) -> FloatArray:
    """Vote entropy of each row divided by log k, Dagan & Engelson 1995: neighbours are the committee.

    votes: (N, k) class indices below `classes`, k >= 2. Returns (N,) float64: 0 where all agree, 1 where none do.

    >>> disagreement(np.array([[0, 0], [0, 1]]), 3).tolist()
    [0.0, 1.0]
    """
    k = votes.shape[1]
    values = np.zeros(len(votes))
    for label in range(classes):
        share = np.count_nonzero(votes == label, axis=1) / k
        values -= share * np.log(np.where(share > 0, share, 1.0))
    return np.abs(values / np.log(k))  # abs: no -0.0


class Disagreement(Scorer[DisagreementConfig]):
    """values: the vote entropy of the nearest labeled items; all 0 while fewer than two items are labeled."""

    name, title = "disagreement", "Disagreement"
    summary = (
        "Items whose nearest labeled neighbours carry different labels come first; asks the features, not the model."
    )
    reference = "Dagan & Engelson 1995 (vote entropy), with nearest neighbours as the committee"
    needs = frozenset({"task_id", "embeddings", "labels", "labeled_embeddings"})

    def score(self, evidence: Evidence) -> Scores:
        points, labeled, labels = evidence.embeddings, evidence.labeled_embeddings, evidence.labels
        for what, features in (("embeddings", points), ("labeled_embeddings", labeled)):
            if not np.isfinite(features).all():
                raise PluginError(f"Scorer '{self.name}' read {what} that are not finite; look at the learner.")
        k = min(self.config.neighbours, len(labeled))
        if k < 2:
            note = "Disagreement needs two labeled items; until then all items are equal."
            return Scores(np.zeros(len(points)), reason=lambda _: "fewer than two items are labeled", notes=(note,))
        names, values = evidence.classes, np.empty(len(points))
        by_id = np.argsort(evidence.task_id, kind="stable")  # blocks hold the same items whatever the pool's order
        rows = max(1, BLOCK // len(labeled))
        for start in range(0, len(points), rows):
            items = by_id[start : start + rows]
            values[items] = disagreement(labels[nearest_labeled(points[items], labeled, k)], len(names))

        def reason(item: int) -> str:
            votes = labels[nearest_labeled(points[item : item + 1], labeled, k)[0]]
            seen = np.bincount(votes, minlength=len(names))
            most = np.argsort(-seen, kind="stable")[:3]
            said = ", ".join(f"{seen[c]} {names[c]}" for c in most if seen[c])
            return f"its {k} nearest labeled neighbours: {said}"

        return Scores(values, reason=reason)
