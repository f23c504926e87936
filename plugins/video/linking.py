"""Links: which detections of neighbouring frames are one object (thesis ch. 2, step 2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.clip import Clip
from plugins.video.joining import Joiner


@dataclass(frozen=True)
class Links:
    """P links between detections of a clip, by position in it: `earlier` (P,) and `later` (P,), each pair once.

    linked: (K, 2k) whether a detection has a link into each neighbour of its frame.
    """

    earlier: IntArray
    later: IntArray
    linked: NDArray[np.bool_]


def link(clip: Clip, tracked: FloatArray, iou: float = 0.5, same_class: bool = True) -> Links:
    """d_i in frame i and d_j in frame j are linked if IoU(d_i -> j, d_j) > iou or IoU(d_j -> i, d_i) > iou.

    tracked: (K, 2k, 4), NaN where there is no neighbour. same_class: only detections of one class. Time and memory grow
    with the number of detections and of overlaps, never with their square.
    """
    if tracked.shape != (len(clip), 2 * clip.k, 4):
        raise ValueError(
            f"Tracked boxes have shape {tracked.shape}; {len(clip)} detections with k = {clip.k} need "
            f"{(len(clip), 2 * clip.k, 4)}."
        )
    target = clip.neighbours[clip.frame]
    joiner = Joiner(clip.frame, clip.box, clip.label, same_class)
    codes = []
    for slot in range(2 * clip.k):
        rows = np.flatnonzero(target[:, slot] >= 0)
        query, found, _ = joiner.overlapping(tracked[rows, slot], target[rows, slot], clip.label[rows], iou)
        mine = rows[query]
        codes.append(mine * len(clip) + found if slot >= clip.k else found * len(clip) + mine)
    code = np.sort(np.concatenate(codes))
    code = code[np.diff(code, prepend=-1) != 0]
    earlier, later = np.divmod(code, max(len(clip), 1))
    linked = np.zeros((len(clip), 2 * clip.k), dtype=bool)
    places = clip.frame[later] - clip.frame[earlier]
    linked[earlier, clip.k + places - 1] = True
    linked[later, clip.k - places] = True
    return Links(earlier, later, linked)
