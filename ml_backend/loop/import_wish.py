"""What a person asks of `nextlabel import-video`, looked at before anything is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ml_backend.video.container import VideoError
from ml_backend.video.sampling import Sampling

MOST_DAYS = 36_500


@dataclass(frozen=True)
class Wish:
    """project: its number in Label Studio. as_video: one task for each file. folder_rate: frames a second of folders.

    studio_root: the document root as Label Studio sees it. copy: video files to where they are served, if they lie
    elsewhere. links: whether the backend serves them itself, by signed links, in place of Label Studio.
    link_address: of the backend as browsers reach it, NEXTLABEL_URL if None. link_days: to their end, None for none.
    """

    project: int
    paths: tuple[Path, ...]
    sampling: Sampling = field(default_factory=Sampling)
    as_video: bool = False
    copy: bool = False
    folder_rate: float | None = None
    studio_root: str | None = None
    links: bool = False
    link_address: str | None = None
    link_days: float | None = None


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
    serve: str = "local",
    link_address: str | None = None,
    link_days: float | None = None,
) -> Wish:
    """The wish behind the options of the command line. Raises VideoError for what cannot be wished."""
    if kind not in ("frames", "video"):
        raise VideoError(f"Unknown --as '{kind}'. Available: frames, video.")
    sampling = Sampling(every, fps)
    if kind == "video" and sampling != Sampling():
        raise VideoError("A task of a whole video takes no --every and no --fps; leave them out.")
    if folder_fps is not None and not (math.isfinite(folder_fps) and folder_fps > 0):
        raise VideoError(f"A folder of {folder_fps:g} frames a second is impossible; give a number above 0.")
    _check_serving(serve, seen, link_address, link_days)
    links = serve == "links"
    video = kind == "video"
    return Wish(project, tuple(paths), sampling, video, copy, folder_fps, seen, links, link_address, link_days)


def _check_serving(serve: str, seen: str | None, link_address: str | None, link_days: float | None) -> None:
    if serve not in ("local", "links"):
        raise VideoError(f"Unknown --serve '{serve}'. Available: local, links.")
    if serve == "links" and seen is not None:
        raise VideoError("With --serve links Label Studio serves no files; leave --studio-root out.")
    if serve == "local" and (link_address is not None or link_days is not None):
        raise VideoError(
            "Links are given with --serve links alone; add it, or leave --link-address and --link-days out."
        )
    if link_days is not None and not (math.isfinite(link_days) and 0 < link_days <= MOST_DAYS):
        raise VideoError(f"Links of {link_days:g} days are impossible; give a number above 0 and up to {MOST_DAYS}.")
