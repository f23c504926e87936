"""A folder of pictures as one video, in the order in which people count: 2 before 10."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

from PIL import Image

from ml_backend.video.container import SUFFIXES as VIDEOS
from ml_backend.video.container import VideoError, digest
from ml_backend.video.source import PIXEL_LIMIT, Frame

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}  # all browsers show these


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in names by their value.

    >>> sorted(["f10.png", "f9.png", "F1.png"], key=natural)
    ['F1.png', 'f9.png', 'f10.png']
    """
    parts = re.split(r"(\d+)", name.casefold())
    key = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
    return [*key, (2, 0, name)]


class FrameFolder:
    """The pictures right in a folder, hidden ones left out. rate: frames a second, for the times of frames.

    Raises VideoError if there is none. `notes` after a pass: the pictures that cannot be decoded, by name.
    """

    indexed = False

    def __init__(self, path: Path, rate: float | None = None) -> None:
        self.path, self.rate = path, rate
        self.notes: list[str] = []
        self.files = sorted((f for f in listed(path) if f.suffix.lower() in FORMATS), key=lambda f: natural(f.name))
        if not self.files:
            raise VideoError(f"'{path}' holds no frames; JPEG, PNG, WebP and BMP files are read.")
        self.expected = len(self.files)

    @cached_property
    def key(self) -> str:
        found = hashlib.sha256()
        for file in self.files:
            found.update(f"{file.name}\0{digest(file)}\0".encode(errors="surrogateescape"))
        return found.hexdigest()

    def suffix(self, number: int) -> str:
        return self.files[number - 1].suffix.lower()

    def frames(self) -> Iterator[Frame]:
        self.notes = []
        for number, file in enumerate(self.files, 1):
            time = None if self.rate is None else round((number - 1) / self.rate, 6)
            yield Frame(number, time, partial(self._bytes, file))

    def _bytes(self, file: Path) -> bytes | None:
        problem = damage(file)
        if problem is None:
            return file.read_bytes()
        self.notes.append(problem)
        return None


def damage(file: Path) -> str | None:
    """Why a picture cannot be used, in one sentence; None if it decodes."""
    try:
        with Image.open(file, formats=[*FORMATS.values()]) as image:
            if image.width * image.height > PIXEL_LIMIT:
                return f"'{file}' has {image.width} x {image.height} pixels, over {PIXEL_LIMIT}, and is left out."
            image.draft("L", (1, 1))  # a JPEG is read whole, at an eighth of its size
            image.load()
    except Exception as error:  # noqa: BLE001  # decoders answer damaged bytes with nearly every type
        return f"'{file}' cannot be decoded ({error}) and is left out."
    return None


def listed(path: Path) -> list[Path]:
    """The files right in a folder. Raises VideoError."""
    try:
        return [file for file in path.iterdir() if not file.name.startswith(".") and file.is_file()]
    except OSError as error:
        raise VideoError(f"'{path}' cannot be listed ({error.strerror}); allow it.") from error


def videos_in(path: Path) -> list[Path]:
    """The video files right in a folder, in natural order, by their endings."""
    return sorted((file for file in listed(path) if file.suffix.lower() in VIDEOS), key=lambda file: natural(file.name))
