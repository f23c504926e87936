"""Decoded copies of data sets that come as many small files: made once, whole or not at all, and mapped into memory."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from ml_backend.learners.contract import Images
from ml_backend.studio.image_check import FORMATS
from simulation.datasets.contract import Dataset, DatasetError, Ints
from simulation.datasets.places import CACHE, cache_folder

PIXELS, LABELS, TEST, CLASSES = "pixels.npy", "labels.npy", "test.npy", "classes.json"


@dataclass(frozen=True)
class Encoded:
    """Image files of one size, in order, and what is known of them. pictures: (name, bytes) of each of labels (n,)."""

    pictures: Iterable[tuple[str, bytes]]
    labels: Ints
    classes: tuple[str, ...]
    test: Ints | None


def decode(data: bytes, name: str) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of an image file's bytes; grey ones are repeated in each channel."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # decoders answer damaged bytes with nearly every type
        raise DatasetError(f"'{name}' cannot be decoded ({error}); replace it.") from error


def remembered(name: str, key: str, encode: Callable[[], Encoded], note: str) -> Dataset:
    """The data set that is kept decoded under `key` (a hash of what it is made from), made by `encode` if it is not.

    Several processes may ask at a time: one makes it, the others wait. Pixels are read as they are needed.
    """
    folder = cache_folder() / "datasets" / f"{name}-{key[:32]}"
    try:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if not folder.is_dir():
                    _make(folder, encode())
    except OSError as error:
        raise DatasetError(
            f"{folder} cannot be made ({error}); set {CACHE} to a folder that can be written to."
        ) from error
    return _read(folder, name, note)


def _make(folder: Path, encoded: Encoded) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        part = Path(temporary) / folder.name
        part.mkdir()
        _write_pixels(part / PIXELS, encoded.pictures, len(encoded.labels))
        np.save(part / LABELS, encoded.labels)
        if encoded.test is not None:
            np.save(part / TEST, encoded.test)
        (part / CLASSES).write_text(json.dumps(encoded.classes), encoding="utf-8")
        part.replace(folder)


def _write_pixels(path: Path, pictures: Iterable[tuple[str, bytes]], count: int) -> None:
    """Straight to the disk: a hundred thousand pictures need not fit into memory twice."""
    pixels: np.memmap[tuple[int, ...], np.dtype[np.uint8]] | None = None
    for index, (name, data) in enumerate(pictures):
        picture = decode(data, name)
        if pixels is None:
            pixels = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *picture.shape))
        if picture.shape != pixels.shape[1:]:
            wanted, found = pixels.shape[1:3], picture.shape[:2]
            raise DatasetError(f"'{name}' has {found} pixels where others have {wanted}; bring all to one size.")
        pixels[index] = picture
    if pixels is None:
        raise DatasetError("No picture was found; give the data set some.")
    pixels.flush()


def _read(folder: Path, name: str, note: str) -> Dataset:
    try:
        pixels = np.asarray(np.load(folder / PIXELS, mmap_mode="r", allow_pickle=False))
        labels = np.load(folder / LABELS, allow_pickle=False)
        test = np.load(folder / TEST, allow_pickle=False) if (folder / TEST).is_file() else None
        classes = tuple(json.loads((folder / CLASSES).read_text(encoding="utf-8")))
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{folder} is damaged ({error}); delete it, and it is made again.") from error
    return Dataset(name, Images.in_memory(pixels), labels, classes, test, note)
