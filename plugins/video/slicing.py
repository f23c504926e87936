"""Parts of detections: some of their frames, several parts as one, and the share of an estimate that is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from plugins.contract import IntArray
from plugins.video.detections import Detections, Frames
from plugins.video.frame_errors import FrameErrors


def taken(detections: Detections, frames: IntArray) -> Detections:
    """Only the frames at these positions, in this order, and their boxes in the order they had."""
    place = np.full(len(detections.frames), -1)
    place[frames] = np.arange(len(frames))
    boxes = np.flatnonzero(place[detections.frame] >= 0)
    known, p = detections.frames, detections.probabilities
    video, shot, size = (np.asarray(column) for column in (known.video, known.shot, known.size))
    return Detections(
        Frames(known.number[frames], video[frames], shot[frames], size[frames]),
        place[detections.frame[boxes]],
        detections.box[boxes],
        detections.score[boxes],
        detections.label[boxes],
        None if p is None else p[boxes],
    )


def joined(parts: Sequence[Detections]) -> Detections:
    """Frames and boxes of all parts, one part after the other; probabilities only if every part has them."""
    start = np.cumsum([0, *(len(part.frames) for part in parts)])
    known = [part.frames for part in parts]
    p = [part.probabilities for part in parts if part.probabilities is not None]
    return Detections(
        Frames(
            np.concatenate([one.number for one in known]),
            *(np.concatenate([np.asarray(getattr(one, name)) for one in known]) for name in ("video", "shot", "size")),
        ),
        np.concatenate([part.frame + first for part, first in zip(parts, start, strict=False)]),
        np.concatenate([part.box for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate(p) if len(p) == len(parts) else None,
    )


def edge(detections: Detections, count: int, first: bool) -> IntArray:
    """Positions of the `count` first frames of each video, or if not `first` the last ones; by number.

    >>> none = np.empty(0, dtype=int)
    >>> frames = Frames(np.array([4, 3, 2, 9]), video=np.array([0, 0, 0, 1]))
    >>> edge(Detections(frames, none, np.empty((0, 4)), np.empty(0), none), 2, first=False).tolist()
    [1, 0, 3]
    """
    video = np.unique(np.asarray(detections.frames.video), return_inverse=True)[1]
    order = np.lexsort((detections.frames.number, video))
    starts = np.searchsorted(video[order], video[order])
    ends = np.searchsorted(video[order], video[order], side="right")
    rank = np.arange(len(order)) - starts if first else ends - 1 - np.arange(len(order))
    return order[rank < count]


def part_of(errors: FrameErrors, frames: slice, boxes: slice) -> FrameErrors:
    """The estimate of some frames and their boxes alone, by positions among these; links to others are left out."""
    links = errors.links - boxes.start
    inside = ((links >= 0) & (links < boxes.stop - boxes.start)).all(axis=1)
    mine = (errors.candidate_frame >= frames.start) & (errors.candidate_frame < frames.stop)
    renumbered = np.cumsum(mine) - 1
    source = errors.sources[:, 1] - boxes.start
    kept = mine[errors.sources[:, 0]] & (source >= 0) & (source < boxes.stop - boxes.start)
    return replace(
        errors,
        false_positives=errors.false_positives[frames],
        false_negatives=errors.false_negatives[frames],
        wrong=errors.wrong[boxes],
        missed=errors.missed[mine],
        links=links[inside],
        linked=errors.linked[boxes],
        neighbours=errors.neighbours[boxes],
        candidate_frame=errors.candidate_frame[mine] - frames.start,
        candidate_box=errors.candidate_box[mine],
        candidate_label=errors.candidate_label[mine],
        sources=np.stack([renumbered[errors.sources[kept, 0]], source[kept]], axis=1),
        judged=errors.judged[boxes],
        by_score=errors.by_score[frames],
    )
