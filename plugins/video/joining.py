"""Which boxes of a frame overlap a given box: a window on centres instead of all pairs.

If IoU > t, the centres of two boxes lie less than w (1 - t) / 2t apart in x, w being the width of one of them: so boxes
sorted by frame and centre x need be compared within that window alone.
"""

from __future__ import annotations

import numpy as np

from plugins.contract import FloatArray, IntArray
from plugins.video.boxes import overlaps

BLOCK = 8192  # boxes that are looked up at once; what is computed of them stays in the cache
ROUNDING = 1e-3  # px by which a window is widened


class Joiner:
    """K boxes by frame and place, ready to be looked up; within a class if `same_class`.

    frame: (K,), box: (K, 4) px, label: (K,) class index. Boxes sorted by frame and centre x, as a clip has them, cost
    least.
    """

    def __init__(self, frame: IntArray, box: FloatArray, label: IntArray, same_class: bool) -> None:
        self._box, self._same_class = box, same_class
        self._classes = int(label.max(initial=0)) + 1
        centre = (box[:, 0] + box[:, 2]) / 2
        self._low = float(centre.min(initial=0))
        self._span = float(centre.max(initial=0)) - self._low + 2  # of one frame and class on the axis of keys
        keys = self._key(frame, label, centre)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def _key(self, frame: IntArray, label: IntArray, centre: FloatArray) -> FloatArray:
        group = frame * self._classes + label if self._same_class else frame
        return np.asarray(group * self._span + np.clip(centre - self._low + 1, 0, self._span))

    def overlapping(
        self, box: FloatArray, frame: IntArray, label: IntArray, iou: float
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Every pair (query, box) with IoU > iou on the query's frame: positions (P,) and (P,), IoU (P,).

        box: (Q, 4), frame: (Q,), label: (Q,). 0 < iou < 1. Pairs come in the order of queries.
        """
        if not 0 < iou < 1:
            raise ValueError(f"The IoU threshold is {iou}; give a number between 0 and 1.")
        blocks = [slice(start, start + BLOCK) for start in range(0, max(len(box), 1), BLOCK)]
        parts = [self._block(box[rows], frame[rows], label[rows], iou) for rows in blocks]
        query, found, shared = (np.concatenate(column) for column in zip(*parts, strict=True))
        query += np.repeat(np.arange(len(blocks)) * BLOCK, [len(part[0]) for part in parts])
        return query, found, shared

    def _block(
        self, box: FloatArray, frame: IntArray, label: IntArray, iou: float
    ) -> tuple[IntArray, IntArray, FloatArray]:
        centre = (box[:, 0] + box[:, 2]) / 2
        reach = (box[:, 2] - box[:, 0]) * ((1 - iou) / (2 * iou)) + ROUNDING
        first = np.searchsorted(self._keys, self._key(frame, label, centre - reach))
        count = np.searchsorted(self._keys, self._key(frame, label, centre + reach), side="right") - first
        query = np.repeat(np.arange(len(box)), count)
        found = self._order[np.arange(len(query)) + np.repeat(first - (np.cumsum(count) - count), count)]
        shared = overlaps(box[query], self._box[found])
        good = shared > iou
        return query[good], found[good], shared[good]
