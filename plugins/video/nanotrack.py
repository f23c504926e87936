"""NanoTrack: a small siamese network that also regresses the box, run by OpenCV from two ONNX files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from plugins.contract import FloatArray, IntArray, PluginConfig
from plugins.video.box_tracker import BoxTracker, Read, chains
from plugins.video.clip import Clip


class NanoTrackConfig(PluginConfig):
    """Which network."""

    backbone: str | None = Field(None, description="ONNX file of the backbone (`nanotrack_backbone_sim.onnx`).")
    head: str | None = Field(None, description="ONNX file of the head (`nanotrack_head_sim.onnx`).")


class NanoTrack(BoxTracker[NanoTrackConfig]):
    """boxes: as `cv2.TrackerNano` finds them, started on each box and run forward, and started anew and run backward.

    OpenCV takes and gives whole px. One box after the other.
    """

    name, title = "nanotrack", "NanoTrack"
    summary = "Looks for what each box holds in the frames around, with a small trained network; needs two ONNX files."
    reference = "Xu et al. 2020 (SiamFC++), as reduced in NanoTrack; OpenCV's TrackerNano"
    needs = frozenset()

    def __init__(self, config: NanoTrackConfig | None = None) -> None:
        super().__init__(config)
        self._loaded: tuple[Any, str] | None = None

    @property
    def key(self) -> str:
        return f"nanotrack {self._tracker[1]}"

    @property
    def _tracker(self) -> tuple[Any, str]:
        """OpenCV's tracker and what names its files; it is started anew for every box."""
        if self._loaded is None:
            import cv2

            paths = [_file(part, getattr(self.config, part)) for part in ("backbone", "head")]
            try:
                networks = [cv2.dnn.readNetFromONNX(str(path)) for path, _ in paths]
                made = cv2.TrackerNano.create(*networks)
                blank = np.zeros((64, 64, 3), dtype=np.uint8)
                made.init(blank, (20, 20, 24, 24))  # files of other networks fail here, not in the middle of a video
                made.update(blank)
            except cv2.error as error:
                raise ValueError(
                    f"The files {paths[0][0]} and {paths[1][0]} are not the two networks of NanoTrack; "
                    "give its backbone and its head as ONNX."
                ) from error
            self._loaded = made, " ".join(name for _, name in paths)
        return self._loaded

    def follow(self, clip: Clip, rows: IntArray, read: Read) -> FloatArray:
        found = np.full((len(rows), 2 * clip.k, 4), np.nan)
        tracker = self._tracker[0]
        for i, row in enumerate(rows.tolist()):
            at, box = int(clip.frame[row]), whole_px(clip.box[row])
            for way in chains(clip, at):
                if way:
                    tracker.init(read(at), box)
                for slot, place in way:
                    x, y, width, height = tracker.update(read(place))[1]
                    found[i, slot] = x, y, x + width, y + height
        return found


def whole_px(box: FloatArray) -> tuple[int, int, int, int]:
    """x, y, width and height in whole px of a (4,) box, at least 1 px wide and high.

    >>> whole_px(np.array([1.6, 2.0, 4.4, 2.2]))
    (2, 2, 2, 1)
    """
    x, y, right, low = np.round(box).astype(int).tolist()
    return x, y, max(right - x, 1), max(low - y, 1)


def _file(part: str, given: str | None) -> tuple[Path, str]:
    """A file and its SHA-256."""
    if given is None:
        raise ValueError(f"Tracker 'nanotrack' has no `{part}`; give the path of its ONNX file, or use 'linear'.")
    try:
        return Path(given), hashlib.sha256(Path(given).read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"The {part} {given} cannot be read ({error.strerror}); give its ONNX file.") from error
