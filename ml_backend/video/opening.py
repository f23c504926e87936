"""From the paths that a person names to videos that can be read, and a sentence for each path that cannot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ml_backend.video.container import VideoError
from ml_backend.video.folder import FORMATS, FrameFolder, listed, videos_in
from ml_backend.video.reading import VideoFile

Video = VideoFile | FrameFolder


def open_all(paths: Iterable[Path], folder_rate: float | None) -> tuple[list[Video], list[str]]:
    """Videos in the order of the paths, each place once, and why the others were refused.

    A folder is a video if it holds pictures, and stands for its videos if it holds those. folder_rate: frames a
    second of folders of frames, if known.
    """
    opened: dict[Path, Video] = {}
    refused: list[str] = []
    for path in paths:
        try:
            for source in _sources(path, folder_rate, refused):
                opened.setdefault(source.path.resolve(), source)
        except VideoError as error:
            refused.append(str(error))
    return list(opened.values()), refused


def _sources(path: Path, folder_rate: float | None, refused: list[str]) -> Iterator[Video]:
    if not path.is_dir():
        yield VideoFile(path)
        return
    videos = videos_in(path)
    pictures = any(file.suffix.lower() in FORMATS for file in listed(path))
    if videos and pictures:
        raise VideoError(f"'{path}' holds both videos and pictures; name the videos, or a folder of frames alone.")
    if not videos:
        yield FrameFolder(path, folder_rate)
        return
    for video in videos:
        try:
            yield VideoFile(video)
        except VideoError as error:
            refused.append(str(error))
