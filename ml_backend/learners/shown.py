"""Images at their own size, as an annotator's browser shows them: upright, in colour, without transparency."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from ml_backend.learners.contract import Images
from ml_backend.learners.pixels import Bytes, UnreadableImageError, converted, cores, read

ORIENTATION = 0x0112  # EXIF's tag; 1 is upright, from 5 on width and height change places
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}
T = TypeVar("T")


@dataclass(frozen=True)
class Header:
    """Height and width in px as it is shown; suffix: of the format, where every reader shows the file alike."""

    height: int
    width: int
    suffix: str | None


def header(path: Path) -> Header:
    """What a file says of itself, without decoding it; suffix is None where the pixels must be turned or converted."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ORIENTATION, 1)
            plain = turned in (0, 1) and image.mode in ("RGB", "L") and not image.has_transparency_data
            plain = plain and (image.format != "JPEG" or _complete(path))
            height, width = (image.width, image.height) if turned in (5, 6, 7, 8) else (image.height, image.width)
            return Header(height, width, SUFFIXES.get(image.format or "") if plain else None)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(path, error) from error


def _complete(path: Path) -> bool:
    """Whether a JPEG ends as it should; in the place of one that does not, ultralytics would put a copy of its own."""
    with path.open("rb") as file:
        file.seek(-2, os.SEEK_END)
        return file.read() == b"\xff\xd9"


def sizes(images: Images) -> Sequence[tuple[int, int]]:
    """(height, width) of each image in px."""
    if images.pixels is not None:
        return [(images.pixels.shape[1], images.pixels.shape[2])] * len(images)
    with ThreadPoolExecutor(cores()) as pool:
        return [(seen.height, seen.width) for seen in pool.map(header, images.paths)]


def picture(images: Images, item: int) -> Bytes:
    """(height, width, 3) uint8, red, green, blue."""
    if images.pixels is not None:
        pixels: Bytes = converted(images.pixels[item : item + 1], "RGB")[0]
        return pixels
    path = images.paths[item]
    seen = header(path)
    return read(path, (seen.height, seen.width), "RGB")


def ahead(make: Callable[[int], T], order: Sequence[int], window: int) -> Iterator[T]:
    """make(i) for each i in order, made by threads up to `window` items ahead of who takes them.

    >>> list(ahead(lambda i: i * i, [3, 1, 2], window=2))
    [9, 1, 4]
    """
    with ThreadPoolExecutor(max(1, min(cores(), 8))) as pool:
        waiting = [pool.submit(make, i) for i in order[:window]]
        try:
            for place in range(len(order)):
                value = waiting.pop(0).result()
                if place + window < len(order):
                    waiting.append(pool.submit(make, order[place + window]))
                yield value
        finally:
            for future in waiting:
                future.cancel()


def in_batches(make: Callable[[int], T], batches: Sequence[Sequence[int]], *, overlap: bool) -> Iterator[list[T]]:
    """make(i) for each i of a batch, on all cores. overlap: the next batch is made while the caller is at this one,
    which helps where a GPU works; on a CPU both would wait for each other.

    >>> list(in_batches(lambda i: i * i, [[3, 1], [2]], overlap=True))
    [[9, 1], [4]]
    """
    with ThreadPoolExecutor(max(1, min(cores(), 8))) as pool:
        waiting: list[Future[T]] = []
        try:
            for place, batch in enumerate(batches):
                now = waiting or [pool.submit(make, i) for i in batch]
                values = [future.result() for future in now]
                following = batches[place + 1] if overlap and place + 1 < len(batches) else []
                waiting = [pool.submit(make, i) for i in following]
                yield values
        finally:
            for future in waiting:
                future.cancel()


def one_size(shapes: Sequence[tuple[int, int]], size: int) -> list[list[int]]:
    """Positions in batches of at most `size`, each of one shape, the shapes in the order in which they first come.

    >>> one_size([(2, 3), (4, 4), (2, 3), (2, 3)], 2)
    [[0, 2], [3], [1]]
    """
    alike: dict[tuple[int, int], list[int]] = {}
    for item, shape in enumerate(shapes):
        alike.setdefault(shape, []).append(item)
    return [group[start : start + size] for group in alike.values() for start in range(0, len(group), size)]


def empty(shape: tuple[int, int]) -> Bytes:
    """A grey canvas, as detectors pad with."""
    return np.full((*shape, 3), 114, dtype=np.uint8)
