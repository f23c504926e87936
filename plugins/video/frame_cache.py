"""Kept rows of numbers of one video, each under a key that names the pixels and settings it follows from.

A later frame adds rows, and none is ever wrong: other pixels have other keys. Rows stand in files of a few hundred,
which are written whole and then never changed, so that two workers cannot spoil each other's.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
KEY = 16  # bytes
FILE = 256  # rows at most in one file: 30 MB of flow
MAPPED = 1 << 20  # bytes


def digest(*parts: object) -> str:
    """32 hex digits that name these parts in this order.

    >>> digest("ab", "c") == digest("a", "bc")
    False
    """
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[: 2 * KEY]


class FrameCache:
    """Key -> row, all of one shape, in the folder of one video and one kind of settings; in memory where it is None.

    Large files are memory-mapped: what is not asked for is not read.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: list[Array] = []
        self._places: dict[str, tuple[int, int]] = {}
        for names in sorted(folder.glob("*.keys.npy")) if folder else ():
            rows = names.with_name(names.name.replace(".keys.", ".rows."))
            self._add([bytes(key).hex() for key in np.load(names)], _load(rows))

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> Array:
        """One row, read-only."""
        file, row = self._places[key]
        return np.asarray(self._files[file][row])

    def put(self, keys: Sequence[str], rows: Array) -> None:
        """Keeps rows (n, ...) under n keys, of which those that are there already stay as they are."""
        new = [i for i, key in enumerate(keys) if key not in self._places]
        for first in range(0, len(new), FILE):
            part = new[first : first + FILE]
            self._write([keys[i] for i in part], np.ascontiguousarray(rows[part]))

    def _write(self, keys: list[str], rows: Array) -> None:
        rows.flags.writeable = False
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = digest(*keys)
            _save(self._folder / f"{name}.rows.npy", rows)  # first, so that no key is without its row
            _save(self._folder / f"{name}.keys.npy", np.array([list(bytes.fromhex(key)) for key in keys], np.uint8))
            rows = _load(self._folder / f"{name}.rows.npy")
        self._add(keys, rows)

    def _add(self, keys: list[str], rows: Array) -> None:
        self._places.update({key: (len(self._files), row) for row, key in enumerate(keys)})
        self._files.append(rows)


def _load(path: Path) -> Array:
    """Small files into memory, since every map holds a file open."""
    return np.asarray(np.load(path, mmap_mode="r" if path.stat().st_size > MAPPED else None))


def _save(path: Path, array: Array) -> None:
    """Whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.save(file, array)
        part.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def video_folder(cache: Path | None, tracker: str, settings: object, video: object) -> Path | None:
    """Where a tracker with such settings keeps a video's rows, below the cache's folder."""
    return None if cache is None else cache / "video" / f"{tracker}-{digest(settings)[:12]}" / digest(video)
