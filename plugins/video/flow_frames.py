"""Flow of the frames that a reader gives, computed where it is needed and kept for all cycles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plugins.contract import IntArray
from plugins.video.flow_fields import FlowFields, FlowMethod, grid_of, step_of
from plugins.video.frame_cache import FrameCache, digest
from plugins.video.frame_source import FrameReader, Image


def needed_steps(low: IntArray, high: IntArray, count: int) -> NDArray[np.bool_]:
    """(count - 1,) which steps from a place to the next lie in one of the intervals from low to high.

    >>> needed_steps(np.array([0, 3]), np.array([1, 4]), 6).tolist()
    [True, False, False, True, False]
    """
    ends = np.bincount(low, minlength=count) - np.bincount(high, minlength=count)
    return np.asarray(np.cumsum(ends)[:-1] > 0)


def flow_of(
    reader: FrameReader, numbers: IntArray, needed: NDArray[np.bool_], method: FlowMethod, kept: FrameCache
) -> FlowFields:
    """Flow between consecutive frames, of the needed steps alone; the others are 0.

    numbers: (T,) frames of the reader, ascending. needed: (T - 1,). Steps that are not in `kept` are computed, one
    frame in memory after the other, and put there.
    """
    names = [reader.content(number) for number in numbers.tolist()]
    keys = [digest(method.key, a, b) for a, b in pairwise(names)]
    first = reader.read(int(numbers[0]))

    def read(at: int) -> Image:
        return method.prepared(reader.read(int(numbers[at]), least=method.height))

    prepared = read(0)
    missing = [at for at in np.flatnonzero(needed).tolist() if keys[at] not in kept]
    known: tuple[int, Image] | None = (0, prepared)
    new = []
    for at in missing:
        last = known[1] if known is not None and known[0] == at else read(at)
        now = read(at + 1)
        new.append(step_of(method, last, now, int(numbers[at + 1])))
        known = (at + 1, now)
    if new:
        kept.put([keys[at] for at in missing], np.stack(new))
    shape = grid_of(prepared)
    motion = np.zeros((len(keys), *shape, 2), dtype=np.float16)
    for at in np.flatnonzero(needed).tolist():
        motion[at] = kept.get(keys[at])
    size = np.array(first.shape[1::-1], dtype=np.float64)
    scale = prepared.shape[0] / first.shape[0]
    return FlowFields(numbers, motion, size / np.array(shape[::-1]), scale, prepared)
