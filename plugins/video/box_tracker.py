"""Trackers that look for each box by itself: they know where it was, and search the next frame around that place.

What follows from pixels alone is little here, as the pictures that are compared depend on the box. So boxes are kept,
under the frames' contents, the box and the settings: the same detections are never tracked twice.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from plugins.contract import ConfigT, FloatArray, IntArray
from plugins.video.clip import Clip
from plugins.video.frame_cache import FrameCache, digest, video_folder
from plugins.video.frame_source import FrameReader, Image
from plugins.video.tracker import Tracker

TOGETHER = 256  # boxes that are tracked before they are kept
Read = Callable[[int], Image]  # position of a frame in the clip -> its picture


class BoxTracker(Tracker[ConfigT]):
    """A tracker that follows one box after the other."""

    pixels = True

    @property
    @abstractmethod
    def key(self) -> str:
        """Names the weights and the settings that boxes depend on."""

    @abstractmethod
    def follow(self, clip: Clip, rows: IntArray, read: Read) -> FloatArray:
        """(n, 2k, 4) boxes `rows` of the clip in the neighbours of their frames; NaN where there is none."""

    def track(self, clip: Clip) -> FloatArray:
        moved = np.full((len(clip), 2 * clip.k, 4), np.nan)
        for video in np.unique(clip.video[clip.frame]).tolist():
            rows = np.flatnonzero(clip.video[clip.frame] == video)
            self._one(clip, video, rows, moved)
        return moved

    def _one(self, clip: Clip, video: Any, rows: IntArray, moved: FloatArray) -> None:
        reader = self.reader(video)
        kept = FrameCache(video_folder(self.cache, self.name, self.key, video))
        keys = row_keys(clip, rows, reader, self.key)
        read = lru_cache(4 * clip.k + 2)(lambda at: reader.read(int(clip.number[at])))
        new = np.array([i for i, key in enumerate(keys) if key not in kept], dtype=np.int64)
        for first in range(0, len(new), TOGETHER):
            part = new[first : first + TOGETHER]
            kept.put([keys[i] for i in part], self.follow(clip, rows[part], read))
        for row, key in zip(rows, keys, strict=True):
            moved[row] = kept.get(key)


def row_keys(clip: Clip, rows: IntArray, reader: FrameReader, key: str) -> list[str]:
    """What names each box, the pixels of its frame and of the neighbours, and the tracker."""
    content: dict[int, str] = {-1: ""}
    for at in np.unique(np.append(clip.neighbours[clip.frame[rows]], clip.frame[rows])).tolist():
        if at >= 0:
            content[at] = reader.content(int(clip.number[at]))
    found = []
    for row in rows.tolist():
        at = int(clip.frame[row])
        around = [content[other] for other in clip.neighbours[at].tolist()]
        found.append(digest(key, content[at], *around, clip.box[row].tolist()))
    return found


def chains(clip: Clip, at: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(slot, position) of a frame's neighbours: those before it and those after it, each the nearest first."""
    around = clip.neighbours[at].tolist()
    ways = range(clip.k - 1, -1, -1), range(clip.k, 2 * clip.k)
    before, after = ([(slot, around[slot]) for slot in way if around[slot] >= 0] for way in ways)
    return before, after
