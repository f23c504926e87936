"""Columns of boxes, checked at the door, and the boxes that count."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from plugins.contract import FloatArray, IntArray, PluginError
from plugins.evidence import Array, Evidence

Which = Literal["shown", "all"]
WHICH = "Which boxes count: those that people see, or all down to the lowest score, which are more and mostly wrong."


@dataclass(frozen=True, eq=False)
class Boxes:
    """The k boxes that count. rows: (k,) their rows in the evidence. item: (k,) position of each in the pool of n."""

    rows: IntArray
    item: IntArray
    n: int

    @cached_property
    def _order(self) -> IntArray:
        return np.argsort(self.item, kind="stable")

    @cached_property
    def _starts(self) -> IntArray:
        return np.concatenate([[0], np.cumsum(np.bincount(self.item, minlength=self.n))])

    def of(self, item: int) -> IntArray:
        """Places among the k boxes of those on one item, in the order they were given."""
        return np.asarray(self._order[self._starts[item] : self._starts[item + 1]])


def counted(who: str, evidence: Evidence, which: Which) -> Boxes:
    """The boxes that count, after a look at their items; PluginError that names scorer `who`.

    Reads detection_item and detection_shown.
    """
    item, shown, n = evidence.detection_item, evidence.detection_shown, len(evidence)
    check_items(who, "detection_item", item, n)
    check_rows(who, "detection_shown", shown, len(item))
    rows = np.flatnonzero(shown) if which == "shown" else np.arange(len(item))
    return Boxes(rows, item[rows].astype(np.int64), n)


def check_items(who: str, name: str, item: Array, n: int) -> None:
    """PluginError unless every one of (K,) positions is a whole number from 0 to n - 1."""
    if item.ndim != 1 or (len(item) and item.dtype.kind not in "iu"):
        raise PluginError(
            f"Scorer '{who}' got {name} of shape {item.shape} and type {item.dtype}; give one position per box."
        )
    if len(item) and (item.min() < 0 or item.max() >= n):
        worst = item.min() if item.min() < 0 else item.max()
        raise PluginError(f"Scorer '{who}' got {name} {worst} for {n} images; give positions from 0 to {n - 1}.")


def check_rows(who: str, name: str, column: Array, k: int, width: tuple[int, ...] = (), of: str = "boxes") -> None:
    """PluginError unless a column has one row of `width` for each of k boxes, or of what `of` says."""
    if column.shape != (k, *width):
        raise PluginError(f"Scorer '{who}' got {name} of shape {column.shape}; {k} {of} need {(k, *width)}.")


def check_finite(who: str, name: str, column: FloatArray) -> None:
    """PluginError where a number is not finite."""
    bad = np.flatnonzero(~np.isfinite(column).all(axis=tuple(range(1, column.ndim))))
    if bad.size:
        raise PluginError(
            f"Scorer '{who}' got {name} that is not finite in {bad.size} of {len(column)} rows (first: row {bad[0]}); "
            "see the detector."
        )


def check_classes(who: str, name: str, label: Array, classes: int) -> None:
    """PluginError unless every class index is below `classes`."""
    if len(label) and (label.dtype.kind not in "iu" or label.min() < 0 or label.max() >= classes):
        raise PluginError(
            f"Scorer '{who}' got {name} from {label.min()} to {label.max()} of type {label.dtype}; "
            f"give class indices from 0 to {classes - 1}."
        )


def checked_scores(who: str, evidence: Evidence) -> FloatArray:
    """detection_score (K,), or PluginError where one is no number in [0, 1]."""
    score = evidence.detection_score
    check_rows(who, "detection_score", score, len(evidence.detection_item))
    check_finite(who, "detection_score", score)
    if len(score) and (score.min() < 0 or score.max() > 1):
        worst = score.min() if score.min() < 0 else score.max()
        raise PluginError(f"Scorer '{who}' got the detection_score {worst:g}; give scores from 0 to 1.")
    return score
