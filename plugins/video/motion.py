"""Trackers that need no pixels: the box stays where it is, or goes on as the detections around it say."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from plugins.contract import FloatArray, PluginConfig
from plugins.video.clip import Clip
from plugins.video.joining import Joiner
from plugins.video.tracker import Tracker


class StillConfig(PluginConfig):
    """Nothing to set."""


class LinearConfig(PluginConfig):
    """When two boxes in adjacent frames are one object."""

    overlap: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="IoU (no unit) above which a box of the frame before or after is the same object; higher loses "
        "fast objects, lower takes a passer-by for the object.",
    )


def still(clip: Clip) -> FloatArray:
    """(K, 2k, 4) every box where it was; NaN where there is no neighbour."""
    known = clip.neighbours[clip.frame] >= 0
    return np.where(known[:, :, None], clip.box[:, None, :], np.nan)


def velocities(clip: Clip, overlap: float) -> FloatArray:
    """(K, 4) change of each box per frame number, in px.

    A box is followed to the one that overlaps it most, by more than `overlap`, in the adjacent frame on either side:
    velocity is the step between both, or from the box itself where one is missing, or 0 where both are.
    """
    joiner = Joiner(clip.frame, clip.box, clip.label, same_class=False)
    there, when = clip.box.copy(), np.zeros(len(clip))  # the earlier end of the step, then the later one
    ends = []
    for side in (clip.k - 1, clip.k):
        target = clip.neighbours[clip.frame, side]
        asked = np.flatnonzero(target >= 0)
        query, found, shared = joiner.overlapping(clip.box[asked], target[asked], clip.label[asked], overlap)
        order = np.lexsort((found, -shared, query))
        query, first = np.unique(query[order], return_index=True)
        rows, partner = asked[query], found[order][first]
        box, at = there.copy(), when.copy()
        box[rows] = clip.box[partner]
        at[rows] = clip.steps[clip.frame[rows], side]
        ends.append((box, at))
    (before, start), (after, end) = ends
    apart = end - start
    return np.asarray(np.divide(after - before, apart[:, None], out=np.zeros_like(after), where=apart[:, None] > 0))


def linear(clip: Clip, overlap: float = 0.3) -> FloatArray:
    """(K, 2k, 4) every box moved on at its velocity; NaN where there is no neighbour.

    A side that would become negative shrinks to nothing at its middle.
    """
    steps = clip.steps[clip.frame]
    moved = clip.box[:, None, :] + velocities(clip, overlap)[:, None, :] * steps[:, :, None]
    for low, high in ((0, 2), (1, 3)):
        crossed = moved[:, :, low] > moved[:, :, high]
        if crossed.any():
            middle = (moved[:, :, low] + moved[:, :, high])[crossed] / 2
            moved[crossed, low] = moved[crossed, high] = middle
    moved[clip.neighbours[clip.frame] < 0] = np.nan
    return np.asarray(moved)


class Still(Tracker[StillConfig]):
    """boxes: as `still`."""

    name, title = "still", "Still box"
    summary = "Leaves every box where it is; enough where little moves within k frames."
    reference = "thesis ch. 2, the tracker left out"
    needs = frozenset()

    def track(self, clip: Clip) -> FloatArray:
        return still(clip)


class Linear(Tracker[LinearConfig]):
    """boxes: as `linear`."""

    name, title = "linear", "Linear motion"
    summary = (
        "Moves every box as its counterparts in the frames before and after say; as good as dense flow, no pixels."
    )
    reference = "constant velocity, Bewley et al. 2016, without the filter"
    needs = frozenset()
    reach = 1

    def track(self, clip: Clip) -> FloatArray:
        return linear(clip, self.config.overlap)
