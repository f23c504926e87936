"""Image files -> arrays of one size, as an annotator's browser would show them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

Bytes = NDArray[np.uint8]
Mode = Literal["L", "RGB"]


class UnreadableImageError(ValueError):
    """A file that cannot be decoded; `path` is the culprit."""

    def __init__(self, path: Path, cause: Exception) -> None:
        super().__init__(f"{path} cannot be read as an image ({cause}); remove the item or replace the file.")
        self.path = path


@dataclass(frozen=True)
class Survey:
    """What a set of images looks like: the largest height and width in px, and whether any has colour."""

    height: int
    width: int
    colour: bool

    @property
    def largest(self) -> int:
        return max(self.height, self.width)


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_blas_thread() -> AbstractContextManager[object]:
    """BLAS on one thread: our own threads share the cores, and waiting BLAS threads spin (20 times slower if busy)."""
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


def read(path: Path, size: tuple[int, int], mode: Mode) -> Bytes:
    """One image as (height, width, channels) uint8; size is (height, width) in px.

    Upright by its EXIF note, transparent parts white, 16-bit greys scaled, squeezed to the size by an area filter.
    """
    try:
        with Image.open(path) as image:
            image.draft("RGB", (4 * size[1], 4 * size[0]))  # a large JPEG decodes at a fraction of its size
            pixels = _flat(ImageOps.exif_transpose(image)).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(path, error) from error
    if pixels.size != (size[1], size[0]):
        pixels = pixels.resize((size[1], size[0]), _filter(pixels, size))
    return np.asarray(pixels, dtype=np.uint8).reshape(*size, -1)


def _filter(image: Image.Image, size: tuple[int, int]) -> Image.Resampling:
    """Means when it shrinks, interpolation when it grows."""
    shrinks = image.width >= size[1] and image.height >= size[0]
    return Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR


def _flat(image: Image.Image) -> Image.Image:
    """The image without transparency and with 8 bits a channel."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return Image.fromarray((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)
    return image


def read_all(paths: Sequence[Path], size: tuple[int, int], mode: Mode, workers: int | None = None) -> Bytes:
    """(n, height, width, channels) uint8, decoded on all cores."""
    channels = 1 if mode == "L" else 3
    out = np.empty((len(paths), *size, channels), dtype=np.uint8)

    def fill(block: range) -> None:
        for i in block:
            out[i] = read(paths[i], size, mode)

    blocks = [range(start, min(start + 64, len(paths))) for start in range(0, len(paths), 64)]
    with ThreadPoolExecutor(workers or cores()) as pool:
        for _ in pool.map(fill, blocks):
            pass
    return out


def survey(paths: Sequence[Path]) -> Survey:
    """Sizes from the files' headers; colour as seen on thumbnails."""

    def look(path: Path) -> tuple[int, int, bool]:
        try:
            with Image.open(path) as image:
                width, height, grey = image.width, image.height, image.mode in ("1", "L", "LA", "I", "I;16", "F")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UnreadableImageError(path, error) from error
        return height, width, not grey and _coloured(path)

    with ThreadPoolExecutor(cores()) as pool:
        seen = list(pool.map(look, paths))
    return Survey(max(h for h, _, _ in seen), max(w for _, w, _ in seen), any(c for _, _, c in seen))


def _coloured(path: Path) -> bool:
    """True if the channels differ by more than JPEG's rounding."""
    pixels = read(path, (16, 16), "RGB").astype(np.int16)
    return bool(np.ptp(pixels, axis=2).max() > 12)
