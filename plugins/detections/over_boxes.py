"""From values of boxes to one value per image: mean, sum or maximum, and what an image without a box has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from plugins.contract import FloatArray, IntArray, Scores
from plugins.detections.columns import Boxes, Which, check_classes, check_finite, check_rows, checked_scores, counted
from plugins.evidence import Array, Evidence
from plugins.uncertainty.distributions import ENTRIES

Over = Literal["mean", "sum", "max"]
OVER = "How the values of an image's boxes become one; the sum grows with their number, mean and maximum do not."
EMPTY = (
    "Value of an image without boxes where mean or maximum is taken, in the unit of a box's value; higher asks about "
    "empty images sooner. A sum over nothing is 0."
)
NEEDS = frozenset({"detection_item", "detection_score", "detection_label", "detection_shown"})
OPTIONAL = frozenset({"detection_probabilities"})


def over_boxes(values: FloatArray, item: IntArray, n: int, over: Over, empty: float = 0.0) -> FloatArray:
    """(n,) mean, sum or maximum over the boxes of each item.

    values: (k,) of boxes; item: (k,) below n. empty: of an item without boxes, for mean and maximum; a sum is 0 there.

    >>> over_boxes(np.array([0.25, 0.75, 0.5]), np.array([0, 0, 2]), 3, "mean", empty=0.125).tolist()
    [0.5, 0.125, 0.5]
    """
    if over == "max":
        largest = np.full(n, -np.inf)
        np.maximum.at(largest, item, values)
        return np.where(largest == -np.inf, empty, largest)
    total = np.bincount(item, weights=values, minlength=n).astype(np.float64)
    if over == "sum":
        return total
    count = np.bincount(item, minlength=n)
    return np.where(count > 0, total / np.maximum(count, 1), empty)


def of_boxes(
    measure: Callable[[FloatArray], FloatArray], scores: Array, probabilities: Array | None, rows: IntArray
) -> FloatArray:
    """(k,) `measure` of the distribution of each box at `rows`, by blocks.

    scores: (K,). probabilities: (K, C), or None: then a box is its class with its score and nothing otherwise, (s, 1 -
    s). So it is with a single class too, whose probability is always 1.
    """
    known = probabilities if probabilities is not None and probabilities.shape[1] > 1 else None
    values = np.empty(len(rows))
    step = max(1, ENTRIES // (2 if known is None else known.shape[1]))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        if known is not None:
            values[start : start + step] = measure(known[block].astype(np.float64))
        else:
            s = scores[block].astype(np.float64)
            values[start : start + step] = measure(np.stack([s, 1 - s], axis=1))
    return values


def scored(
    who: str,
    evidence: Evidence,
    measure: Callable[[FloatArray], FloatArray],
    *,
    over: Over,
    which: Which,
    empty: float,
) -> Scores:
    """What scorer `who` answers where a box's doubt is `measure` of its distribution (n, C)."""
    score, label = checked_scores(who, evidence), evidence.detection_label
    check_rows(who, "detection_label", label, len(score))
    check_classes(who, "detection_label", label, len(evidence.classes))
    probabilities = None
    if evidence.has("detection_probabilities"):
        probabilities = evidence.detection_probabilities
        check_rows(who, "detection_probabilities", probabilities, len(score), (len(evidence.classes),))
        check_finite(who, "detection_probabilities", probabilities)
    boxes, classes = counted(who, evidence, which), evidence.classes
    doubt = of_boxes(measure, score, probabilities, boxes.rows)
    values = over_boxes(doubt, boxes.item, len(evidence), over, empty)

    def reason(item: int) -> str:
        return least_sure(boxes, doubt, score, label, classes, item)

    return Scores(values, reason=reason)


def least_sure(boxes: Boxes, doubt: FloatArray, score: Array, label: Array, classes: tuple[str, ...], item: int) -> str:
    """One sentence on the boxes of one item: '3 boxes, the least sure a Car at 0.41'."""
    mine = boxes.of(item)
    if not len(mine):
        return "no box here"
    row = boxes.rows[mine[doubt[mine].argmax()]]
    name = classes[label[row]]
    which = f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name} at {score[row]:.2f}"
    return f"1 box, {which}" if len(mine) == 1 else f"{len(mine)} boxes, the least sure {which}"
