"""Frames and detections in flat columns, checked at the door."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.boxes import areas

Array = NDArray[Any]


@dataclass(frozen=True)
class Frames:
    """F frames, in any order; each (video, number) once. Frames without a box belong here too.

    number: (F,) frame number within its video. video: (F,) id of any type, one video if absent. shot: (F,) id of the
    shot within the video, where cuts are known: nothing is linked across a cut. size: (F, 2) or (2,) width and height
    in px, where they are known.
    """

    number: IntArray
    video: Array | None = None
    shot: Array | None = None
    size: FloatArray | None = None

    def __post_init__(self) -> None:
        number = np.asarray(self.number)
        if number.ndim != 1 or (len(number) and number.dtype.kind not in "iu"):
            raise ValueError(
                f"Frame numbers have shape {number.shape} and type {number.dtype}; give one whole number per frame."
            )
        object.__setattr__(self, "number", number.astype(np.int64))
        for name in ("video", "shot"):
            given = getattr(self, name)
            column = np.zeros(len(number), dtype=np.int64) if given is None else np.asarray(given)
            if column.shape != number.shape:
                raise ValueError(f"`{name}` has shape {column.shape} for {len(number)} frames; give one per frame.")
            object.__setattr__(self, name, column)
        size = np.full(2, np.nan) if self.size is None else np.asarray(self.size, dtype=np.float64)
        if size.shape not in ((2,), (len(number), 2)):
            raise ValueError(f"`size` has shape {size.shape} for {len(number)} frames; give (2,) or (F, 2), in px.")
        object.__setattr__(self, "size", np.broadcast_to(size, (len(number), 2)))

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True)
class Detections:
    """K boxes on F frames, in any order: a detector's whole output, low scores included.

    frame: (K,) position in `frames`. box: (K, 4) xyxy px. score: (K,), higher = surer, any scale. label: (K,) class
    index. probabilities: (K, C), optional. Boxes without area or wholly outside the image are left out and counted
    (`dropped` (K,)); a number that is not finite is refused.
    """

    frames: Frames
    frame: IntArray
    box: FloatArray
    score: FloatArray
    label: IntArray
    probabilities: FloatArray | None = None
    dropped: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        for name, kind in (("frame", np.int64), ("box", np.float64), ("score", np.float64), ("label", np.int64)):
            given = np.asarray(getattr(self, name))
            if given.dtype.kind == "f" and kind is np.int64 and len(given):
                raise ValueError(f"`{name}` has type {given.dtype}; give whole numbers.")
            object.__setattr__(self, name, given.astype(kind))
        object.__setattr__(self, "box", self.box.reshape(0, 4) if not self.box.size else self.box)
        k = len(self.frame)
        wanted = {"frame": (k,), "box": (k, 4), "score": (k,), "label": (k,)}
        for name, shape in wanted.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"`{name}` has shape {found}; {k} boxes need {shape}.")
        outside = np.flatnonzero((self.frame < 0) | (self.frame >= len(self.frames)))
        if outside.size:
            first = int(outside[0])
            raise ValueError(
                f"Box {first} is on frame position {self.frame[first]}, but there are {len(self.frames)} frames; "
                "give positions in `frames`, not frame numbers."
            )
        for name in ("box", "score"):
            _refuse_what_is_not_finite(name, getattr(self, name))
        if self.probabilities is not None:
            _check_probabilities(np.asarray(self.probabilities), k)
        object.__setattr__(self, "dropped", _useless(self.box, np.asarray(self.frames.size)[self.frame]))

    def __len__(self) -> int:
        return len(self.frame)


def _refuse_what_is_not_finite(name: str, column: FloatArray) -> None:
    bad = np.flatnonzero(~np.isfinite(column).all(axis=tuple(range(1, column.ndim))))
    if bad.size:
        raise ValueError(
            f"{bad.size} of {len(column)} values of `{name}` are not finite (first: box {bad[0]}); see the detector."
        )


def _check_probabilities(probabilities: FloatArray, k: int) -> None:
    if probabilities.ndim != 2 or len(probabilities) != k:
        raise ValueError(f"`probabilities` has shape {probabilities.shape} for {k} boxes; give (K, C).")
    _refuse_what_is_not_finite("probabilities", probabilities)


def _useless(box: FloatArray, size: FloatArray) -> NDArray[np.bool_]:
    """(K,) boxes without area, or with none inside their image."""
    with np.errstate(invalid="ignore"):
        beyond = (box[:, :2] >= size).any(axis=1) | (box[:, 2:] <= 0).any(axis=1)
    known = ~np.isnan(size).any(axis=1)
    return np.asarray((areas(box) <= 0) | (beyond & known))
