"""Small videos whose frames tell their own number."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.video.mp4 import jpeg, write_mp4

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "MJPG", ".webm": "VP80"}
SIZE = (64, 48)  # width, height in px
STEP = 10  # grey levels between frames; video codecs blur less than that


def grey(number: int) -> NDArray[np.uint8]:
    return np.full((SIZE[1], SIZE[0], 3), number * STEP % 250, dtype=np.uint8)


def number_in(data: bytes) -> int:
    """The number, up to 24, of a frame that `grey` made, from its stored picture."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return round(float(np.mean(decoded)) / STEP)


def make(path: Path, frames: int = 20, fps: float = 25.0) -> Path:
    """A video by OpenCV; its ending names the container."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODECS[path.suffix]), fps, SIZE)
    assert writer.isOpened()
    for number in range(1, frames + 1):
        writer.write(grey(number))
    writer.release()
    return path


def make_uneven(path: Path, durations: list[int], rotation: int = 0, *, index_first: bool = True) -> Path:
    """A MP4 whose frames are shown for so many milliseconds each."""
    frames = [jpeg(grey(number)) for number in range(1, len(durations) + 1)]
    write_mp4(path, frames, durations, SIZE, rotation=rotation, index_first=index_first)
    return path


def make_folder(path: Path, names: list[str]) -> Path:
    """A folder of pictures, numbered in the order of the names as given."""
    path.mkdir(parents=True)
    for number, name in enumerate(names, 1):
        cv2.imwrite(str(path / name), grey(number))
    return path
