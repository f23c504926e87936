"""Shots: where a video cuts to another scene, seen in small histograms of frames; nothing is linked across a cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.footage import Footage
from plugins.video.frame_cache import FrameCache, digest, video_folder
from plugins.video.frame_source import FrameReader, FrameSource, Image

BINS, SIDE = 16, 64  # of each colour's histogram; px of the square to which a frame is shrunk
PARTS = 2  # squares in each direction, with a histogram of their own
LEAST = 0.25  # of the pixels that must have changed their bin at a cut
TIMES = 3.0  # more of them than between the frames around
AROUND = 5  # frames on either side, by which that is told
KEY = f"shots-2-{BINS}-{SIDE}-{PARTS}"


def histograms(image: Image) -> NDArray[np.float32]:
    """(12 * BINS,) histograms of three colours in each of four quarters of a frame; they sum to 1.

    image: (H, W, 3) uint8.
    """
    import cv2  # loaded where pixels are read

    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    part = np.arange(SIDE) * PARTS // SIDE
    square = part[:, None, None] * PARTS + part[None, :, None]
    bins = (square * 3 + np.arange(3)) * BINS + small.astype(np.int64) * BINS // 256
    counts = np.bincount(bins.ravel(), minlength=PARTS * PARTS * 3 * BINS)
    return np.asarray(counts / counts.sum(), dtype=np.float32)


def changes(known: FloatArray) -> FloatArray:
    """(T - 1,) share of colour values that change their bin from each frame to the next: half the L1 distance.

    known: (T, D) histograms, rows sum to 1.

    >>> changes(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).tolist()
    [0.0, 1.0]
    """
    return np.asarray(np.abs(np.diff(known.astype(np.float64), axis=0)).sum(axis=1) / 2)


def shots(change: FloatArray) -> IntArray:
    """(T,) which shot each frame belongs to, from 0. change: (T - 1,) from each frame to the next.

    A cut is a change of LEAST or more that is TIMES the median of the AROUND changes on either side: a pan, a fade or a
    low frame rate changes much everywhere, a cut only once.

    >>> shots(np.array([0.02, 0.01, 0.6, 0.03])).tolist()
    [0, 0, 0, 1, 1]
    >>> shots(np.array([0.5, 0.4, 0.6, 0.5])).tolist()
    [0, 0, 0, 0, 0]
    """
    cut = np.zeros(len(change) + 1, dtype=bool)
    for at in np.flatnonzero(change >= LEAST).tolist():
        near = np.concatenate([change[max(at - AROUND, 0) : at], change[at + 1 : at + 1 + AROUND]])
        cut[at + 1] = change[at] >= TIMES * (np.median(near) if near.size else 0.0)
    return np.cumsum(cut)


def shots_of(film: Footage, frames: FrameSource, cache: Path | None) -> IntArray:
    """(F,) shot of every sorted frame within its video. Histograms are kept in `cache` by content of the frames."""
    found = np.zeros(len(film), dtype=np.int64)
    ends = np.cumsum(np.bincount(film.video, minlength=len(film.names)))
    for one in np.flatnonzero(np.diff(ends, prepend=0) > 1).tolist():  # a lone image has no cut, and is not read
        name, mine = film.names[one].item(), slice(ends[one - 1] if one else 0, ends[one])
        kept = FrameCache(video_folder(cache, "shots", KEY, name))
        found[mine] = shots(changes(_known(frames[name], film.number[mine], kept)))
    return found


def _known(reader: FrameReader, numbers: IntArray, kept: FrameCache) -> FloatArray:
    """(T, D) histograms of frames, of which those that are not kept are made and put there."""
    keys = [digest(KEY, reader.content(number)) for number in numbers.tolist()]
    missing = {key: number for key, number in zip(keys, numbers.tolist(), strict=True) if key not in kept}
    if missing:
        kept.put(list(missing), np.stack([histograms(reader.read(number, least=SIDE)) for number in missing.values()]))
    return np.stack([kept.get(key) for key in keys])
