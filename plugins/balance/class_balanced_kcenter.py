"""Class-balanced k-center: items far from everything labeled or chosen, of the classes that have too few labels."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from plugins.balance.greedy import balanced_kcenter
from plugins.balance.wanted import Target, check_target, checked_probabilities, serves, shares_of, wanted
from plugins.combination import checked_values
from plugins.contract import FloatArray, PluginConfig, Selection, Selector
from plugins.coverage.embeddings import labeled_and_pool
from plugins.coverage.kmeans import nearest
from plugins.evidence import Evidence

SAMPLE = 2_000  # items that the typical distance is measured on


class ClassBalancedKCenterConfig(PluginConfig):
    """What is balanced towards, and how much that is worth."""

    target: Target = "uniform"
    weight: float = Field(
        1.0,
        ge=0,
        le=1e6,
        description="What one expected item closer to the target is worth, in typical distances to the nearest labeled "
        "item; more balances better and covers less, 0 is plain k-center.",
    )


def typical_distance(points: FloatArray, labeled: FloatArray) -> float:
    """Mean distance of (N, D) points, or of every so many of them, to the nearest of (L, D) labeled ones.

    To their own mean while nothing is labeled; 1 where all points coincide with it.

    >>> typical_distance(np.array([[1.0], [3.0]]), np.array([[0.0]]))
    2.0
    """
    some = points[:: max(1, len(points) // SAMPLE)].astype(np.float64)
    centres = labeled.astype(np.float64) if len(labeled) else some.mean(axis=0, keepdims=True)
    found = float(np.sqrt(nearest(some, centres)[1]).mean()) if len(some) else 0.0
    return found if found > 0 else 1.0


class ClassBalancedKCenter(Selector[ClassBalancedKCenterConfig]):
    """order: as `balanced_kcenter`, with distances in typical ones; each prefix is the choice for a smaller batch.

    Omega is Eq. 4.4's, of the plan's target.
    """

    name, title = "class_balanced_kcenter", "Class-balanced k-center"
    summary = (
        "Covers the pool by k-center and evens out the classes as it goes; for skewed pools where coverage is wanted. "
        "The scores play no part."
    )
    reference = "thesis Alg. 2; Sener & Savarese 2018; Minoux 1978 (lazy greedy)"
    needs = frozenset({"task_id", "probabilities", "counts", "embeddings", "labeled_embeddings"})
    harmful_below = 0.6  # docs/studies/class_balance.md, CIFAR-10

    def check_classes(self, classes: tuple[str, ...]) -> None:
        check_target(self.config.target, classes, f"Selector '{self.name}'")

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        n, classes, counts = len(evidence), evidence.classes, evidence.counts
        checked_values("The combined score", values, n)
        budget = max(0, min(budget, n))
        shares = shares_of(self.config.target, evidence, f"Selector '{self.name}'")
        by_id = np.argsort(evidence.task_id, kind="stable")
        points, known = labeled_and_pool(evidence, by_id, self.name), len(evidence.labeled_embeddings)
        if budget == 0 or not len(classes):
            return Selection(np.empty(0, dtype=np.int64))
        probabilities = checked_probabilities(evidence, self.name)[by_id]
        target = wanted(counts, budget, shares)
        unit = typical_distance(points[known:], points[:known])
        weight = self.config.weight * unit
        ties = evidence.jitter[by_id]
        order = by_id[balanced_kcenter(points[known:], points[:known], probabilities, target, budget, weight, ties)]
        expected = evidence.probabilities[order].sum(axis=0, dtype=np.float64)
        facts = {
            "wanted": target.tolist(),
            "expected": expected.tolist(),
            "weight": self.config.weight,
            "distance": float(np.abs(target - expected).sum()),
        }
        return Selection(order, lambda item: serves(evidence.probabilities[item], target, counts, classes), facts=facts)
