"""What a person asks of `nextlabel import-video`, looked at before anything is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ml_backend.video.container import VideoError
from ml_backend.video.sampling import Sampling


@dataclass(frozen=True)
class Wish:
    """project: its number in Label Studio. as_video: one task for each file. folder_rate: frames a second of folders.

    studio_root: the document root as Label Studio sees it. copy: video files into it, if they lie elsewhere.
    """

    project: int
    paths: tuple[Path, ...]
    sampling: Sampling = field(default_factory=Sampling)
    as_video: bool = False
    copy: bool = False
    folder_rate: float | None = None
    studio_root: str | None = None


def make_wish(
    paths: Sequence[Path],
    project: int,
    *,
    every: int = 1,
    fps: float | None = None,
    kind: str = "frames",
    folder_fps: float | None = None,
    copy: bool = False,
    seen: str | None = None,
) -> Wish:
    """The wish behind the options of the command line. Raises VideoError for what cannot be wished."""
    if kind not in ("frames", "video"):
        raise VideoError(f"Unknown --as '{kind}'. Available: frames, video.")
    sampling = Sampling(every, fps)
    if kind == "video" and sampling != Sampling():
        raise VideoError("A task of a whole video takes no --every and no --fps; leave them out.")
    if folder_fps is not None and not (math.isfinite(folder_fps) and folder_fps > 0):
        raise VideoError(f"A folder of {folder_fps:g} frames a second is impossible; give a number above 0.")
    return Wish(project, tuple(paths), sampling, kind == "video", copy, folder_fps, seen)
