"""Tracker by dense optical flow: a box moves as the pixels at its centre do, frame by frame (thesis ch. 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from plugins.contract import FloatArray, IntArray, PluginConfig
from plugins.video.clip import Clip
from plugins.video.flow_fields import FlowFields
from plugins.video.tracker import Tracker


class FlowConfig(PluginConfig):
    """Nothing to set; how flow is computed is set where it is."""


def follow(box: FloatArray, start: IntArray, targets: IntArray, fields: FlowFields) -> FloatArray:
    """(n, m, 4) boxes carried from one frame to others by the flow at their centres, one frame after the other.

    box: (n, 4) px. start: (n,) and targets: (n, m) positions in `fields.numbers`; a negative target gives NaN.
    """
    moved = np.full((*targets.shape, 4), np.nan)
    for forward in (True, False):
        way = 1 if forward else -1
        steps = np.where(targets >= 0, (targets - start[:, None]) * way, -1)
        shift, at = np.zeros((len(box), 2)), start.copy()
        centre = (box[:, :2] + box[:, 2:]) / 2
        for step in range(1, int(steps.max(initial=0)) + 1):
            rows = np.flatnonzero((steps >= step).any(axis=1))
            shift[rows] += fields.at(at[rows], centre[rows] + shift[rows], forward)
            at[rows] += way
            row, slot = np.nonzero(steps == step)
            moved[row, slot] = box[row] + np.tile(shift[row], 2)
    return moved


class Flow(Tracker[FlowConfig]):
    """boxes: as `follow`, each in its own video.

    fields: flow of each video by its id; it depends on pixels alone, so any detector's boxes are tracked over it.
    """

    name, title = "flow", "Optical flow"
    summary = (
        "Moves every box by the dense flow at its centre; sees motion where detections are missing, and needs pixels."
    )
    reference = "Kroeger et al. 2016 (DIS); thesis ch. 2"
    needs = frozenset()

    def __init__(self, config: FlowConfig | None = None, fields: Mapping[Any, FlowFields] | None = None) -> None:
        super().__init__(config)
        self.fields = fields or {}

    def track(self, clip: Clip) -> FloatArray:
        moved = np.full((len(clip), 2 * clip.k, 4), np.nan)
        for video in np.unique(clip.video).tolist():
            if video not in self.fields:
                raise ValueError(
                    f"Video {video} has no flow; compute it with `compute_flow`, or use the tracker 'linear'."
                )
            fields, frames = self.fields[video], np.flatnonzero(clip.video == video)
            place = np.full(len(clip.run), -1)
            place[frames] = np.searchsorted(fields.numbers, clip.number[frames])
            known = np.append(fields.numbers, -1)
            lost = frames[known[np.minimum(place[frames], len(fields.numbers))] != clip.number[frames]]
            if lost.size:
                raise ValueError(
                    f"Frame {clip.number[lost[0]]} of video {video} has no flow; extend it with "
                    "`compute_flow(later frames, known=...)`."
                )
            rows = np.flatnonzero(clip.video[clip.frame] == video)
            around = clip.neighbours[clip.frame[rows]]
            targets = np.where(around >= 0, place[around], -1)
            moved[rows] = follow(clip.box[rows], place[clip.frame[rows]], targets, fields)
        return moved
