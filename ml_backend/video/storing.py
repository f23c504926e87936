"""Frames on disk: one folder for each video, named by its content, each frame written once and whole."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ml_backend.video.container import VideoError
from ml_backend.video.folder import FrameFolder
from ml_backend.video.sampling import Sampling
from ml_backend.video.source import Source

INDEX = "index.json"  # written when a video file was read to its end
_FORMAT = 1


@dataclass(frozen=True)
class Stored:
    """A frame that was taken. file: where its picture lies. written: whether this pass wrote it."""

    number: int
    time: float | None
    file: Path
    written: bool = False


@dataclass(frozen=True)
class Index:
    """times: seconds of each frame of the video. lost: numbers of frames that do not decode. notes: what was wrong."""

    times: array[float]
    lost: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()


def place(store: Path, source: Source) -> Path:
    """The folder of a video's frames: the same for the same content, wherever it lies."""
    return store / source.key[:16]


def store_frames(source: Source, sampling: Sampling, store: Path) -> Iterator[Stored]:
    """The frames that the sampling takes, one after the other, each on the disk when it is given.

    A killed pass is made good by the next: frames that are there are passed over and not written again; and once a
    video file was read to its end, frames that are all there are not even decoded. Raises VideoError.
    """
    sampling.check(source)
    folder = place(store, source)
    known = read_index(folder) if source.indexed else None
    if known is not None and all(_there(frame.file) for frame in _remembered(source, sampling, folder, known)):
        source.notes = list(known.notes)
        yield from _remembered(source, sampling, folder, known)
    else:
        yield from _read(source, sampling, folder, known or Index(array("d")))


def frames_in_place(source: FrameFolder, sampling: Sampling) -> Iterator[Stored]:
    """The same for a folder whose pictures stay where they are."""
    sampling.check(source)
    takes = sampling.start()
    for frame in source.frames():
        if takes(frame.number, frame.time) and frame.encode() is not None:
            yield Stored(frame.number, frame.time, source.files[frame.number - 1])


def _remembered(source: Source, sampling: Sampling, folder: Path, known: Index) -> Iterator[Stored]:
    """What the sampling takes, by the index alone."""
    takes = sampling.start()
    for number, time in enumerate(known.times, 1):
        if takes(number, time) and number not in known.lost:
            yield Stored(number, time, _file(folder, source, number))


def _read(source: Source, sampling: Sampling, folder: Path, known: Index) -> Iterator[Stored]:
    """A pass over the video, which leaves an index behind. known: of an earlier pass with another sampling."""
    _make(folder)
    takes, times, lost = sampling.start(), array("d"), set(known.lost)
    for frame in source.frames():
        times.append(math.nan if frame.time is None else frame.time)
        if not takes(frame.number, frame.time):
            continue
        file = _file(folder, source, frame.number)
        fresh = not _there(file)
        if fresh:
            data = frame.encode()
            if data is None:
                lost.add(frame.number)
                continue
            write_whole(file, data)
        yield Stored(frame.number, frame.time, file, fresh)
    source.notes = list(dict.fromkeys([*known.notes, *source.notes]))
    if source.indexed:
        _write_index(folder, Index(times, frozenset(lost), tuple(source.notes)))


def _write_index(folder: Path, index: Index) -> None:
    body = {"format": _FORMAT, "times": list(index.times), "lost": sorted(index.lost), "notes": index.notes}
    write_whole(folder / INDEX, json.dumps(body, separators=(",", ":")).encode())


def read_index(folder: Path) -> Index | None:
    """What a whole pass left behind; None if there was none, or if it cannot be read: then it is made anew."""
    try:
        body = json.loads((folder / INDEX).read_bytes())
        if body["format"] != _FORMAT:
            return None
        times = array("d", map(float, body["times"]))
        return Index(times, frozenset(map(int, body["lost"])), tuple(map(str, body["notes"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def copy_whole(source: Path, target: Path) -> bool:
    """Copies a file unless it is there, in pieces; a killed copy leaves nothing under the name. Raises VideoError."""
    if _there(target):
        return False
    _make(target.parent)
    _fill(target, lambda new: shutil.copyfile(source, new))
    return True


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file completely or not at all. Raises VideoError."""
    _fill(path, lambda new: new.write_bytes(data))


def _fill(path: Path, fill: Callable[[Path], object]) -> None:
    """Label Studio may run as another user, so a file is readable like its folder, not private like a temporary one."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
            new = Path(folder) / path.name
            fill(new)
            new.replace(path)
    except OSError as error:
        raise VideoError(f"'{path}' cannot be written ({error.strerror}); free space or allow it.") from error


def _make(folder: Path) -> None:
    """The folder, without what a killed pass left in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
    except OSError as error:
        raise VideoError(f"'{folder}' cannot be made ({error.strerror}); allow it.") from error


def _there(file: Path) -> bool:
    """A frame of no bytes is what a power cut leaves of one."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


def _file(folder: Path, source: Source, number: int) -> Path:
    return folder / f"{number:06d}{source.suffix(number)}"
