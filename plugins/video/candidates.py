"""Candidates: places where a detection should be and is none, so possible misses (thesis ch. 2, step 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from plugins.contract import FloatArray, IntArray
from plugins.video.boxes import outside
from plugins.video.clip import Clip
from plugins.video.joining import Joiner
from plugins.video.linking import Links


@dataclass(frozen=True)
class Candidates:
    """M possible misses: frame (M,) sorted position, box (M, 4) mean of its members, label (M,) class index.

    candidate, source: (S,) which candidate comes from which detection of the clip, `place` (S,) frames from it;
    each pair once.
    """

    frame: IntArray
    box: FloatArray
    label: IntArray
    candidate: IntArray
    source: IntArray
    place: IntArray

    def __len__(self) -> int:
        return len(self.frame)


def find_candidates(clip: Clip, tracked: FloatArray, links: Links, cluster_iou: float = 0.75) -> Candidates:
    """Tracked boxes without a link, joined per frame and class where they overlap by IoU > cluster_iou.

    Joined means connected by such overlaps, so the order of detections does not matter. A box that lies by half or more
    of its width outside the image has left it and is no candidate.
    """
    target = clip.neighbours[clip.frame]
    source, slot = np.nonzero((target >= 0) & ~links.linked)
    box = tracked[source, slot]
    frame = target[source, slot]
    inside = outside(box, clip.size[frame]) < 0.5
    source, slot, box, frame = source[inside], slot[inside], box[inside], frame[inside]
    label = clip.label[source]
    one, other, _ = Joiner(frame, box, label, same_class=True).overlapping(box, frame, label, cluster_iou)
    pairs = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(len(box), len(box)))
    count, member = connected_components(pairs, directed=False)
    size = np.bincount(member, minlength=count)
    mean = np.stack([np.bincount(member, box[:, side], count) for side in range(4)], axis=1) / size[:, None]
    first = np.zeros(count, dtype=np.int64)
    first[member] = np.arange(len(member))
    return Candidates(frame[first], mean, label[first], member, source, -clip.offsets[slot])
