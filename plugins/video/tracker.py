"""What a tracker is: it says where each detection stands in the frames around its own."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from plugins.contract import ConfigT, FloatArray, Plugin
from plugins.video.clip import Clip
from plugins.video.frame_source import FrameReader, FrameSource


class Tracker(Plugin[ConfigT]):
    """Moves boxes to neighbouring frames.

    reach: places before and after a frame whose detections its answer depends on, beyond the k neighbours; a window of
    a stream is widened by it. pixels: whether it must be given frames (`watch`).
    """

    reach: ClassVar[int] = 0
    pixels: ClassVar[bool] = False
    frames: FrameSource | None = None
    cache: Path | None = None

    def watch(self, frames: FrameSource, cache: Path | None = None) -> None:
        """Says where pixels are before `track` is called; a tracker without `pixels` never reads them.

        frames: a reader for each video, by the id that detections call it. cache: folder in which what follows from
        pixels is kept for all cycles, by content of the frames and settings of the tracker; None keeps nothing.
        """
        self.frames, self.cache = frames, cache

    def reader(self, video: object) -> FrameReader:
        """The frames of one video, or ValueError that says who gives them."""
        if self.frames is None or video not in self.frames:
            raise ValueError(
                f"Tracker '{self.name}' needs the frames of video {video}; give them with `watch`, or use 'linear'."
            )
        return self.frames[video]

    @abstractmethod
    def track(self, clip: Clip) -> FloatArray:
        """(K, 2k, 4) each detection in each neighbour of its frame, xyxy px; NaN where there is no neighbour.

        Neighbours stand in the order of `clip.offsets`; only `clip` and frames are read, so boxes of a newer model
        track over the same frames.
        """
