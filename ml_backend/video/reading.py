"""A video file, read frame by frame: times from the container, upright, to the last frame that can be decoded."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import cv2

from ml_backend.video.container import VideoError, digest, identify
from ml_backend.video.source import PIXEL_LIMIT, Frame

QUALITY = 95  # of JPEG; one for all, so that a frame is stored once
_PLAYED = {"avc1", "h264", "H264", "VP80", "VP90", "vp08", "vp09", "AV01", "av01"}  # by all browsers of today
_SLACK = 1.0  # seconds that a Matroska file may announce too much, since its length counts sound too

# The decoder's own complaints would tear the progress bar; what matters is said in `notes`. Only files are opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "protocol_whitelist;file"


class VideoFile:
    """An MP4, AVI, MKV or WebM file. Raises VideoError if it is not one, is damaged from the start, or holds no frame.

    One frame is in memory at a time. `notes` after a pass: where a damaged file stopped, and how many frames were lost.
    """

    indexed = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.container = identify(path)
        self.notes: list[str] = []
        with self._open() as capture:
            self.codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=False).decode("latin-1")
            announced, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
            self._check_size(capture)
            if not capture.grab():
                raise VideoError(f"'{path}' holds no frame that can be decoded; copy or convert it again.")
        self.expected = int(announced) if math.isfinite(announced) and announced > 0 else 0
        self.rate = float(rate) if math.isfinite(rate) and rate > 0 else None

    @cached_property
    def key(self) -> str:
        return digest(self.path)

    @property
    def plays(self) -> bool:
        """Whether a browser can be expected to play the file as it is."""
        return (self.container == "MP4" or self.path.suffix.lower() == ".webm") and self.codec in _PLAYED

    def suffix(self, number: int) -> str:  # noqa: ARG002  # one for all frames of a file
        return ".jpg"

    def frames(self) -> Iterator[Frame]:
        """Times never run backwards. A frame that is not encoded costs its decoding alone."""
        number, time, lost = 0, 0.0, 0
        with self._open() as capture:
            while capture.grab():
                number, time = number + 1, max(time, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)

                def encode(number: int = number) -> bytes | None:
                    nonlocal lost
                    encoded = self._encode(capture, number)
                    lost += encoded is None
                    return encoded

                yield Frame(number, round(time, 6), encode)
        self.notes = self._ending(number, time) + ([f"'{self.path}': {lost} frames are damaged."] if lost else [])

    @contextmanager
    def _open(self) -> Iterator[cv2.VideoCapture]:
        before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        finally:
            cv2.utils.logging.setLogLevel(before)
        try:
            if not capture.isOpened():
                raise VideoError(
                    f"'{self.path}' begins like {self.container} but cannot be opened: it is cut off, damaged, or "
                    "holds no video; copy or convert it again."
                )
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
            yield capture
        finally:
            capture.release()

    def _check_size(self, capture: cv2.VideoCapture) -> None:
        width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > PIXEL_LIMIT:
            raise VideoError(f"'{self.path}' has {width} x {height} pixels, over {PIXEL_LIMIT}; shrink it.")

    def _encode(self, capture: cv2.VideoCapture, number: int) -> bytes | None:
        try:
            read, pixels = capture.retrieve()
            if not read:
                return None
            return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])
        except cv2.error as error:
            raise VideoError(f"Frame {number} of '{self.path}' cannot be kept ({error.err}); convert it.") from error

    def _ending(self, number: int, time: float) -> list[str]:
        """Whether the file ended before what it announces: AVI and MP4 count their frames, Matroska gives a length."""
        missing = self.expected - number
        if missing <= 0 or not self.rate:
            return []
        early = self.expected / self.rate - (time + 1 / self.rate)  # seconds
        if self.container == "Matroska":
            if early <= _SLACK:
                return []
        elif early <= 1.5 / self.rate:
            return [f"'{self.path}': {missing} of {self.expected} frames hold no picture."]
        return [
            f"'{self.path}' stops after frame {number} at {time:.2f} s, of {self.expected} that it announces: the rest "
            "is damaged or missing."
        ]
