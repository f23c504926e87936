"""Tracker by dense optical flow: a box moves as the pixels at its centre do, frame by frame (thesis ch. 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from plugins.contract import FloatArray, IntArray, PluginConfig
from plugins.video.clip import Clip
from plugins.video.flow_fields import DIS, HEIGHT, FlowFields, FlowMethod
from plugins.video.flow_frames import flow_of, needed_steps
from plugins.video.frame_cache import FrameCache, video_folder
from plugins.video.tracker import Tracker

WINDOW = 256  # frames whose flow is in memory at once


class FlowConfig(PluginConfig):
    """How flow is computed from frames."""

    method: Literal["dis", "raft"] = Field(
        "dis", description="dis is fast on a processor; raft is a network, better and many times slower without a GPU."
    )
    height: int = Field(
        HEIGHT,
        ge=64,
        le=2160,
        description="Height in px to which higher frames are shrunk; more sees smaller objects and costs more.",
    )
    preset: int = Field(
        0,
        ge=0,
        le=2,
        description="Of dis (no unit): 0 is fastest, 2 most exact and several times slower; boxes are hardly better.",
    )
    network: Literal["small", "large"] = Field("small", description="Of raft: which of torchvision's two networks.")
    weights: str | None = Field(
        None, description="Of raft: file with a state_dict of that network; torchvision's published one if none."
    )


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

    Flow depends on pixels alone, so it is computed once from each frame of a reader to the next, and any detector's
    boxes are tracked over it, on and back. fields: flow of videos by id that was computed before (`compute_flow`).
    """

    name, title = "flow", "Optical flow"
    summary = (
        "Moves every box by the dense flow at its centre; sees motion where detections are missing, and needs pixels."
    )
    reference = "Kroeger et al. 2016 (DIS); Teed & Deng 2020 (RAFT); thesis ch. 2"
    needs = frozenset()
    pixels = True

    def __init__(self, config: FlowConfig | None = None, fields: Mapping[Any, FlowFields] | None = None) -> None:
        super().__init__(config)
        self.fields = fields or {}
        self._method: FlowMethod | None = None

    @property
    def method(self) -> FlowMethod:
        """Made when first needed, since a network takes seconds to load."""
        if self._method is None:
            made = self.config
            if made.method == "dis":
                self._method = DIS(made.height, made.preset)
            else:
                from plugins.video.raft import RAFT  # torch

                self._method = RAFT(made.network, made.weights, made.height)
        return self._method

    def track(self, clip: Clip) -> FloatArray:
        moved = np.full((len(clip), 2 * clip.k, 4), np.nan)
        for video in np.unique(clip.video).tolist():
            frames = np.flatnonzero(clip.video == video)
            if video in self.fields:
                fields = self.fields[video]
                place = _places(clip, video, frames, fields.numbers, "flow", "extend it with `compute_flow`")
                self._carry(clip, frames, place, fields, moved)
            else:
                self._watched(clip, video, frames, moved)
        return moved

    def _watched(self, clip: Clip, video: Any, frames: IntArray, moved: FloatArray) -> None:
        """Boxes over the frames of a reader, so many at once."""
        if self.frames is None or video not in self.frames:
            raise ValueError(f"Video {video} has no flow; give its frames with `watch`, or use the tracker 'linear'.")
        reader = self.frames[video]
        kept = FrameCache(video_folder(self.cache, self.name, self.method.key, video))
        numbers = reader.numbers
        place = _places(clip, video, frames, numbers, "picture", "give the reader every frame")
        used = frames[np.isin(frames, clip.frame) & (clip.neighbours[frames] >= 0).any(axis=1)]
        for first in range(0, len(used), WINDOW):
            part = used[first : first + WINDOW]
            around = np.concatenate([clip.neighbours[part], part[:, None]], axis=1)
            around = np.where(around >= 0, place[around], place[part][:, None])
            low, high = around.min(axis=1), around.max(axis=1)
            needed = needed_steps(low, high, len(numbers))
            touched = np.append(needed, False) | np.append(False, needed)  # others are neither read nor hashed
            here, only = np.cumsum(touched) - 1, np.flatnonzero(touched)
            fields = flow_of(reader, numbers[only], needed[only[:-1]], self.method, kept)
            self._carry(clip, part, here[place], fields, moved)

    def _carry(self, clip: Clip, frames: IntArray, place: IntArray, fields: FlowFields, moved: FloatArray) -> None:
        """Writes the boxes of some frames into `moved`. place: (F,) position of frames in `fields`."""
        rows = np.flatnonzero(np.isin(clip.frame, frames))
        around = clip.neighbours[clip.frame[rows]]
        targets = np.where(around >= 0, place[around], -1)
        moved[rows] = follow(clip.box[rows], place[clip.frame[rows]], targets, fields)


def _places(clip: Clip, video: Any, frames: IntArray, numbers: IntArray, what: str, remedy: str) -> IntArray:
    """(F,) position of a video's frames in `numbers`, -1 for frames of other videos; a frame that lacks is an error."""
    place = np.full(len(clip.run), -1)
    place[frames] = np.searchsorted(numbers, clip.number[frames])
    known = np.append(numbers, -1)
    lost = frames[known[np.minimum(place[frames], len(numbers))] != clip.number[frames]]
    if lost.size:
        raise ValueError(f"Frame {clip.number[lost[0]]} of video {video} has no {what}; {remedy}.")
    return place
