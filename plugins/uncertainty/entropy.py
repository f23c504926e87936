"""Entropy: ask about the items whose predicted distribution is flattest."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from plugins.contract import FloatArray, PluginConfig, Scorer, Scores
from plugins.evidence import Evidence
from plugins.uncertainty.distributions import by_rows


class EntropyConfig(PluginConfig):
    """How probabilities are softened before they are measured."""

    temperature: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Softens probabilities before measuring (no unit); above 1 near-ties count more, below 1 less.",
    )


def entropy(probabilities: FloatArray) -> FloatArray:
    """Shannon entropy of each row, in nats (thesis Eq. 4.6).

    probabilities: (N, C), rows sum to 1. Returns (N,), between 0 and log C; a zero probability adds nothing.

    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(3)
    array([0.693, 0.   ])
    """
    with np.errstate(invalid="ignore"):  # a negative entry is no probability: NaN, which `checked` reports
        logs = np.log(probabilities + (probabilities == 0))
    return np.asarray(-np.einsum("nc,nc->n", probabilities, logs)) + 0.0  # no negative zero


def soften(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Each row raised to 1 / temperature and normalised again (Hinton et al. 2015, softmax of logits / T).

    probabilities: (N, C), rows sum to 1. Returns (N, C).

    >>> soften(np.array([[0.8, 0.2]]), 2.0).round(3)
    array([[0.667, 0.333]])
    """
    if temperature == 1.0:
        return probabilities
    largest = probabilities.max(axis=1, keepdims=True)  # keeps the largest term at 1, so that no row vanishes
    with np.errstate(invalid="ignore"):  # a row of zeros is no distribution: NaN, which `checked` reports
        powered = (probabilities / largest) ** (1.0 / temperature)
    return np.asarray(powered / powered.sum(axis=1, keepdims=True))


class Entropy(Scorer[EntropyConfig]):
    """values: the entropy of the softened distribution, in nats."""

    name, title = "entropy", "Entropy"
    summary = "Items whose prediction is spread over the most classes come first; below 88 % accuracy margin is safer."
    reference = "Shannon 1948; thesis Eq. 4.6"
    needs = frozenset({"probabilities"})
    harmful_below = 0.88

    def score(self, evidence: Evidence) -> Scores:
        temperature = self.config.temperature
        values = by_rows(lambda block: entropy(soften(block, temperature)), evidence.probabilities)
        return Scores(values, reason=lambda i: f"spread over {evidence.top_classes(i, 3)}")
