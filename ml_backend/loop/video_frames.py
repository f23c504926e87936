"""The sampled frames of a whole video: taken once for each content and rate, and kept with what is known of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml_backend.video.container import VideoError
from ml_backend.video.reading import VideoFile
from ml_backend.video.sampling import Sampling
from ml_backend.video.storing import place, read_index, store_frames, write_whole
from plugins.contract import FloatArray

FORMAT = 1
EARLY = 0.05  # frames; times in containers are rounded to a millisecond


@dataclass(frozen=True, eq=False)
class Sampled:
    """n frames of a video, the first at its beginning. files, contents: (n,) pictures and their SHA-256.

    time: (n,) seconds from the start. size: width and height in px. seconds: the length of the video. notes: what is
    wrong with the file, a sentence each.
    """

    files: tuple[Path, ...]
    contents: tuple[str, ...]
    time: FloatArray
    size: tuple[int, int]
    seconds: float
    notes: tuple[str, ...] = ()


def numbers_at(time: FloatArray, fps: float) -> NDArray[np.int64]:
    """(n,) number of the frame that Label Studio calls each of (n,) pictures, which stand at `time` seconds.

    The editor counts frames by time: number i is what is seen at (i - 1) / fps seconds, whatever the file's own rate.

    >>> numbers_at(np.array([0.0, 0.04, 0.5]), 25).tolist()
    [1, 2, 14]
    """
    return np.asarray(np.ceil(time * fps - EARLY).astype(np.int64) + 1)


def frames_of(sampled: Sampled, fps: float) -> int:
    """How many frames Label Studio counts in the video."""
    return max(round(sampled.seconds * fps), int(numbers_at(sampled.time, fps)[-1]))


def sample(file: Path, content: str, rate: float, store: Path) -> Sampled:
    """Frames of a video file, `rate` a second or all that it has; from the disk where they were taken before.

    content: SHA-256 of the file. One frame is in memory at a time. Raises VideoError.
    """
    known = sampled_before(content, rate, store)
    if known is not None:
        return known
    source = VideoFile(file)
    if source.key != content:
        raise VideoError(f"'{file}' has changed since it was read; give a changed video another name.")
    slow = source.rate is not None and rate >= source.rate
    taken = [
        {"file": one.file.name, "time": one.time, "content": hashlib.sha256(one.file.read_bytes()).hexdigest()}
        for one in store_frames(source, Sampling() if slow else Sampling(rate=rate), store)
    ]
    folder = place(store, source)
    index = read_index(folder)
    if not taken or index is None or not len(index.times):
        raise VideoError(f"'{file}' holds no frame that can be decoded; copy or convert it again.")
    with Image.open(folder / str(taken[0]["file"])) as image:
        size = image.size
    seconds = index.times[-1] + 1 / (source.rate or rate)
    body = {"format": FORMAT, "content": content, "frames": taken, "size": size, "seconds": seconds}
    note = _note(content, rate, store)
    write_whole(note, json.dumps({**body, "notes": list(source.notes)}).encode())
    return _sampled(note.parent, {**body, "notes": source.notes})


def _note(content: str, rate: float, store: Path) -> Path:
    return store / content[:16] / f"sampled-{rate:g}.json"


def sampled_before(content: str, rate: float, store: Path) -> Sampled | None:
    """What an earlier pass left; None where there was none, or where its pictures are gone: then it is made anew."""
    note = _note(content, rate, store)
    try:
        body = json.loads(note.read_bytes())
        if body["format"] != FORMAT or body["content"] != content:
            return None
        sampled = _sampled(note.parent, body)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return sampled if all(file.is_file() for file in sampled.files) else None


def _sampled(folder: Path, body: dict[str, Any]) -> Sampled:
    width, height = body["size"]
    return Sampled(
        tuple(folder / str(one["file"]) for one in body["frames"]),
        tuple(str(one["content"]) for one in body["frames"]),
        np.array([one["time"] for one in body["frames"]], dtype=np.float64),
        (int(width), int(height)),
        float(body["seconds"]),
        tuple(map(str, body["notes"])),
    )
