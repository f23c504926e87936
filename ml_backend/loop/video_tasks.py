"""The tasks of a video: one for each frame that is taken, or one for the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ml_backend.loop.import_serving import Serving
from ml_backend.studio.client import Json
from ml_backend.video.container import VideoError
from ml_backend.video.folder import FrameFolder
from ml_backend.video.opening import Video
from ml_backend.video.sampling import Sampling
from ml_backend.video.storing import copy_whole, frames_in_place, place, store_frames


@dataclass(frozen=True)
class Shown:
    """A task to be. url: what it shows, under `file`. about: the rest of its data. number: the frame, for progress."""

    url: str
    file: Path
    about: Json
    number: int
    written: bool = False


def frames(video: Video, sampling: Sampling, serving: Serving) -> Iterator[Shown]:
    """Frames as they come, on the disk already. Pictures that are served from where they lie stay there."""
    name = name_of(video)
    if isinstance(video, FrameFolder) and serving.holds(video.path):
        taken = frames_in_place(video, sampling)
    else:
        taken = store_frames(video, sampling, serving.store)
    for frame in taken:
        about: Json = {"video": name, "frame": frame.number}
        if frame.time is not None:
            about["time"] = frame.time
        yield Shown(serving.url(frame.file), frame.file, about, frame.number, frame.written)


def whole(video: Video, serving: Serving, *, copy: bool) -> Shown:
    """The task of a video file. copy: to where it is served, if it lies elsewhere. Raises VideoError."""
    if isinstance(video, FrameFolder):
        raise VideoError(f"'{video.path}' is a folder of frames, which is no video task; leave --as video out.")
    file, fresh = video.path, False
    if not serving.holds(file.parent):
        if not copy:
            raise VideoError(serving.outside(file))
        file = place(serving.store, video) / f"video{file.suffix.lower() or '.mp4'}"
        fresh = copy_whole(video.path, file)
    about: Json = {"name": name_of(video), "frames": video.expected}
    if video.rate is not None:
        about["fps"] = round(video.rate, 6)
    return Shown(serving.url(file), file, about, video.expected, fresh)


def name_of(video: Video) -> str:
    """For people, and yet no two videos share it: where it is called the same, the content differs."""
    stem = video.path.resolve().name if isinstance(video, FrameFolder) else video.path.stem
    return f"{stem.encode(errors='replace').decode()}-{video.key[:8]}"
