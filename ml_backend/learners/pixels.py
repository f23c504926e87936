"""Images in files or in memory -> arrays of one size, as an annotator's browser would show them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from ml_backend.learners.contract import Images

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
    return _resized(pixels, size)


def _resized(image: Image.Image, size: tuple[int, int]) -> Bytes:
    if image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), _filter(image, size))
    return np.asarray(image, dtype=np.uint8).reshape(*size, -1)


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


def read_all(images: Images, size: tuple[int, int], mode: Mode, workers: int | None = None) -> Bytes:
    """(n, height, width, channels) uint8, decoded or resized on all cores.

    Images in memory that have the size and mode already are given back as they are: do not write into them.
    """
    decoded = None if images.pixels is None else converted(images.pixels, mode)
    if decoded is not None and decoded.shape[1:3] == size:
        return decoded
    out = np.empty((len(images), *size, 1 if mode == "L" else 3), dtype=np.uint8)

    def fill(block: range) -> None:
        for i in block:
            out[i] = read(images.paths[i], size, mode) if decoded is None else _resized(_picture(decoded[i]), size)

    blocks = [range(start, min(start + 64, len(images))) for start in range(0, len(images), 64)]
    with ThreadPoolExecutor(workers or cores()) as pool:
        for _ in pool.map(fill, blocks):
            pass
    return out


def converted(pixels: Bytes, mode: Mode) -> Bytes:
    """(n, height, width, 1 or 3) as grey levels or as colours, as Pillow converts: ITU-R 601-2 luma in 16 bits.

    >>> converted(np.array([[[[255, 0, 0], [0, 255, 0]]]], dtype=np.uint8), "L").ravel().tolist()
    [76, 150]
    """
    if pixels.shape[3] == (1 if mode == "L" else 3):
        return pixels
    if mode == "RGB":
        return np.repeat(pixels, 3, axis=3)
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return np.asarray((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16, dtype=np.uint8)[..., None]


def _picture(pixels: Bytes) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def survey(images: Images) -> Survey:
    """Sizes from the files' headers, or as they are in memory; colour as seen on thumbnails."""
    if images.pixels is not None:
        _, height, width, channels = images.pixels.shape
        return Survey(height, width, channels == 3 and any(map(_coloured, images.blocks(256))))

    def look(image: Images) -> tuple[int, int, bool]:
        path = image.paths[0]
        try:
            with Image.open(path) as header:
                width, height, grey = header.width, header.height, header.mode in ("1", "L", "LA", "I", "I;16", "F")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UnreadableImageError(path, error) from error
        return height, width, not grey and _coloured(image)

    with ThreadPoolExecutor(cores()) as pool:
        seen = list(pool.map(look, images.blocks(1)))
    return Survey(max(h for h, _, _ in seen), max(w for _, w, _ in seen), any(c for _, _, c in seen))


def _coloured(images: Images) -> bool:
    """True if the channels of any image differ by more than JPEG's rounding."""
    pixels = read_all(images, (16, 16), "RGB", workers=1)
    return bool(np.any(pixels.max(axis=3) - pixels.min(axis=3) > 12))
