"""What a tracker is: it says where each detection stands in the frames around its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from plugins.contract import ConfigT, FloatArray, Plugin
from plugins.video.clip import Clip


class Tracker(Plugin[ConfigT]):
    """Moves boxes to neighbouring frames.

    reach: places before and after a frame whose detections or pixels its answer depends on, beyond the k neighbours;
    a window of a stream is widened by it.
    """

    reach: ClassVar[int] = 0

    @abstractmethod
    def track(self, clip: Clip) -> FloatArray:
        """(K, 2k, 4) each detection in each neighbour of its frame, xyxy px; NaN where there is no neighbour.

        Neighbours stand in the order of `clip.offsets`; only `clip` is read, so boxes of a newer model track over the
        same frames.
        """
