"""What people found on the frames they labeled: which boxes were wrong and what was missed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from plugins.contract import FloatArray, IntArray
from plugins.video.boxes import overlaps
from plugins.video.detections import Detections
from plugins.video.grouping import totals


@dataclass(frozen=True)
class Verdicts:
    """wrong (K,): 1 a box is a false positive among all boxes, 0 it is right, NaN nobody said.

    false_positives, missed: (F,) wrong shown boxes and objects without a shown box; NaN on frames that nobody labeled.
    """

    wrong: FloatArray
    false_positives: FloatArray
    missed: FloatArray


def compare(
    detections: Detections,
    labeled: NDArray[np.bool_],
    frame: IntArray,
    box: FloatArray,
    label: IntArray,
    shown: NDArray[np.bool_] | None = None,
    iou: float = 0.5,
) -> Verdicts:
    """Verdicts by matching a frame's boxes of a class with the true ones: largest total IoU of pairs with IoU >= iou.

    labeled: (F,) frames that people have labeled. frame (G,), box (G, 4), label (G,): the true objects on them, frame
    by position. shown: (K,) boxes that count for the frames' errors, all if None. A second box on an object is a false
    positive.
    """
    f = len(detections.frames)
    if labeled.shape != (f,):
        raise ValueError(f"`labeled` has shape {labeled.shape} for {f} frames; give one truth value per frame.")
    if box.shape != (len(frame), 4) or label.shape != frame.shape or not np.isfinite(box).all():
        raise ValueError(
            f"True objects have frames {frame.shape}, boxes {box.shape} and labels {label.shape}; "
            "give (G,), (G, 4) and (G,), all finite."
        )
    strange = frame[(frame < 0) | (frame >= f)] if len(frame) else frame
    if strange.size or not labeled[frame].all():
        raise ValueError("A true object is on a frame that is not in `labeled`; mark every frame that people finished.")
    usable = ~detections.dropped & labeled[detections.frame]
    wrong, missed = _match(detections, usable, frame, box, label, iou)
    among = wrong
    if shown is not None and not shown.all():
        among, missed = _match(detections, usable & shown, frame, box, label, iou)
    false = totals(detections.frame, np.nan_to_num(among), f)
    return Verdicts(wrong, np.where(labeled, false, np.nan), np.where(labeled, missed, np.nan))


def _match(
    detections: Detections, rows: NDArray[np.bool_], frame: IntArray, box: FloatArray, label: IntArray, iou: float
) -> tuple[FloatArray, FloatArray]:
    """(K,) wrong, NaN outside `rows`, and (F,) missed objects."""
    wrong = np.where(rows, 1.0, np.nan)
    missed = np.bincount(frame, minlength=len(detections.frames)).astype(np.float64)
    mine_by_frame, true_by_frame = (
        _groups(detections.frame, np.flatnonzero(rows)),
        _groups(frame, np.arange(len(frame))),
    )
    for one, true in true_by_frame.items():
        mine = mine_by_frame.get(one, np.empty(0, dtype=np.int64))
        a, b = np.repeat(mine, len(true)), np.tile(true, len(mine))
        shared = overlaps(detections.box[a], box[b])
        shared[(shared < iou) | (detections.label[a] != label[b])] = 0
        table = shared.reshape(len(mine), len(true))
        left, right = linear_sum_assignment(table, maximize=True)
        matched = table[left, right] > 0
        wrong[mine[left[matched]]] = 0.0
        missed[one] -= matched.sum()
    return wrong, missed


def _groups(frame: IntArray, rows: IntArray) -> dict[int, IntArray]:
    """Frame -> those of `rows` that are on it."""
    order = rows[np.argsort(frame[rows], kind="stable")]
    known, first = np.unique(frame[order], return_index=True)
    return dict(zip(known.tolist(), np.split(order, first[1:]), strict=True)) if len(order) else {}
