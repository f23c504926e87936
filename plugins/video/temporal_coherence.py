"""Temporal coherence: boxes of a frame that are wrong or missing, by how detections agree over time (thesis ch. 2).

`calibrated` weighs scores and links into probabilities; `thesis` is the binary cut of the paper. Both see detections
alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.calibrated import Calibration, believe, learned
from plugins.video.candidates import find_candidates
from plugins.video.clip import Clip, sorted_clip
from plugins.video.detections import Detections
from plugins.video.frame_errors import Found, FrameErrors, Mode, as_given
from plugins.video.graph_cut import Solver, best_labels
from plugins.video.grouping import totals
from plugins.video.linking import link
from plugins.video.nearby import smoothed
from plugins.video.ranks import ScoreRanks
from plugins.video.tracker import Tracker
from plugins.video.verdicts import Verdicts


def estimate_errors(
    detections: Detections,
    tracked: FloatArray | Tracker[Any],
    *,
    mode: Mode = "calibrated",
    k: int = 3,
    iou: float = 0.5,
    cluster_iou: float = 0.75,
    stride: int | None = None,
    shown: NDArray[np.bool_] | None = None,
    verdicts: Verdicts | None = None,
    calibration: Calibration | None = None,
    slow: bool | None = None,
    pairwise: int = 1,
    ties: bool = True,
    solver: Solver | None = None,
) -> FrameErrors:
    """Errors of every frame.

    tracked: a tracker, or its answer (K, 2k, 4) for these detections as given: boxes in the k frames before and after
    (in the order -k, ..., -1, 1, ..., k), NaN where there is no such frame. stride: usual step between frame numbers;
    each video's median if None. shown: (K,) boxes that are displayed and can be wrong, all if None; keep the low scores
    too, calibrated mode uses them. verdicts: what people found on the frames they labeled. calibration: of an earlier
    call; its ranks are used, and its coefficients are the prior of new verdicts. slow: whether frames lie too far apart
    in time for links to tell, so that scores alone do; if None each video shows it. pairwise, ties, solver: thesis
    mode, as in `best_labels`; 2 is the effective weight of the published code, and ties True means that what could be
    either is an object.
    """
    if mode not in ("calibrated", "thesis"):
        raise ValueError(f"Unknown mode '{mode}'. Available: calibrated, thesis.")
    judged = ~detections.dropped
    if shown is not None:
        if np.shape(shown) != (len(detections),):
            raise ValueError(
                f"`shown` has shape {np.shape(shown)} for {len(detections)} boxes; give one truth value each."
            )
        judged &= np.asarray(shown, dtype=bool)
    clip = sorted_clip(detections, k, stride, judged if mode == "thesis" else None)
    moved = tracked.track(clip) if isinstance(tracked, Tracker) else _rows_of(tracked, clip, len(detections))
    links = link(clip, moved, iou, same_class=mode == "thesis")  # classes may flicker where they are a feature
    found = Found(clip, links, find_candidates(clip, moved, links, cluster_iou))
    if mode == "thesis":
        return _thesis(detections, found, judged, best_cut(found, pairwise, ties, solver))
    known = calibration or Calibration(ScoreRanks.of([(clip.score, clip.label)]))
    return _calibrated(detections, found, judged, verdicts, known, slow)


def best_cut(found: Found, pairwise: int, ties: bool, solver: Solver | None) -> tuple[FloatArray, FloatArray]:
    """(K,) 1 for FP, 0 for TP and (M,) 1 for FN, 0 for TN: the binary labelling of thesis Eq. 2.1-2.4.

    x = 1 says "an object is there": it costs a candidate 1, x = 0 costs a detection 1, and links whose ends disagree
    cost `pairwise`.
    """
    k, m = len(found.clip), len(found.candidates)
    wants = np.arange(k + m) < k
    a = np.concatenate([found.links.earlier, found.candidates.candidate + k])
    b = np.concatenate([found.links.later, found.candidates.source])
    there = best_labels(wants, a, b, pairwise, ties, solver)
    return (~there[:k]).astype(np.float64), there[k:].astype(np.float64)


def _thesis(
    detections: Detections, found: Found, judged: NDArray[np.bool_], labels: tuple[FloatArray, FloatArray]
) -> FrameErrors:
    wrong, missed = labels
    f = len(found.clip.run)
    counts = totals(found.clip.frame, wrong, f), totals(found.candidates.frame, missed, f)
    return as_given(detections, found, judged, "thesis", counts, (wrong, missed), np.zeros(f, dtype=bool), None, ())


def _calibrated(
    detections: Detections,
    found: Found,
    judged: NDArray[np.bool_],
    verdicts: Verdicts | None,
    known: Calibration,
    slow: bool | None,
) -> FrameErrors:
    clip = found.clip
    video = np.unique(np.asarray(detections.frames.video), return_inverse=True)[1][clip.frame_rows]
    shown = judged[clip.box_rows]
    beliefs = believe(clip, found.links, found.candidates, shown, video, known, slow)
    false, missed = beliefs.false_positives, beliefs.false_negatives
    if verdicts is not None:
        _check(verdicts, detections)
        known = learned(known, beliefs.design, verdicts.wrong[clip.box_rows], beliefs.by_score[clip.frame])
        beliefs = believe(clip, found.links, found.candidates, shown, video, known, slow)
        false = _beside(clip, beliefs.false_positives, verdicts.false_positives)
        missed = _beside(clip, beliefs.false_negatives, verdicts.missed)
    return as_given(
        detections,
        found,
        judged,
        "calibrated",
        (false, missed),
        (1 - beliefs.right, beliefs.miss),
        beliefs.by_score,
        known,
        by_scores_alone(video, beliefs.by_score),
    )


def _beside(clip: Clip, expected: FloatArray, counted: FloatArray) -> FloatArray:
    """(F,) expected plus what labeled frames nearby had more; at least 0. counted: (F,) in the caller's order."""
    surplus = counted[clip.frame_rows] - expected
    return np.asarray(np.maximum(expected + smoothed(clip.run, clip.number / clip.stride, surplus), 0))


def _check(verdicts: Verdicts, detections: Detections) -> None:
    f, k = len(detections.frames), len(detections)
    for name, length in (("wrong", k), ("false_positives", f), ("missed", f)):
        found = getattr(verdicts, name).shape
        if found != (length,):
            raise ValueError(f"Verdicts have `{name}` of shape {found}; these detections need {(length,)}.")


def _rows_of(tracked: FloatArray, clip: Clip, k: int) -> FloatArray:
    if tracked.shape != (k, 2 * clip.k, 4):
        raise ValueError(
            f"Tracked boxes have shape {tracked.shape}; {k} boxes and k = {clip.k} need {(k, 2 * clip.k, 4)}."
        )
    return np.asarray(tracked[clip.box_rows], dtype=np.float64)


def by_scores_alone(video: IntArray, by_score: NDArray[np.bool_]) -> tuple[str, ...]:
    """The note on (F,) frames that are judged by score alone. video: (F,) index of each frame's video."""
    if not by_score.any():
        return ()
    count, those, videos = int(by_score.sum()), len(np.unique(video[by_score])), len(np.unique(video))
    return (
        f"{count} frames in {those} of {videos} videos are judged by scores alone: the frames around say too little.",
    )
