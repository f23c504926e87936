"""Estimated errors of frames, boxes and candidates, in the caller's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.calibrated import Calibration
from plugins.video.candidates import Candidates
from plugins.video.clip import Clip
from plugins.video.detections import Detections
from plugins.video.linking import Links

Mode = Literal["calibrated", "thesis"]


@dataclass(frozen=True)
class FrameErrors:
    """Estimated errors of F frames, K boxes and M candidates, rows as the caller gave them.

    false_positives, false_negatives: (F,) expected number in calibrated mode, number of labels in thesis mode. wrong:
    (K,) probability (calibrated) or label 0 / 1 (thesis) that a box is no object; NaN for boxes that were left out.
    missed: (M,) the same that a candidate is a missed object. links: (P, 2) boxes of one object, earlier and later.
    linked, neighbours: (K,) neighbour frames with a counterpart, and all there are. candidate_frame (M,), candidate_box
    (M, 4), candidate_label (M,); sources (S, 2): candidate and a box it comes from. judged: (K,) boxes that count, i.e.
    shown and not left out. by_score: (F,) frames judged by score alone. calibration: what calibrated mode used, to be
    used again.
    """

    mode: Mode
    k: int
    false_positives: FloatArray
    false_negatives: FloatArray
    wrong: FloatArray
    missed: FloatArray
    links: IntArray
    linked: IntArray
    neighbours: IntArray
    candidate_frame: IntArray
    candidate_box: FloatArray
    candidate_label: IntArray
    sources: IntArray
    judged: NDArray[np.bool_]
    by_score: NDArray[np.bool_]
    calibration: Calibration | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What both modes work on."""

    clip: Clip
    links: Links
    candidates: Candidates


def as_given(
    detections: Detections,
    found: Found,
    judged: NDArray[np.bool_],
    mode: Mode,
    counts: tuple[FloatArray, FloatArray],
    labels: tuple[FloatArray, FloatArray],
    by_score: NDArray[np.bool_],
    calibration: Calibration | None,
    notes: tuple[str, ...],
) -> FrameErrors:
    """From the clip's order to the caller's."""
    clip, links, candidates = found.clip, found.links, found.candidates
    f, k = len(clip.run), len(detections)
    per_frame = np.zeros((2, f))
    per_frame[:, clip.frame_rows] = counts
    alone = np.zeros(f, dtype=bool)
    alone[clip.frame_rows] = by_score
    wrong = np.full(k, np.nan)
    wrong[clip.box_rows] = labels[0]
    linked, there = np.zeros((2, k), dtype=np.int64)
    dropped = int(detections.dropped.sum())
    if dropped:
        notes = (*notes, f"{dropped} of {k} boxes have no area inside their image and were left out.")
    linked[clip.box_rows] = links.linked.sum(axis=1)
    there[clip.box_rows] = (clip.neighbours >= 0).sum(axis=1)[clip.frame]
    return FrameErrors(
        mode=mode,
        k=clip.k,
        false_positives=per_frame[0],
        false_negatives=per_frame[1],
        wrong=wrong,
        missed=labels[1],
        links=np.stack([clip.box_rows[links.earlier], clip.box_rows[links.later]], axis=1),
        linked=linked,
        neighbours=there,
        candidate_frame=clip.frame_rows[candidates.frame],
        candidate_box=candidates.box,
        candidate_label=candidates.label,
        sources=np.stack([candidates.candidate, clip.box_rows[candidates.source]], axis=1),
        judged=judged,
        by_score=alone,
        calibration=calibration,
        notes=notes,
    )
