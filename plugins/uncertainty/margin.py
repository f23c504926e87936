"""Margin: ask about the items where the model cannot decide between two classes."""

from __future__ import annotations

import numpy as np

from plugins.contract import FloatArray, PluginConfig, Scorer, Scores
from plugins.evidence import Array, Evidence
from plugins.uncertainty.distributions import by_rows

FEW = 48  # classes up to which going through the columns beats going through the rows


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
    if probabilities.shape[1] <= FEW:
        first, second = two_largest(probabilities)
        return np.asarray(1.0 - (first - second))
    rows, best = np.arange(len(probabilities)), probabilities.argmax(axis=1)
    others = probabilities.copy()
    others[rows, best] = -np.inf
    return np.asarray(1.0 - (probabilities[rows, best] - others.max(axis=1)))


def two_largest(probabilities: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The largest and the second largest of each row of (N, C), C > 1, column by column: fast where C is small.

    >>> [part.tolist() for part in two_largest(np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]]))]
    [[0.7, 0.5], [0.2, 0.5]]
    """
    columns = np.ascontiguousarray(probabilities.T)
    first, second = columns[0].copy(), np.full_like(columns[0], -np.inf)
    for column in columns[1:]:
        np.maximum(second, np.minimum(first, column), out=second)
        np.maximum(first, column, out=first)
    return first, second


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
