"""Detections sorted by time, with every frame's neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.detections import Array, Detections


@dataclass(frozen=True)
class Clip:
    """The same frames and boxes sorted by video, shot and number; boxes of a frame by centre x, dropped ones left out.

    frame_rows: (F,) position of each sorted frame in the caller's `Frames`; box_rows: (K',) the same for boxes. video:
    (F,) its id, as given. run: (F,) id of the shot a frame belongs to, ascending. number: (F,). stride: (F,) usual step
    of numbers in the video. frame: (K',) sorted position of a box's frame. neighbours: (F, 2k) sorted position of the
    frames k, ..., 1 places before and 1, ..., k after, -1 where there is none: across a cut, beyond an end, or more
    than k strides away.
    """

    k: int
    frame_rows: IntArray
    video: Array
    run: IntArray
    number: IntArray
    stride: IntArray
    size: FloatArray
    neighbours: IntArray
    box_rows: IntArray
    frame: IntArray
    box: FloatArray
    score: FloatArray
    label: IntArray

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def offsets(self) -> IntArray:
        """(2k,) place of each neighbour relative to the frame: -k, ..., -1, 1, ..., k."""
        return np.array([*range(-self.k, 0), *range(1, self.k + 1)])

    @property
    def steps(self) -> FloatArray:
        """(F, 2k) frame numbers from a frame to each of its neighbours, 0 where there is none."""
        known = self.neighbours >= 0
        return np.where(known, self.number[self.neighbours] - self.number[:, None], 0).astype(np.float64)


def sorted_clip(
    detections: Detections, k: int, stride: int | None = None, boxes: NDArray[np.bool_] | None = None
) -> Clip:
    """Sorts by time and finds each frame's neighbours.

    k: frames looked at on either side, >= 1. stride: usual step between frame numbers; if None, each video's median.
    boxes: (K,) those to look at, all if None.
    """
    if k < 1:
        raise ValueError(f"k is {k}; look at 1 frame or more on either side.")
    if stride is not None and stride < 1:
        raise ValueError(f"The stride is {stride}; give the usual step between frame numbers, 1 or more.")
    frames = detections.frames
    video = np.unique(np.asarray(frames.video), return_inverse=True)[1]
    shot = np.unique(np.asarray(frames.shot), return_inverse=True)[1]
    order = np.lexsort((frames.number, video))
    video, shot, number = video[order], shot[order], frames.number[order]
    again = np.flatnonzero((np.diff(video) == 0) & (np.diff(number) == 0))
    if again.size:
        which = np.asarray(frames.video)[order[again[0]]]
        raise ValueError(f"Frame {number[again[0]]} of video {which} is listed twice; give each frame once.")
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(video) != 0) | (np.diff(shot) != 0)
    run = np.cumsum(new) - 1
    steps = np.full(len(order), stride, dtype=np.int64) if stride else usual_steps(video, number)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    kept = np.flatnonzero(~detections.dropped if boxes is None else boxes & ~detections.dropped)
    at = place[detections.frame[kept]]
    box = detections.box[kept]
    by_time = np.lexsort((box[:, 0] + box[:, 2], at))
    rows = kept[by_time]
    return Clip(
        k=k,
        frame_rows=order,
        video=np.asarray(frames.video)[order],
        run=run,
        number=number,
        stride=steps,
        size=np.asarray(frames.size)[order],
        neighbours=neighbours_of(run, number, steps, k),
        box_rows=rows,
        frame=at[by_time],
        box=box[by_time],
        score=detections.score[rows],
        label=detections.label[rows],
    )


def usual_steps(video: IntArray, number: IntArray) -> IntArray:
    """(F,) the median step of frame numbers in the video of each frame, the lower of two; 1 for a single frame.

    video, number: (F,), sorted.

    >>> usual_steps(np.array([0, 0, 0, 0, 1]), np.array([0, 5, 10, 40, 7])).tolist()
    [5, 5, 5, 5, 1]
    """
    inside = np.flatnonzero(np.diff(video) == 0)
    step, of = np.diff(number)[inside], video[inside]
    order = np.lexsort((step, of))
    known, first, count = np.unique(of[order], return_index=True, return_counts=True)
    median = np.ones(int(video.max(initial=0)) + 1, dtype=np.int64)
    median[known] = step[order][first + (count - 1) // 2]
    return np.asarray(median[video])


def neighbours_of(run: IntArray, number: IntArray, stride: IntArray, k: int) -> IntArray:
    """(F, 2k) position of the frames k, ..., 1 places before and 1, ..., k after each; -1 where there is none.

    A frame of another run, or more than k strides away, is no neighbour. run, number, stride: (F,), sorted.

    >>> neighbours_of(np.array([0, 0, 0, 1]), np.array([1, 2, 9, 10]), np.ones(4, dtype=int), 1).tolist()
    [[-1, 1], [0, -1], [-1, -1], [-1, -1]]
    """
    n = len(run)
    found = np.full((n, 2 * k), -1, dtype=np.int64)
    for s in range(1, min(k, n - 1) + 1):
        near = (run[s:] == run[:-s]) & (number[s:] - number[:-s] <= k * stride[s:])
        found[:-s, k + s - 1] = np.where(near, np.arange(s, n), -1)
        found[s:, k - s] = np.where(near, np.arange(n - s), -1)
    return found
