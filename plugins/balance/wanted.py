"""Omega: how many more items of each class a batch should bring, and how balanced what came is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from plugins.contract import FloatArray, IntArray, PluginError
from plugins.evidence import Evidence

Share = Annotated[float, Field(ge=0, le=1e6)]
Target = Annotated[
    Literal["uniform", "pool"] | dict[str, Share],
    Field(
        description="The share of each class among all labels that batches work towards. uniform: equal shares. pool: "
        "as the model estimates them in labeled and unlabeled items together. Or a number for each class, in "
        "proportion; a class left out is not wanted."
    ),
]


def wanted(counts: IntArray, budget: float, shares: FloatArray) -> FloatArray:
    """(C,) Omega: items of each class that are missing once `budget` more are labeled (thesis Eq. 4.3-4.4).

    counts: (C,) labels so far. shares: (C,) non-negative, of all labels after the batch; they are scaled to sum to 1.
    max(share_c * (labels + budget) - counts_c, 0); with equal shares that is Eq. 4.4, whose c * b + b0 is all labels
    after cycle c. What a class has too much of is not taken off the others, so the sum may exceed the budget.

    Where people draw boxes, labels are boxes and the budget is those that a batch will bring: b times the objects that
    a frame of the pool is expected to show on average. Then a batch of average frames has the size that Omega asks for:
    a larger budget would favour crowded frames for their number alone, a smaller one empty frames.

    >>> wanted(np.array([30, 5, 5]), 20, np.ones(3)).tolist()
    [0.0, 15.0, 15.0]
    """
    total = float(np.sum(counts)) + budget
    return np.asarray(np.maximum(shares / shares.sum() * total - counts, 0.0))


def check_target(target: Target, classes: tuple[str, ...], who: str) -> None:
    """PluginError that names `who` unless every class of a given target exists and one of them is wanted."""
    if isinstance(target, Mapping):
        _given(target, classes, who)


def shares_of(target: Target, evidence: Evidence, who: str, rows: FloatArray | None = None) -> FloatArray:
    """(C,) shares that sum to 1; PluginError names `who`, the class and the remedy.

    rows: (N, C) expected labels of the pool, its probabilities by default.
    """
    classes = evidence.classes
    if isinstance(target, Mapping):
        return _given(target, classes, who)
    if target == "uniform" or not len(evidence):
        return np.full(len(classes), 1 / len(classes))
    there = (evidence.probabilities if rows is None else rows).sum(axis=0, dtype=np.float64) + evidence.counts
    total = float(there.sum())
    return np.asarray(there / total) if total > 0 else np.full(len(classes), 1 / len(classes))


def _given(target: Mapping[str, float], classes: tuple[str, ...], who: str) -> FloatArray:
    unknown = sorted(set(target) - set(classes))
    if unknown:
        raise PluginError(f"{who}: target names '{unknown[0]}', which is no class; classes: {', '.join(classes)}.")
    shares = np.array([target.get(name, 0.0) for name in classes], dtype=np.float64)
    if shares.sum() <= 0:
        raise PluginError(f"{who}: target {dict(target)} wants no class at all; give one of them more than 0.")
    return np.asarray(shares / shares.sum())


def l1_score(counts: IntArray) -> float:
    """How unbalanced (C,) counts are: 0 balanced, 1 all of one class (thesis Eq. 4.10); 0 for nothing or one class.

    >>> l1_score(np.array([5, 5])), l1_score(np.array([10, 0])), l1_score(np.array([8, 2]))
    (0.0, 1.0, 0.6)
    """
    classes, total = len(counts), float(np.sum(counts))
    if classes < 2 or total == 0:
        return 0.0
    away = float(np.abs(np.asarray(counts) - total / classes).sum())
    return round(away / (2 * total * (classes - 1) / classes), 12)


def serves(probabilities: FloatArray, target: FloatArray, counts: IntArray, classes: tuple[str, ...]) -> str:
    """Which wanted class an item most probably brings; its (C,) probabilities, Omega and labels so far.

    >>> names = ("car", "wheelchair", "bus")
    >>> serves(np.array([0.3, 0.62, 0.08]), np.array([0.0, 37.0, 0.0]), np.array([90, 3, 40]), names)
    'wheelchair: 3 of 40 labeled so far; this is probably one, 0.62'
    >>> serves(np.array([0.9, 0.1]), np.array([0.0, 0.0]), np.array([9, 9]), ("car", "bus"))
    'chosen for its score: probably car, 0.90, of which there are enough'
    """
    brings = np.where(target > 0, probabilities, -1.0)
    best = int(brings.argmax())
    likely = int(probabilities.argmax())
    if target[best] <= 0 or (likely != best and probabilities[best] < probabilities[likely] / 4):
        return (
            f"chosen for its score: probably {classes[likely]}, {probabilities[likely]:.2f}, of which there are enough"
        )
    sure = "probably" if likely == best else "perhaps"
    have, need = int(counts[best]), round(float(counts[best] + target[best]))
    return f"{classes[best]}: {have} of {need} labeled so far; this is {sure} one, {probabilities[best]:.2f}"


def checked_probabilities(evidence: Evidence, selector: str) -> FloatArray:
    """(N, C) finite, non-negative probabilities or expected counts; PluginError names the selector."""
    probabilities = evidence.probabilities
    good = np.asarray(np.isfinite(probabilities).all(axis=1) & (probabilities >= 0).all(axis=1))
    if not good.all():
        raise PluginError(
            f"Selector '{selector}' got probabilities that are negative or not finite for {int((~good).sum())} of "
            f"{len(good)} items; look at the learner that made them."
        )
    return probabilities
