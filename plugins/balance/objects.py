"""Expected objects: how many boxes of each class a frame will probably get, by what a detector sees on it."""

from __future__ import annotations

import numpy as np

from plugins.balance.door import ROW_TOLERANCE
from plugins.contract import FloatArray, IntArray
from plugins.evidence import Array, Evidence

SOME = 0.05  # expected objects of a class from which it is worth a word
NEEDS = ("detection_item", "detection_score", "detection_label")


def expected_objects(
    item: IntArray, score: FloatArray, label: IntArray, probabilities: FloatArray | None, n: int, classes: int
) -> FloatArray:
    """(n, C) float64: the sum over each frame's detected boxes of score x class probabilities.

    item: (K,) frame of each box. score: (K,) in [0, 1]. label: (K,) class. probabilities: (K, C) of the classes, or
    None: then a box is of its label.

    All boxes count, not those alone that people see: a score is taken for the chance that the box is right, so a weak
    box weighs little, and weak boxes are where rare classes first show. Scores promise too little rather than too much,
    and leaving boxes out makes it worse: the Faster R-CNN of MOT15 promises .85 of the true objects with all of its
    boxes and .67 with the shown ones, and its frames follow the true numbers with a correlation of .59 and of .52
    (`python -m benchmarks expected_objects`). What all frames lack alike changes no choice between them.

    >>> item, score, label = np.array([0, 0, 2]), np.array([0.5, 0.75, 1.0]), np.array([1, 1, 0])
    >>> expected_objects(item, score, label, None, n=3, classes=2).tolist()
    [[0.0, 1.25], [0.0, 0.0], [1.0, 0.0]]
    """
    place = item.astype(np.int64)
    if probabilities is None:
        cell = place * classes + label.astype(np.int64)
        return np.bincount(cell, weights=score, minlength=n * classes).astype(np.float64).reshape(n, classes)
    rows = np.empty((n, classes))
    for c in range(classes):
        rows[:, c] = np.bincount(place, weights=score.astype(np.float64) * probabilities[:, c], minlength=n)
    return rows


def checked_boxes(evidence: Evidence) -> tuple[IntArray, FloatArray, IntArray, FloatArray | None]:
    """item, score, label and probabilities of the pool's boxes; ValueError names the first column that is wrong."""
    item, score, label = (evidence.column(name) for name in NEEDS)
    probabilities = evidence.detection_probabilities if evidence.has("detection_probabilities") else None
    check_boxes(item, score, label, probabilities, len(evidence), len(evidence.classes))
    return item, score, label, probabilities


def check_boxes(item: Array, score: Array, label: Array, probabilities: Array | None, n: int, classes: int) -> None:
    """ValueError unless (K,) boxes lie on n frames, scores in [0, 1], labels below C, rows of (K, C) sum to 1."""
    if item.ndim != 1 or score.shape != item.shape or label.shape != item.shape:
        raise ValueError(
            f"The boxes have detection_item {item.shape}, detection_score {score.shape} and detection_label "
            f"{label.shape}; give one of each per box."
        )
    if not len(item):
        return
    for name, column, most in (("detection_item", item, n), ("detection_label", label, classes)):
        if column.dtype.kind not in "iu" or column.min() < 0 or column.max() >= most:
            raise ValueError(
                f"The {name} goes from {column.min()} to {column.max()} with type {column.dtype}; give whole numbers "
                f"from 0 to {most - 1}."
            )
    bad = np.flatnonzero(~((score >= 0) & (score <= 1)))  # true for NaN
    if bad.size:
        raise ValueError(f"The detection_score of box {bad[0]} is {score[bad[0]]:g}; give numbers from 0 to 1.")
    if probabilities is not None:
        _check_probabilities(probabilities, len(item), classes)


def _check_probabilities(probabilities: Array, k: int, classes: int) -> None:
    if probabilities.shape != (k, classes):
        raise ValueError(
            f"The detection_probabilities have shape {probabilities.shape}; {k} boxes need {(k, classes)}."
        )
    sums = probabilities.sum(axis=1, dtype=np.float64)
    bad = np.flatnonzero(~((np.abs(sums - 1) <= ROW_TOLERANCE) & (probabilities.min(axis=1) >= 0)))
    if bad.size:
        raise ValueError(
            f"The detection_probabilities of box {bad[0]} sum to {sums[bad[0]]:.6g} and the least is "
            f"{probabilities[bad[0]].min():.6g}; give probabilities that are at least 0 and sum to 1."
        )


def shows(expected: FloatArray, target: FloatArray, counts: IntArray, classes: tuple[str, ...], what: str) -> str:
    """Which wanted class a frame brings most of; its (C,) expected objects, Omega and the boxes drawn so far.

    what: 'frame' or 'image'.

    >>> names = ("car", "wheelchair", "bus")
    >>> target, counts = np.array([0.0, 37.0, 1.0]), np.array([90, 3, 39])
    >>> shows(np.array([4.1, 1.7, 1.4]), target, counts, names, "frame")
    'wheelchair: 3 of 40 boxes drawn so far; this frame probably shows 2'
    >>> shows(np.array([4.1, 0.2, 0.0]), target, counts, names, "frame")
    'wheelchair: 3 of 40 boxes drawn so far; this frame perhaps shows 1'
    >>> shows(np.array([4.1, 0.0, 0.0]), target, counts, names, "frame")
    'chosen for its score: this frame probably shows 4 of car, of which there are enough'
    """
    brings = np.minimum(expected, target)  # beyond what is missing, more of a class serves nobody
    best, most = int(brings.argmax()), int(expected.argmax())
    if brings[best] >= SOME:
        have, need = int(counts[best]), round(float(counts[best] + target[best]))
        return f"{classes[best]}: {have} of {need} boxes drawn so far; this {what} {_number(float(expected[best]))}"
    if expected[most] < SOME:
        return f"chosen for its score: hardly an object is expected on this {what}"
    number = _number(float(expected[most]))
    return f"chosen for its score: this {what} {number} of {classes[most]}, of which there are enough"


def _number(expected: float) -> str:
    return f"probably shows {round(expected)}" if round(expected) >= 1 else "perhaps shows 1"
