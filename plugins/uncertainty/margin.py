"""Margin: ask about the items where the model cannot decide between two classes."""

from __future__ import annotations

import numpy as np

from plugins.contract import FloatArray, PluginConfig, Scorer, Scores
from plugins.evidence import Array, Evidence
from plugins.uncertainty.distributions import by_rows


class MarginConfig(PluginConfig):
    """Nothing to set."""


def margin(probabilities: FloatArray) -> FloatArray:
    """1 - (P(best) - P(second best)), of each row.

    probabilities: (N, C), rows sum to 1. Returns (N,), between 0 (certain) and 1 (a tie); 0 with a single class.

    >>> margin(np.array([[0.5, 0.5, 0.0], [0.75, 0.0, 0.25]])).tolist()
    [1.0, 0.5]
    """
    if probabilities.shape[1] < 2:
        return np.asarray(1.0 - probabilities.sum(axis=1))
    rows, best = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    others = probabilities.copy()
    others[rows, best] = -np.inf
    return np.asarray(1.0 - (probabilities[rows, best] - others.max(axis=1)))


def undecided(probabilities: Array, classes: tuple[str, ...]) -> str:
    """One sentence on one item's (C,) probabilities.

    >>> undecided(np.array([0.41, 0.21, 0.38]), ("3", "5", "8"))
    'undecided between 3 (0.41) and 8 (0.38)'
    """
    named = [f"{classes[c]} ({probabilities[c]:.2f})" for c in np.argsort(-probabilities, kind="stable")[:2]]
    return f"undecided between {' and '.join(named)}" if len(named) > 1 else f"the only class is {named[0]}"


class Margin(Scorer[MarginConfig]):
    """values: one minus the distance between the two likeliest classes."""

    name, title = "margin", "Margin"
    summary = "Items where the two likeliest classes are nearly tied come first; the safest choice once a model works."
    reference = "Scheffer, Decomain & Wrobel 2001; thesis ch. 3, baseline Margin"
    needs = frozenset({"probabilities"})

    def score(self, evidence: Evidence) -> Scores:
        probabilities, classes = evidence.probabilities, evidence.classes
        values = by_rows(margin, probabilities)
        return Scores(values, reason=lambda i: undecided(probabilities[i], classes))
