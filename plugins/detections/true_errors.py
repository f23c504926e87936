"""True errors of images: boxes that match no object and objects that match no box, counted for a simulation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from plugins.contract import FloatArray, IntArray
from plugins.detections.columns import check_classes, check_finite, check_items, check_rows, counted
from plugins.evidence import Array, Evidence
from plugins.video.joining import Joiner

NEEDS = frozenset(
    {
        "detection_item",
        "detection_box",
        "detection_label",
        "detection_shown",
        "truth_item",
        "truth_box",
        "truth_label",
    }
)
BLOCK = 16_384  # boxes that are matched at once


def true_errors(
    item: IntArray,
    box: FloatArray,
    label: IntArray,
    truth_item: IntArray,
    truth_box: FloatArray,
    truth_label: IntArray,
    n: int,
    iou: float = 0.5,
) -> tuple[IntArray, IntArray]:
    """(n,) false positives and (n,) false negatives of n images.

    A box and an object of its class with IoU >= iou may be matched, each once, so that the total IoU of an image is
    largest: a second box on an object is a false positive. item, label: (K,), box: (K, 4) px; the same of G objects.

    >>> square = np.array([[0.0, 0.0, 4.0, 4.0]])
    >>> one = np.zeros(1, dtype=int)
    >>> twice = np.repeat(square, 2, axis=0)
    >>> wrong, missed = true_errors(np.array([0, 0]), twice, np.zeros(2, int), one, square, one, 2)
    >>> wrong.tolist(), missed.tolist()
    ([1, 0], [0, 0])
    """
    matched = np.zeros(n, dtype=np.int64)
    for mine, true in _blocks(item, truth_item, n):
        pairs = _pairs(item[mine], box[mine], label[mine], truth_item[true], truth_box[true], truth_label[true], iou)
        of_true, hits = _matches(*pairs, len(mine), len(true))
        np.add.at(matched, truth_item[true][of_true], hits)
    boxes, objects = np.bincount(item, minlength=n), np.bincount(truth_item, minlength=n)
    return boxes - matched, objects - matched


def _blocks(item: IntArray, truth_item: IntArray, n: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows of boxes and rows of objects, image by image, about BLOCK boxes and objects at a time."""
    orders = [np.argsort(column, kind="stable") for column in (item, truth_item)]
    starts = [np.concatenate([[0], np.cumsum(np.bincount(c, minlength=n))]) for c in (item, truth_item)]
    together, first = starts[0] + starts[1], 0
    while first < n:
        end = max(first + 1, int(np.searchsorted(together, together[first] + BLOCK, side="right")) - 1)
        mine, true = (order[s[first] : s[end]] for order, s in zip(orders, starts, strict=True))
        yield mine, true
        first = end


def _pairs(
    item: IntArray,
    box: FloatArray,
    label: IntArray,
    truth_item: IntArray,
    truth_box: FloatArray,
    truth_label: IntArray,
    iou: float,
) -> tuple[IntArray, IntArray, FloatArray]:
    """(P,) objects, (P,) boxes that may be matched with them, (P,) their IoU."""
    if not len(item) or not len(truth_item):
        none = np.empty(0, dtype=np.int64)
        return none, none, np.empty(0)
    first = min(item.min(), truth_item.min())
    classes = int(max(label.max(), truth_label.max())) + 1
    group = (item - first) * classes + label  # an image's boxes of a class, as a frame of one class
    wanted = (truth_item - first) * classes + truth_label
    joiner = Joiner(group, box.astype(np.float64), np.zeros(len(box), dtype=np.int64), same_class=False)
    nothing = np.zeros(len(truth_box), dtype=np.int64)
    return joiner.overlapping(truth_box.astype(np.float64), wanted, nothing, np.nextafter(iou, 0))


def _matches(true: IntArray, mine: IntArray, shared: FloatArray, k: int, g: int) -> tuple[IntArray, IntArray]:
    """Per group of boxes and objects that overlap: one of its objects, and how many pairs are matched.

    A group with one box or one object has one match; only the others need an assignment.
    """
    graph = coo_array((np.ones(len(true), dtype=np.int8), (mine, true + k)), shape=(k + g, k + g))
    _, group = connected_components(graph, directed=False)
    found, first, of_pair = np.unique(group[mine], return_index=True, return_inverse=True)
    boxes = np.bincount(_distinct(mine, of_pair), minlength=len(found))
    objects = np.bincount(_distinct(true, of_pair), minlength=len(found))
    hits = np.ones(len(found), dtype=np.int64)
    for one in np.flatnonzero((boxes > 1) & (objects > 1)).tolist():
        pairs = np.flatnonzero(of_pair == one)
        left, right = (np.unique(side[pairs], return_inverse=True)[1] for side in (mine, true))
        table = np.zeros((left.max() + 1, right.max() + 1))
        table[left, right] = shared[pairs]
        hits[one] = (table[linear_sum_assignment(table, maximize=True)] > 0).sum()
    return true[first], hits


def _distinct(side: IntArray, group: IntArray) -> IntArray:
    """The group of each distinct entry of (P,) `side`."""
    return np.asarray(group[np.unique(side, return_index=True)[1]])


def errors_of(who: str, evidence: Evidence) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """(N,) false positives, false negatives, shown boxes and objects of the pool, for scorer `who`."""
    boxes, n = counted(who, evidence, "shown"), len(evidence)
    for side in ("detection", "truth"):
        item, box, label = (evidence.column(f"{side}_{name}") for name in ("item", "box", "label"))
        check_items(who, f"{side}_item", item, n)
        check_rows(who, f"{side}_box", box, len(item), (4,))
        check_finite(who, f"{side}_box", box)
        check_rows(who, f"{side}_label", label, len(item))
        check_classes(who, f"{side}_label", label, len(evidence.classes))
    rows = boxes.rows
    truth: tuple[Array, Array, Array] = (evidence.truth_item, evidence.truth_box, evidence.truth_label)
    found = true_errors(boxes.item, evidence.detection_box[rows], evidence.detection_label[rows], *truth, n)
    return *found, np.bincount(boxes.item, minlength=n), np.bincount(truth[0], minlength=n)
