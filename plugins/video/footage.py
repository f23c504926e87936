"""Pool and labeled frames of all videos as one sequence, of which any stretch can be taken as detections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.clip import usual_steps
from plugins.video.detections import Array, Detections, Frames

BLOCK = 16_384  # boxes of a stretch; what is computed of them is some 100 times their own size
LONGEST = 4_096  # frames of a stretch


@dataclass(frozen=True, eq=False)
class Side:
    """Frames and their boxes as evidence has them: of the pool, or of what is labeled.

    video (n,) id, number (n,), size (n, 2) px, NaN where unknown; item (K,), box (K, 4), score, label, shown (K,).
    """

    video: Array
    number: IntArray
    size: FloatArray
    item: IntArray
    box: FloatArray
    score: FloatArray
    label: IntArray
    shown: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Footage:
    """F frames sorted by video and number, pool and labeled together; boxes frame by frame, as they were given.

    row: (F,) position among the pool's frames and then the labeled ones. video: (F,) which of `names` (V,), ascending.
    number (F,), shot (F,), size (F, 2). box_row: (K,) row among the pool's boxes and then those of labeled frames.
    starts: (F + 1,) where each frame's boxes begin.
    """

    sides: tuple[Side, Side]
    names: NDArray[np.str_]
    row: IntArray
    video: IntArray
    number: IntArray
    shot: IntArray
    size: FloatArray
    box_row: IntArray
    starts: IntArray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def pool(self) -> int:
        """Frames of the pool."""
        return len(self.sides[0].number)

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """(F,) frames that people have labeled."""
        return np.asarray(self.row >= self.pool)

    @property
    def run(self) -> IntArray:
        """(F,) id of the shot that a frame belongs to, ascending."""
        new = (np.diff(self.video) != 0) | (np.diff(self.shot) != 0)
        return np.concatenate([[0], np.cumsum(new)]) if len(self) else np.empty(0, dtype=np.int64)

    @property
    def time(self) -> FloatArray:
        """(F,) frame numbers in usual steps of their video."""
        return np.asarray(self.number / np.maximum(usual_steps(self.video, self.number), 1))

    def boxes(self, start: int, end: int) -> IntArray:
        """Rows of the boxes on sorted frames start, ..., end - 1, in the order of `detections(start, end)`."""
        return self.box_row[self.starts[start] : self.starts[end]]

    def detections(self, start: int, end: int) -> Detections:
        """Sorted frames start, ..., end - 1 with their boxes."""
        rows, frames = self.boxes(start, end), slice(start, end)
        count = np.diff(self.starts[start : end + 1])
        return Detections(
            Frames(
                self.number[frames],
                self.names[self.video[frames]],
                self.shot[frames],
                self.size[frames],
            ),
            np.repeat(np.arange(end - start), count),
            *(self._of(name, rows) for name in ("box", "score", "label")),
        )

    def shown(self, start: int, end: int) -> NDArray[np.bool_]:
        """Which boxes of `detections(start, end)` people see."""
        return np.asarray(self._of("shown", self.boxes(start, end)), dtype=bool)

    def _of(self, column: str, rows: IntArray) -> Array:
        first, second = (getattr(side, column) for side in self.sides)
        mine = rows < len(first)
        found = np.empty((len(rows), *first.shape[1:]), dtype=np.result_type(first, second))
        found[mine], found[~mine] = first[rows[mine]], second[rows[~mine] - len(first)]
        return found

    def around(self, start: int, end: int, margin: int) -> tuple[int, int]:
        """The stretch with `margin` frames on either side, within the videos that it begins and ends in."""
        low = int(np.searchsorted(self.video, self.video[start]))
        high = int(np.searchsorted(self.video, self.video[end - 1], side="right"))
        return max(start - margin, low), min(end + margin, high)

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Start and end of stretches of at most BLOCK boxes and LONGEST frames, one frame at least; whole videos where
        some fit."""
        begins = np.flatnonzero(np.diff(self.video, append=-1)) + 1
        start = 0
        while start < len(self):
            full = int(np.searchsorted(self.starts, self.starts[start] + BLOCK, side="right")) - 1
            end = max(start + 1, min(full, start + LONGEST, len(self)))
            whole = begins[(begins > start) & (begins <= end)]
            end = int(whole[-1]) if whole.size else end
            yield start, end
            start = end

    def with_shots(self, shot: IntArray) -> Footage:
        """The same with known cuts. shot: (F,) id within its video."""
        return replace(self, shot=shot)


def footage(pool: Side, labeled: Side, task_id: IntArray) -> Footage:
    """All frames in order. task_id: (N,) of the pool.

    A frame that is there more than once, as after a second import of a video, belongs to as many copies of the video,
    each with its own boxes: labeled frames to the first ones, then the pool's by task id.
    """
    n, labels = len(pool.number), len(labeled.number)
    number = np.concatenate([pool.number, labeled.number]).astype(np.int64)
    everywhere = np.concatenate([pool.video.astype(np.str_), labeled.video.astype(np.str_)])
    ids, video = np.unique(everywhere, return_inverse=True)
    place = np.concatenate([task_id, np.arange(labels)])
    order = np.lexsort((place, np.arange(n + labels) < n, number, video))
    same = (np.diff(video[order]) == 0) & (np.diff(number[order]) == 0)
    nth = _since(np.concatenate([[True], ~same]) if len(order) else np.empty(0, dtype=bool))
    copies = int(nth.max(initial=0)) + 1
    key = video[order] * copies + nth
    again = np.lexsort((number[order], key))
    row = order[again]
    known, code = np.unique(key[again], return_inverse=True)
    names = [f"{ids[one // copies]}{f' (copy {one % copies + 1})' if one % copies else ''}" for one in known.tolist()]
    at = np.empty(n + labels, dtype=np.int64)
    at[row] = np.arange(n + labels)
    frame = at[np.concatenate([pool.item, labeled.item + n])]
    return Footage(
        sides=(pool, labeled),
        names=np.array(names, dtype=np.str_),
        row=row,
        video=code,
        number=number[row],
        shot=np.zeros(n + labels, dtype=np.int64),
        size=np.concatenate([pool.size, labeled.size])[row],
        box_row=np.argsort(frame, kind="stable"),
        starts=np.concatenate([[0], np.cumsum(np.bincount(frame, minlength=n + labels))]),
    )


def _since(first: NDArray[np.bool_]) -> IntArray:
    """(n,) how many places ago a group began.

    >>> _since(np.array([True, False, False, True])).tolist()
    [0, 1, 2, 0]
    """
    places = np.arange(len(first))
    return np.asarray(places - np.maximum.accumulate(np.where(first, places, 0)) if len(first) else places)
