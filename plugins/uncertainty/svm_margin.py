"""SVM margin: ask about the items nearest to where a linear support vector machine would change its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field
from sklearn.svm import LinearSVC

from plugins.contract import FloatArray, IntArray, PluginConfig, PluginError, Scorer, Scores
from plugins.evidence import Array, Evidence

BLOCK = 16_384  # rows
Margin = Literal["two_best", "nearest_plane"]


class SVMMarginConfig(PluginConfig):
    """The machine, and what its margin is."""

    C: float = Field(
        5.0,
        gt=0,
        le=1e6,
        description="Weight of training errors against a wide margin (no unit; features have mean squared length 1). "
        "More follows single labels closely and takes longer.",
    )
    margin: Margin = Field(
        "two_best",
        description="two_best: the distance between the two largest decision values, small where the machine cannot "
        "choose. nearest_plane: the smallest absolute decision value, small also where any one class is in doubt.",
    )
    max_iterations: int = Field(
        1_000,
        ge=10,
        le=100_000,
        description="Most Newton iterations per class; fewer bound the time and may stop short of the optimum.",
    )


@dataclass(frozen=True)
class Planes:
    """One hyperplane for each of the k labeled classes: decision values of x (D,) are weights @ x + offsets."""

    classes: IntArray  # (k,) class indices, ascending
    weights: FloatArray  # (k, D)
    offsets: FloatArray  # (k,)

    def decide(self, points: FloatArray) -> FloatArray:
        """(n, k) decision values of (n, D) points; above 0 the class claims the item."""
        return np.asarray(points.astype(np.float64) @ self.weights.T + self.offsets)


def fit_planes(points: FloatArray, labels: IntArray, C: float, max_iterations: int = 1_000) -> Planes:
    """One-vs-rest linear SVMs with squared hinge loss (liblinear, primal), on centred points divided by one number.

    points: (L, D) finite. labels: (L,) with at least two classes. The number makes the mean squared length 1, so that C
    means the same for all features and widths (C = 5 on MNIST: 3 to 7 points better than mean square 1 per feature,
    and converged in 13 steps). Neither the order of the labels nor a seed matters.
    """
    order = np.lexsort((*points.T, labels))
    points, labels = points[order].astype(np.float64), labels[order]
    centre = points.mean(axis=0)
    scale = float(np.sqrt(np.mean(((points - centre) ** 2).sum(axis=1)))) or 1.0
    machine = LinearSVC(C=C, dual=False, max_iter=max_iterations).fit((points - centre) / scale, labels)
    weights, offsets = machine.coef_ / scale, machine.intercept_
    if len(machine.classes_) == 2:  # liblinear keeps one plane for two classes
        weights, offsets = np.concatenate([-weights, weights]), np.concatenate([-offsets, offsets])
    return Planes(machine.classes_, weights, offsets - weights @ centre)


def smallest_margin(decisions: FloatArray, margin: Margin) -> FloatArray:
    """(n,) margin of (n, k) decision values, k > 1, never below 0 (Tong & Koller 2001 for two classes).

    >>> decisions = np.array([[0.9, -1.0, 0.6], [1.5, -1.2, -0.1]])
    >>> smallest_margin(decisions, "two_best").round(2).tolist()
    [0.3, 1.6]
    >>> smallest_margin(decisions, "nearest_plane").round(2).tolist()
    [0.6, 0.1]
    """
    if margin == "nearest_plane":
        return np.asarray(np.abs(decisions).min(axis=1))
    best = np.partition(decisions, -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0])


class SVMMargin(Scorer[SVMMarginConfig]):
    """values: minus the margin of a one-vs-rest SVM trained on the labels; all 0 before two classes are labeled."""

    name, title = "svm_margin", "SVM margin"
    summary = "Items nearest to a border of a linear support vector machine on the features come first."
    reference = "Tong & Koller 2001; Joshi, Porikli & Papanikolopoulos 2009; thesis ch. 5, SVM (C = 5)"
    needs = frozenset({"embeddings", "labeled_embeddings", "labels"})

    def score(self, evidence: Evidence) -> Scores:
        pool, labels = evidence.embeddings, evidence.labels
        labeled = _checked(pool, evidence.labeled_embeddings, labels)
        if len(np.unique(labels)) < 2:
            note = "SVM margin needs labels of two classes; until then all items are equal."
            return Scores(np.zeros(len(pool)), reason=lambda _: "no two classes are labeled yet", notes=(note,))
        planes = fit_planes(labeled, labels, self.config.C, self.config.max_iterations)
        by_id = np.argsort(evidence.task_id, kind="stable")  # products in an order of their own: rounding depends on it
        values = np.empty(len(pool))
        for start in range(0, len(pool), BLOCK):
            rows = by_id[start : start + BLOCK]
            values[rows] = -smallest_margin(planes.decide(pool[rows]), self.config.margin)
        return Scores(values, reason=lambda i: self._explain(planes, pool[i], evidence.classes))

    def _explain(self, planes: Planes, point: Array, classes: tuple[str, ...]) -> str:
        decisions = planes.decide(point[None])[0]
        if self.config.margin == "nearest_plane":
            nearest = int(np.abs(decisions).argmin())
            name = classes[planes.classes[nearest]]
            return f"of all classes its decision value is nearest to 0 for {name} ({decisions[nearest]:+.2f})"
        named = [
            f"{classes[planes.classes[k]]} ({decisions[k]:+.2f})" for k in np.argsort(-decisions, kind="stable")[:2]
        ]
        return f"the SVM's largest decision values are {named[0]} and {named[1]}"


def _checked(pool: Array, labeled: Array, labels: Array) -> Array:
    """(L, D) finite features of the labeled items that fit pool and labels, or PluginError."""
    if pool.ndim != 2 or labels.shape != labeled.shape[:1] or (len(labeled) and labeled.shape[1:] != pool.shape[1:]):
        raise PluginError(
            f"Scorer 'svm_margin' got embeddings of shape {pool.shape}, labeled embeddings of shape {labeled.shape} "
            f"and labels of shape {labels.shape}; they need one width and one label per labeled item."
        )
    bad = np.flatnonzero(~np.isfinite(labeled).all(axis=1)) if labeled.ndim == 2 else np.empty(0)
    if bad.size:
        raise PluginError(
            f"Scorer 'svm_margin' got labeled embeddings that are not finite for {bad.size} of {len(labeled)} items; "
            "look at the learner that made them."
        )
    return labeled
