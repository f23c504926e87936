"""Where trackers get pixels: a reader for each video, which gives a frame when it is asked for.

A scorer hands them over before it tracks, and a tracker that needs no pixels ignores them:

    tracker = registry.make("tracker", name, config)
    tracker.watch(image_files(video, number, path, content), evidence.cache)
    estimate_errors(detections, tracker)

The ids are those of `Frames.video`, the numbers those of `Frames.number`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plugins.contract import IntArray

Image = NDArray[np.uint8]


class FrameReader(Protocol):
    """The frames of one video."""

    @property
    def numbers(self) -> IntArray:
        """(T,) the frames that can be read, ascending; flow goes through all of them, boxes or not."""

    def read(self, number: int, least: int | None = None) -> Image:
        """(H, W, 3) uint8, blue, green, red as OpenCV reads them, in the px in which the boxes are.

        least: for who shrinks it anyway: it may come smaller, as long as both sides keep so many px.
        """

    def content(self, number: int) -> str:
        """What names these pixels and no others, such as the SHA-256 of the file; without reading them if it can."""


FrameSource = Mapping[Any, FrameReader]  # video id -> its reader


class ImageFiles:
    """A reader of one image file for each frame."""

    def __init__(self, paths: Mapping[int, str | Path], contents: Mapping[int, str] | None = None) -> None:
        """contents: SHA-256 of files where it is known; the others are hashed when they are asked for."""
        self._paths = {int(number): Path(path) for number, path in paths.items()}
        self._contents = {int(number): str(content) for number, content in (contents or {}).items()}
        self._numbers = np.array(sorted(self._paths), dtype=np.int64)

    @property
    def numbers(self) -> IntArray:
        return self._numbers

    def read(self, number: int, least: int | None = None) -> Image:
        """JPEG decoders shrink by 2, 4 or 8 as they go, which takes a third of the time."""
        import cv2  # loaded where pixels are read

        path = self._path(number)
        content = _bytes(path, number)
        how = cv2.IMREAD_COLOR if least is None else _reduced(content, least)
        image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), how) if content else None
        if image is None:
            raise ValueError(f"Frame {number} ({path}) is no image that OpenCV reads; replace the file.")
        return np.asarray(image, dtype=np.uint8)

    def content(self, number: int) -> str:
        if not self._contents.get(number):
            self._contents[number] = hashlib.sha256(_bytes(self._path(number), number)).hexdigest()
        return self._contents[number]

    def _path(self, number: int) -> Path:
        if number not in self._paths:
            raise ValueError(f"There is no file for frame {number}; give the reader one for every frame with boxes.")
        return self._paths[number]


def _reduced(content: bytes, least: int) -> int:
    """OpenCV's flag for the smallest picture whose sides keep `least` px; PNG and others gain nothing by it."""
    import cv2
    from PIL import Image as Pictured

    try:
        with Pictured.open(io.BytesIO(content)) as header:
            side = min(header.size) if header.format == "JPEG" else 0
    except (OSError, Pictured.DecompressionBombError):  # OpenCV says what is wrong with the file
        side = 0
    flags = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
    return next((flag for times, flag in flags.items() if side // times >= least), cv2.IMREAD_COLOR)


def _bytes(path: Path, number: int) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"Frame {number} ({path}) cannot be read ({error.strerror}); restore the file.") from error


class Pictures:
    """A reader of frames that are in memory."""

    def __init__(self, images: Mapping[int, Image]) -> None:
        self._images = dict(images)

    @property
    def numbers(self) -> IntArray:
        return np.array(sorted(self._images), dtype=np.int64)

    def read(self, number: int, least: int | None = None) -> Image:  # noqa: ARG002  # it is at hand as it is
        if number not in self._images:
            raise ValueError(f"There is no picture of frame {number}; give the reader one for every frame with boxes.")
        return self._images[number]

    def content(self, number: int) -> str:
        image = np.ascontiguousarray(self.read(number))
        return hashlib.sha256(str(image.shape).encode() + image.tobytes()).hexdigest()


def image_files(
    video: NDArray[Any], number: IntArray, path: Sequence[str] | NDArray[Any], content: NDArray[Any] | None = None
) -> dict[Any, FrameReader]:
    """Video id -> reader, from columns with one row a frame, as evidence has them (pool and labeled together).

    >>> source = image_files(np.array(["a", "a"]), np.array([3, 1]), ["x.png", "y.png"])
    >>> source["a"].numbers.tolist()
    [1, 3]
    """
    count = len(video)
    for name, column in (("number", number), ("path", path), ("content", content)):
        if column is not None and len(column) != count:
            raise ValueError(f"`{name}` has {len(column)} rows for {count} frames; give one per frame.")
    paths: dict[Any, dict[int, str]] = {}
    contents: dict[Any, dict[int, str]] = {}
    for row, (one, n) in enumerate(zip(np.asarray(video).tolist(), np.asarray(number).tolist(), strict=True)):
        paths.setdefault(one, {})[int(n)] = str(path[row])
        if content is not None:
            contents.setdefault(one, {})[int(n)] = str(content[row])
    return {one: ImageFiles(mine, contents.get(one)) for one, mine in paths.items()}
