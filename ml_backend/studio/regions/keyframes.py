"""Keyframes: the fewest frames between which straight lines follow a box, and the frames between keyframes again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ml_backend.studio.regions.geometry import FloatArray

IntArray = NDArray[np.int64]
ROUNDING = 1e-9  # px; a box that moves evenly is a straight line, whatever its last binary digit says
FIRST_LOOK = 64  # frames; how far ahead is looked at first, and twice as far each time after


def runs(frame: IntArray) -> list[slice]:
    """The stretches without a gap of (L,) ascending frame numbers.

    >>> runs(np.array([3, 4, 7, 8, 9]))
    [slice(0, 2, None), slice(2, 5, None)]
    """
    if not len(frame):
        return []
    starts = np.concatenate([[0], np.flatnonzero(np.diff(frame) > 1) + 1, [len(frame)]]).tolist()
    return [slice(first, last) for first, last in pairwise(starts)]


def keyframes(box: FloatArray, tolerance: float) -> IntArray:
    """(k,) the fewest rows of a (L, 4) box, frame after frame, that linear interpolation needs, with both ends.

    Between them no coordinate misses by more than `tolerance` pixels, but for rounding. No smaller set of
    rows does it: a shortest path over all shortcuts that are close enough (Imai & Iri 1988), found breadth first.

    >>> keyframes(np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 0, 4, 2], [2, 0, 4, 2.0]]), tolerance=0.1).tolist()
    [0, 2, 3]
    """
    last = len(box) - 1
    before = np.full(len(box), -1)
    before[0] = 0
    frontier = [0]
    while before[last] < 0:
        reached: list[int] = []
        for row in frontier:
            new = row + 1 + np.flatnonzero(shortcuts(box, row, tolerance + ROUNDING))
            new = new[before[new] < 0]
            before[new] = row
            reached += new.tolist()
            if before[last] >= 0:
                break
        frontier = reached
    path = [last]
    while path[-1]:
        path.append(int(before[path[-1]]))
    return np.array(path[::-1], dtype=np.int64)


def shortcuts(box: FloatArray, row: int, tolerance: float) -> NDArray[np.bool_]:
    """Which of the rows after `row` a straight line may lead to: (m,), where none beyond the m-th can be reached.

    A line from `row` passes row k closely enough if its slope lies in an interval; the intersection of the intervals
    so far decides on the next row.
    """
    low, high = np.full((1, 4), -np.inf), np.full((1, 4), np.inf)
    allowed = []
    start, size = row + 1, FIRST_LOOK
    while start < len(box) and (low <= high).all():
        steps = np.arange(start - row, min(start + size, len(box)) - row, dtype=np.float64)[:, None]
        away = box[start : start + size] - box[row]
        slope = away / steps
        lows = np.maximum.accumulate(np.concatenate([low, (away - tolerance) / steps]))
        highs = np.minimum.accumulate(np.concatenate([high, (away + tolerance) / steps]))
        allowed.append(((slope >= lows[:-1]) & (slope <= highs[:-1])).all(axis=1))
        low, high = lows[-1:], highs[-1:]
        start, size = start + size, size * 2
    return np.concatenate(allowed)


def expand(frame: IntArray, box: FloatArray, enabled: NDArray[np.bool_], frames: int) -> tuple[IntArray, FloatArray]:
    """(L,) the frames in which a track is seen and (L, 4) its box in each, of (n,) ascending keyframes.

    As Label Studio's editor draws it and its export with interpolate_key_frames=true lists it: straight lines from an
    enabled keyframe to the next; a keyframe that is not enabled is seen, and nothing after it; an enabled last one
    stays as it is until frame `frames`. Before the first keyframe there is nothing.

    >>> seen, _ = expand(np.array([2, 4, 7]), np.zeros((3, 4)), np.array([True, False, True]), frames=9)
    >>> seen.tolist()
    [2, 3, 4, 7, 8, 9]
    """
    ends = np.concatenate([frame[1:] - 1, [max(frames, int(frame[-1]))]])
    ends = np.where(enabled, ends, frame)
    seen = np.concatenate([np.arange(first, end + 1) for first, end in zip(frame.tolist(), ends.tolist(), strict=True)])
    # np.interp holds the last value, and what lies between a disabled keyframe and the next is not in `seen`.
    return seen, np.stack([np.interp(seen, frame, box[:, side]) for side in range(4)], axis=1)
