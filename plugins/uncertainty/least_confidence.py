"""Least confidence: ask about the items whose best answer convinces the model least."""

from __future__ import annotations

import numpy as np

from plugins.contract import FloatArray, PluginConfig, Scorer, Scores
from plugins.evidence import Evidence
from plugins.uncertainty.distributions import by_rows


class LeastConfidenceConfig(PluginConfig):
    """Nothing to set."""


def least_confidence(probabilities: FloatArray) -> FloatArray:
    """1 - max_c P(c), of each row.

    probabilities: (N, C), rows sum to 1. Returns (N,), between 0 (certain) and 1 - 1/C (uniform).

    >>> least_confidence(np.array([[0.5, 0.5], [1.0, 0.0]])).tolist()
    [0.5, 0.0]
    """
    return np.asarray(1.0 - probabilities.max(axis=1))


class LeastConfidence(Scorer[LeastConfidenceConfig]):
    """values: one minus the probability of the likeliest class."""

    name, title = "least_confidence", "Least confidence"
    summary = "Items whose likeliest class has the lowest probability come first."
    reference = "Lewis & Gale 1994; Settles 2009, section 3.1"
    needs = frozenset({"probabilities"})

    def score(self, evidence: Evidence) -> Scores:
        values = by_rows(least_confidence, evidence.probabilities)
        return Scores(values, reason=lambda i: f"the best guess is only {evidence.top_classes(i, 1)}")
