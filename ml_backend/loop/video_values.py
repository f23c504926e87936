"""From values of frames to the value of a video, and to the frames that a person should look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray

STANDS_OUT = 0.5  # of the most doubtful frame's value: what is pointed at


def floor_of(values: FloatArray) -> float:
    """What a frame that is not there is worth: nothing, or no more than the least of all frames where some are below.

    >>> floor_of(np.array([2.0, 0.5])), floor_of(np.array([-0.9, -0.1]))
    (0.0, -0.9)
    """
    return min(0.0, float(values.min(initial=0.0)))


def video_values(values: FloatArray, first: IntArray, best: int, over: Literal["sum", "mean"]) -> FloatArray:
    """(V,) sum over the best frames of each video of what is above the floor, or the mean of the best frames.

    values: (N,) of frames, higher = more doubtful. first: (V + 1,) where each video's frames begin. Under the sum a
    video of fewer than `best` frames lacks the others, as if they were worth least.

    >>> frames, first = np.array([3.0, 1.0, 2.0, 4.0]), np.array([0, 3, 4])
    >>> video_values(frames, first, 2, "sum").tolist(), video_values(frames, first, 2, "mean").tolist()
    ([5.0, 4.0], [2.5, 4.0])
    """
    video = np.repeat(np.arange(len(first) - 1), np.diff(first))
    order = np.lexsort((-values, video))  # videos stay where they are
    chosen = order[np.arange(len(order)) - first[video] < best]
    floor = floor_of(values)
    total = np.bincount(video[chosen], weights=values[chosen] - floor, minlength=len(first) - 1)
    if over == "sum":
        return np.asarray(total)
    count = np.bincount(video[chosen], minlength=len(first) - 1)
    return np.asarray(floor + total / np.maximum(count, 1))


def standing_out(values: FloatArray, floor: float, best: int) -> NDArray[np.int64]:
    """Positions, ascending, of the frames of one video to look at: at most `best`, each worth half of the best or more.

    values: (n,). None if no frame is worth more than the floor.

    >>> standing_out(np.array([0.1, 4.0, 2.0, 1.9]), 0.0, 10).tolist()
    [1, 2]
    """
    most = values.max(initial=floor) - floor
    if most <= 0:
        return np.zeros(0, dtype=np.int64)
    order = np.argsort(-values, kind="stable")[:best]
    return np.sort(order[values[order] - floor >= STANDS_OUT * most])


def stretches(positions: IntArray) -> list[tuple[int, int]]:
    """First and last of each run of ascending positions without a gap.

    >>> stretches(np.array([3, 4, 7]))
    [(3, 4), (7, 7)]
    """
    if not len(positions):
        return []
    cut = np.flatnonzero(np.diff(positions) > 1)
    starts, ends = np.concatenate([[0], cut + 1]), np.concatenate([cut, [len(positions) - 1]])
    return list(zip(positions[starts].tolist(), positions[ends].tolist(), strict=True))


def in_words(spans: Sequence[tuple[int, int]]) -> str:
    """
    >>> in_words([(41, 44), (97, 97)]), in_words([(7, 7)]), in_words([(1, 3)])
    ('frames 41 to 44 and 97', 'frame 7', 'frames 1 to 3')
    """
    parts = [f"{start} to {end}" if end > start else f"{start}" for start, end in spans]
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    one = len(spans) == 1 and spans[0][0] == spans[0][1]
    return f"frame {listed}" if one else f"frames {listed}"


def halfway(number: IntArray, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) first and last frame of the stretch that each of (n,) ascending sampled frames stands for.

    The stretches touch, and cover the frames 1 to `length`.

    >>> first, last = halfway(np.array([1, 11, 21]), 30)
    >>> first.tolist(), last.tolist()
    ([1, 7, 17], [6, 16, 30])
    """
    middle = (number[:-1] + number[1:]) // 2
    return np.concatenate([[1], middle + 1]), np.concatenate([middle, [length]])
