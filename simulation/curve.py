"""Learning curves: accuracy on images that nobody may label, against labels given; and what is read off them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.learners.contract import FeatureStore, Images, Learner
from ml_backend.store.arrays import Arrays
from plugins.contract import FloatArray, IntArray


@dataclass(frozen=True)
class Curve:
    """accuracies (S, k) of S seeds at labels (k,), ascending; 0 to 1."""

    labels: NDArray[np.int64]
    accuracies: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """(k,) over the seeds."""
        return np.asarray(self.accuracies.mean(axis=0))


def hits(
    learner: Learner[Any], model: Arrays, images: Images, answers: IntArray, store: FeatureStore
) -> NDArray[np.bool_]:
    """(n,) whether a model gives the true answer (n,) of each of n images."""
    return np.asarray(learner.predict(model, images, store).argmax(axis=1) == answers)


def labels_to_reach(labels: Sequence[int] | IntArray, accuracies: FloatArray, goal: float) -> int | None:
    """Labels at which a curve first reaches `goal`, on straight lines between its points; None if it never does.

    Rounding of sums must not hide a tie, so 1e-9 below the goal is the goal.

    >>> labels_to_reach([20, 40, 60], np.array([0.6, 0.8, 0.9]), 0.85)
    50
    >>> labels_to_reach([20, 40], np.array([0.6, 0.8]), 0.5), labels_to_reach([20, 40], np.array([0.6, 0.8]), 0.9)
    (20, None)
    """
    reached = np.flatnonzero(np.asarray(accuracies) >= goal - 1e-9)
    if not len(reached):
        return None
    first = int(reached[0])
    if first == 0:
        return int(labels[0])
    before, after = float(accuracies[first - 1]), float(accuracies[first])
    share = (goal - before) / (after - before) if after > before else 1.0
    return math.ceil(labels[first - 1] + min(1.0, share) * (labels[first] - labels[first - 1]) - 1e-6)


def areas(curve: Curve) -> NDArray[np.float64]:
    """(S,) mean accuracy of each seed over the labels given, by trapezia; the accuracy itself for a single point.

    >>> areas(Curve(np.array([0, 10, 30]), np.array([[0.0, 1.0, 1.0]]))).round(3).tolist()
    [0.833]
    """
    if len(curve.labels) < 2:
        return np.asarray(curve.accuracies.mean(axis=1))
    span = float(curve.labels[-1] - curve.labels[0])
    return np.asarray(np.trapezoid(curve.accuracies, curve.labels.astype(float), axis=1) / span)
