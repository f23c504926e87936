"""Learning curves: accuracy of each cycle's model on images that no project holds, against labels given."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ml_backend.learners.contract import Accuracy, Images
from ml_backend.loop.house import House
from ml_backend.loop.learning import make_learner, model_key
from ml_backend.loop.plan import Plan
from ml_backend.store.tables import Cycle
from plugins.contract import IntArray


@dataclass(frozen=True)
class Point:
    """One cycle: labels learned from, accuracy on the test images with its 95 % interval, what led the queue next."""

    labels: int
    accuracy: float
    low: float
    high: float
    phase: str


def measure(house: House, cycle: Cycle, plan: Plan, images: Images, answers: IntArray) -> Point | None:
    """The point of a cycle, None if it trained no model. answers: (n,) class index of each image."""
    if cycle.evidence_cycle is None:
        return None
    model = house.arrays.read(model_key(cycle.project_id, cycle.evidence_cycle))
    if model is None:
        raise LookupError(f"The model of cycle {cycle.evidence_cycle} is gone from the array store.")
    learner = make_learner(plan, cycle.project_id)
    predicted = learner.predict(model, images, house.features).argmax(axis=1)
    seen = Accuracy.from_hits(int((predicted == answers).sum()), len(answers))
    return Point(cycle.labels, seen.value, seen.low, seen.high, str(cycle.metrics.get("phase", "")))


def labels_to_reach(points: list[Point], accuracy: float) -> int | None:
    """Labels at which a curve first reaches an accuracy, None if it never does.

    >>> curve = [Point(20, 0.6, 0, 1, ""), Point(40, 0.8, 0, 1, ""), Point(60, 0.9, 0, 1, "")]
    >>> labels_to_reach(curve, 0.8), labels_to_reach(curve, 0.95)
    (40, None)
    """
    return next((point.labels for point in points if point.accuracy >= accuracy), None)


def area(points: list[Point]) -> float:
    """Mean accuracy over the labels given, by trapezia; 0 for fewer than two points."""
    if len(points) < 2:
        return 0.0
    labels = np.array([point.labels for point in points], dtype=float)
    return float(np.trapezoid([point.accuracy for point in points], labels) / (labels[-1] - labels[0]))


def draw(curves: dict[str, list[Point]], path: Path, title: str) -> None:
    """Saves the curves as PNG, and their numbers beside it as JSON."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.8), dpi=150)
    for (name, points), colour in zip(curves.items(), ("#0b6e99", "#b0562c", "#666666"), strict=False):
        labels = [point.labels for point in points]
        axes.plot(labels, [100 * point.accuracy for point in points], marker="o", ms=3, label=name, color=colour)
        axes.fill_between(
            labels,
            [100 * point.low for point in points],
            [100 * point.high for point in points],
            alpha=0.12,
            color=colour,
            lw=0,
        )
    axes.set(xlabel="labels given", ylabel="accuracy on unseen images, %", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
    numbers = {name: [asdict(point) for point in points] for name, points in curves.items()}
    path.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")
