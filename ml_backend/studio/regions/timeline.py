"""Ranges of frames of one video: what an annotation holds, and what a prediction writes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_backend.studio.regions.config import TimelineConfig
from ml_backend.studio.regions.frame_rate import MOST_FRAMES, check_frame_rate, checked_frames
from ml_backend.studio.regions.geometry import FloatArray
from ml_backend.studio.regions.labeled import checked_labels, checked_scores
from ml_backend.studio.regions.reading import Json, Region, RegionError, frame_number, regions_of

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ranges:
    """start, end: (K,) first and last frame, both within; frame 1 is the first. label: (K,) positions in the classes.

    score: (K,) confidences, or None.
    """

    start: IntArray
    end: IntArray
    label: IntArray
    score: FloatArray | None = None


def ranges_of(annotation: Json, config: TimelineConfig) -> Ranges:
    """The ranges of an annotation, by start; those of one class that overlap or touch are one. Raises RegionError."""
    rows = [
        (*_ends(region, span), region.label) for region in regions_of(annotation, config) for span in _spans(region)
    ]
    start, end, label = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return merged(Ranges(start, end, label))


def _spans(region: Region) -> list[Json]:
    spans = region.value.get("ranges")
    if not isinstance(spans, list) or not spans or not all(isinstance(span, dict) for span in spans):
        raise RegionError(
            "malformed_region", f"{region.who} has no list of ranges; delete the region and mark it again."
        )
    return spans


def _ends(region: Region, span: Json) -> tuple[int, int]:
    start = frame_number(region, span.get("start"), "start", 1, MOST_FRAMES)
    return start, frame_number(region, span.get("end"), "end", start, MOST_FRAMES)


def merged(ranges: Ranges) -> Ranges:
    """The same frames in as few ranges as possible, by start. A merged score is the mean of its parts by frames.

    >>> one = merged(Ranges(np.array([1, 5, 9]), np.array([4, 6, 9]), np.array([0, 0, 0])))
    >>> one.start.tolist(), one.end.tolist()
    ([1, 9], [6, 9])
    """
    if not len(ranges.start):
        return ranges
    order = np.lexsort((ranges.end, ranges.start, ranges.label))
    start, end, label = ranges.start[order], ranges.end[order], ranges.label[order]
    reach = np.concatenate([np.maximum.accumulate(end[label == each]) for each in np.unique(label)])
    first = np.flatnonzero(np.concatenate([[True], (start[1:] > reach[:-1] + 1) | (label[1:] != label[:-1])]))
    score = None
    if ranges.score is not None:
        weight = (end - start + 1).astype(np.float64)
        score = np.add.reduceat(ranges.score[order] * weight, first) / np.add.reduceat(weight, first)
        score = np.clip(score, 0.0, 1.0)
    joined = Ranges(start[first], np.maximum.reduceat(end, first), label[first], score)
    return _by_start(joined)


def _by_start(ranges: Ranges) -> Ranges:
    order = np.lexsort((ranges.label, ranges.start))
    score = None if ranges.score is None else ranges.score[order]
    return Ranges(ranges.start[order], ranges.end[order], ranges.label[order], score)


def timeline_results(config: TimelineConfig, ranges: Ranges, *, fps: float, frames: int) -> list[Json]:
    """The `result` of a prediction: one region per range, after ranges of a class that touch were merged.

    fps: of the video, as Label Studio counts it. frames: how many it has. One range per region, since the editor
    replaces all ranges of a region when a person drags one of them.

    >>> config = TimelineConfig("what", "video", "video", ("Rain",), "25")
    >>> span = Ranges(np.array([10]), np.array([60]), np.array([0]))
    >>> timeline_results(config, span, fps=25, frames=100)[0]["value"]
    {'ranges': [{'start': 10, 'end': 60}], 'timelinelabels': ['Rain']}
    """
    check_frame_rate(config, fps)
    joined = merged(_checked(ranges, config, checked_frames(frames)))
    results = []
    for row, (start, end) in enumerate(zip(joined.start.tolist(), joined.end.tolist(), strict=True)):
        name = config.classes[joined.label[row]]
        result: Json = {
            "id": hashlib.blake2b(f"{name}#{start}#{end}".encode(), digest_size=6).hexdigest(),
            "from_name": config.from_name,
            "to_name": config.to_name,
            "type": config.region_type,
            "value": {"ranges": [{"start": start, "end": end}], config.label_key: [name]},
        }
        if joined.score is not None:
            result["score"] = float(joined.score[row])
        results.append(result)
    return results


def _checked(ranges: Ranges, config: TimelineConfig, frames: int) -> Ranges:
    start, end = np.asarray(ranges.start), np.asarray(ranges.end)
    if start.ndim != 1 or start.shape != end.shape:
        raise ValueError(f"The ranges have {start.shape} starts and {end.shape} ends; give (K,) of both.")
    if len(start) and not (np.issubdtype(start.dtype, np.integer) and np.issubdtype(end.dtype, np.integer)):
        raise ValueError(f"The ranges are {start.dtype} and {end.dtype}; give whole frame numbers.")
    wrong = (start < 1) | (end < start) | (end > frames)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"A range goes from frame {start[row]} to {end[row]}; it must lie within 1 and {frames}, start first."
        )
    label = checked_labels("the ranges", ranges.label, config, len(start))
    score = checked_scores("the ranges", ranges.score, len(start))
    return Ranges(start.astype(np.int64), end.astype(np.int64), label, score)
