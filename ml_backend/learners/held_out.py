"""Which labeled images are measured on and never learned from: a stable split, the same in every cycle."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.contract import IntArray

SHARE = 0.2
FEWEST = 10  # labeled images from which on some are held out
GROUPS = 5  # videos with labels from which on whole videos are held out


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of the labeled images: learned (l,) and held out (h,), and what people must know of the figure."""

    learned: IntArray
    held: IntArray
    notes: tuple[str, ...] = ()


def split(contents: Sequence[str], groups: NDArray[Any] | None, with_box: Collection[int]) -> Split:
    """About one in five of L images, chosen by a hash of their content, or of their video if enough videos are labeled.

    groups: (L,) the video of each image, or None. with_box: positions of the images that have a box. An image's side
    depends on nothing but its own content or video, so whatever was held out stays held out as labels are added. Only
    where the rule itself changes (10 images, 5 videos) do some change sides.
    """
    n = len(contents)
    everything = Split(np.arange(n), np.zeros(0, dtype=np.int64))
    if n < FEWEST:
        return _noted(everything, f"mAP is unknown: it is measured from {FEWEST} labeled images on, and there are {n}.")
    videos = None if groups is None else np.asarray(groups).astype(str)
    if videos is not None and len(np.unique(videos)) >= GROUPS:
        whole = _parted([f"video {name}" for name in videos.tolist()])
        if _usable(whole, with_box):
            return whole
    single = _parted(list(contents))
    if not _usable(single, with_box):
        return _noted(everything, "mAP is unknown: no labeled image with a box could be held out; label more images.")
    if videos is not None and len(np.unique(videos)) < n:
        return _noted(
            single,
            f"mAP flatters: {len(np.unique(videos))} videos have labels, so frames of one video are both learned from "
            "and measured on; label frames of more videos.",
        )
    return single


def place(unit: str) -> float:
    """Where a content or a video lies in [0, 1): its SHA-256, so that it is the same on every machine.

    >>> round(place("a"), 3), round(place("b"), 3)
    (0.791, 0.243)
    """
    return int.from_bytes(hashlib.sha256(unit.encode()).digest()[:7], "big") / 2**56


def _parted(units: list[str]) -> Split:
    held = np.array([place(unit) < SHARE for unit in units], dtype=bool)
    return Split(np.flatnonzero(~held), np.flatnonzero(held))


def _usable(parts: Split, with_box: Collection[int]) -> bool:
    """Both sides need a box: one cannot learn, or cannot measure, without."""
    known = set(with_box)
    return not known.isdisjoint(parts.learned.tolist()) and not known.isdisjoint(parts.held.tolist())


def _noted(parts: Split, note: str) -> Split:
    return Split(parts.learned, parts.held, (note,))
