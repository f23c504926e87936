"""What a prediction of a whole video shows where time ranges are asked: runs of sampled frames of one class."""

from __future__ import annotations

from typing import Any

import numpy as np

from ml_backend.loop.video_pool import VideoPool
from ml_backend.loop.video_values import halfway
from ml_backend.store.arrays import Arrays
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.regions.config import TimelineConfig
from ml_backend.studio.regions.frame_rate import check_frame_rate
from ml_backend.studio.regions.timeline import Ranges, timeline_results
from plugins.contract import FloatArray, IntArray
from plugins.evidence import Evidence

RANGE_ARRAYS = ("range_start", "range_from", "range_to", "range_label", "range_score", "range_classes")


def runs_of(label: IntArray, outside: int) -> list[tuple[int, int]]:
    """First and last position of each run of one label; runs of `outside` are left out.

    >>> runs_of(np.array([2, 0, 0, 1, 2, 1]), outside=2)
    [(1, 2), (3, 3), (5, 5)]
    """
    starts = np.flatnonzero(np.diff(label, prepend=-1))
    ends = np.append(starts[1:], len(label)) - 1
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True) if label[a] != outside]


def range_arrays(evidence: Evidence, pool: VideoPool, order: IntArray) -> Arrays:
    """Of a ranking, in its order: the ranges of rank r from range_start[r] on, with the mean probability of each."""
    chance: FloatArray = evidence.probabilities
    best, found, counted = chance.argmax(axis=1), [], [0]
    for video in order.tolist():
        low, high = int(pool.first[video]), int(pool.first[video + 1])
        begins, ends = halfway(pool.number[low:high], int(pool.length[video]))
        label = best[low:high]
        for a, b in runs_of(label, pool.asked):
            score = float(chance[low + a : low + b + 1, label[a]].mean())
            found.append((int(begins[a]), int(ends[b]), int(label[a]), min(1.0, score)))
        counted.append(len(found))
    table = np.array(found, dtype=np.float64).reshape(-1, 4)  # whole numbers far below 2^53 stay whole
    return {
        "range_start": np.array(counted, dtype=np.int64),
        "range_from": table[:, 0].astype(np.int64),
        "range_to": table[:, 1].astype(np.int64),
        "range_label": table[:, 2].astype(np.int64),
        "range_score": table[:, 3],
        "range_classes": np.array(pool.classes[: pool.asked]),
        "fps": pool.fps[order],
        "length": pool.length[order],
    }


def range_result(config: TimelineConfig, arrays: Arrays, rank: int) -> list[dict[str, Any]]:
    """The regions of the prediction for a rank; none without a model, or where its classes or rate are others."""
    if "range_start" not in arrays or tuple(arrays["range_classes"].tolist()) != config.classes:
        return []
    fps = float(arrays["fps"][rank])
    try:
        check_frame_rate(config, fps)
    except ConfigError:
        return []
    rows = slice(int(arrays["range_start"][rank]), int(arrays["range_start"][rank + 1]))
    ranges = Ranges(*(arrays[f"range_{part}"][rows] for part in ("from", "to", "label", "score")))
    return timeline_results(config, ranges, fps=fps, frames=int(arrays["length"][rank]))
