"""What is known of a box besides its pixels: its score's rank, and how the frames and boxes around it bear it out."""

from __future__ import annotations

import numpy as np

from plugins.contract import FloatArray
from plugins.video.boxes import outside
from plugins.video.clip import Clip
from plugins.video.joining import Joiner
from plugins.video.linking import Links

NAMES = ("constant", "z", "support", "linked z", "overlap", "outside", "disagreement")
DUPLICATE = 0.3  # IoU from which a better box of the frame may be of the same object


def features(clip: Clip, links: Links, z: FloatArray) -> FloatArray:
    """(K, 7) in the order of NAMES.

    z: (K,) logit of the score's rank. support: linked share of the neighbour frames there are, 0 where there is none.
    linked z: mean over linked neighbour frames of the best linked z, 0 if none. overlap: largest IoU with a better box
    of the class in the frame, 0 up to DUPLICATE. outside: share of the width outside the image. disagreement: share of
    links to another class.
    """
    support, linked_z = supports(clip, links, z)
    agree = clip.label[links.earlier] == clip.label[links.later]
    ends = np.concatenate([links.earlier, links.later])
    total = np.bincount(ends, minlength=len(clip))
    other = np.bincount(ends[~np.concatenate([agree, agree])], minlength=len(clip))
    columns = [
        np.ones(len(clip)),
        z,
        support,
        linked_z,
        better_overlap(clip, z),
        outside(clip.box, clip.size[clip.frame]),
        other / np.maximum(total, 1),
    ]
    return np.stack(columns, axis=1)


def supports(clip: Clip, links: Links, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(K,) support and (K,) linked z, as `features` defines them."""
    best = np.full((len(clip), 2 * clip.k), -np.inf)
    place = clip.frame[links.later] - clip.frame[links.earlier]
    np.maximum.at(best, (links.earlier, clip.k + place - 1), z[links.later])
    np.maximum.at(best, (links.later, clip.k - place), z[links.earlier])
    linked = links.linked.sum(axis=1)
    there = (clip.neighbours >= 0).sum(axis=1)[clip.frame]
    total = np.where(links.linked, best, 0).sum(axis=1)
    return linked / np.maximum(there, 1), total / np.maximum(linked, 1)


def better_overlap(clip: Clip, z: FloatArray) -> FloatArray:
    """(K,) largest IoU with a box of the same frame and class and a higher z; of equal ones the first is better."""
    joiner = Joiner(clip.frame, clip.box, clip.label, same_class=True)
    one, other, shared = joiner.overlapping(clip.box, clip.frame, clip.label, DUPLICATE)
    better = (z[other] > z[one]) | ((z[other] == z[one]) & (clip.box_rows[other] < clip.box_rows[one]))
    largest = np.zeros(len(clip))
    np.maximum.at(largest, one[better], shared[better])
    return largest
