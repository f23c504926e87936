"""Expected errors of all frames, stretch by stretch: memory is that of a stretch, whatever the number of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.calibrated import SURROUNDINGS, Calibration, learned, unsupported
from plugins.video.clip import sorted_clip
from plugins.video.detections import Detections, Frames
from plugins.video.features import features
from plugins.video.footage import Footage
from plugins.video.frame_errors import FrameErrors, Mode
from plugins.video.linking import link
from plugins.video.nearby import smoothed
from plugins.video.ranks import ScoreRanks
from plugins.video.temporal_coherence import estimate_errors
from plugins.video.tracker import Tracker
from plugins.video.verdicts import Verdicts, compare


@dataclass(frozen=True, eq=False)
class Judge:
    """How errors are estimated: the settings of `estimate_errors`."""

    tracker: Tracker[Any]
    mode: Mode = "calibrated"
    k: int = 3
    iou: float = 0.5
    cluster_iou: float = 0.75
    pairwise: int = 1

    @property
    def reach(self) -> int:
        """Frames on either side that a frame's expectation depends on."""
        return (SURROUNDINGS + 1) * self.k + self.tracker.reach

    def errors(
        self,
        detections: Detections,
        shown: NDArray[np.bool_],
        calibration: Calibration | None,
        slow: bool | None = None,
    ) -> FrameErrors:
        return estimate_errors(
            detections,
            self.tracker,
            mode=self.mode,
            k=self.k,
            iou=self.iou,
            cluster_iou=self.cluster_iou,
            shown=shown,
            calibration=calibration,
            slow=slow,
            pairwise=self.pairwise,
        )


@dataclass(frozen=True, eq=False)
class Expected:
    """false_positives, false_negatives, by_score: (F,) of sorted frames. dropped: boxes that were left out."""

    false_positives: FloatArray
    false_negatives: FloatArray
    by_score: NDArray[np.bool_]
    calibration: Calibration | None
    dropped: int


def verdicts_on(
    film: Footage, frame: IntArray, box: FloatArray, label: IntArray, believed: NDArray[np.bool_]
) -> Verdicts:
    """What people found on labeled frames. frame: (B,) position among these; box: (B, 4); label: (B,).

    believed: (L,) those whose errors tell something of others; the rest are as if nobody had labeled them.
    """
    side = film.sides[1]
    each = np.arange(len(side.number))
    detections = Detections(Frames(each, each, size=side.size), side.item, side.box, side.score, side.label)
    frame, mine = frame.astype(np.int64), believed[frame.astype(np.int64)]
    return compare(detections, believed, frame[mine], box.astype(np.float64)[mine], label[mine], side.shown)


def expected_errors(film: Footage, judge: Judge, verdicts: Verdicts | None) -> Expected:
    """The errors of every frame, pool and labeled.

    verdicts: on the labeled frames, in their own order; None where there is none. In calibrated mode the coefficients
    are fitted to them, and what labeled frames had more or fewer errors than expected is carried to those around.
    """
    calibration = None if judge.mode == "thesis" else _calibration(film, judge, verdicts)
    counts: FloatArray = np.zeros((2, len(film)))
    by_score, dropped = np.zeros(len(film), dtype=bool), 0
    for start, end in film.stretches():
        low, high = film.around(start, end, judge.reach)
        detections = film.detections(low, high)
        errors = judge.errors(detections, film.shown(low, high), calibration)
        mine = slice(start - low, end - low)
        counts[0, start:end], counts[1, start:end] = errors.false_positives[mine], errors.false_negatives[mine]
        by_score[start:end] = errors.by_score[mine]
        core = slice(film.starts[start] - film.starts[low], film.starts[end] - film.starts[low])
        dropped += int(detections.dropped[core].sum())
    if verdicts is not None and calibration is not None:
        counts = _beside(film, counts, verdicts)
    return Expected(counts[0], counts[1], by_score, calibration, dropped)


def _calibration(film: Footage, judge: Judge, verdicts: Verdicts | None) -> Calibration:
    """Ranks of all scores, and coefficients that follow the verdicts."""
    known = Calibration(ScoreRanks.of(_scores(film)))
    if verdicts is None:
        return known
    designs, wrongs, alone, labeled = [], [], [], film.labeled
    for start, end in film.stretches():
        if not labeled[start:end].any():
            continue
        low, high = film.around(start, end, judge.k + judge.tracker.reach)
        detections = film.detections(low, high)
        clip = sorted_clip(detections, judge.k)
        links = link(clip, judge.tracker.track(clip), judge.iou, same_class=False)
        z = known.ranks.logits(clip.score, clip.label)
        design = features(clip, links, z)
        by_score = unsupported(clip, np.unique(clip.video, return_inverse=True)[1], z, design[:, 2])
        row = film.boxes(low, high)[clip.box_rows] - len(film.sides[0].score)
        frame = clip.frame_rows[clip.frame] + low
        said = np.flatnonzero((row >= 0) & (frame >= start) & (frame < end))
        designs.append(design[said])
        wrongs.append(verdicts.wrong[row[said]])
        alone.append(by_score[clip.frame[said]])
    if not designs:
        return known
    return learned(known, np.concatenate(designs), np.concatenate(wrongs), np.concatenate(alone))


def _scores(film: Footage) -> Iterator[tuple[FloatArray, IntArray]]:
    """Scores and labels of the boxes that are looked at."""
    for start, end in film.stretches():
        detections = film.detections(start, end)
        yield detections.score[~detections.dropped], detections.label[~detections.dropped]


def _beside(film: Footage, counts: FloatArray, verdicts: Verdicts) -> FloatArray:
    """(2, F) expectations plus what labeled frames nearby had more; at least 0."""
    found = np.full((2, len(film)), np.nan)
    mine = np.flatnonzero(film.labeled)
    there = film.row[mine] - film.pool
    found[0, mine], found[1, mine] = verdicts.false_positives[there], verdicts.missed[there]
    run, time = film.run, film.time
    corrected = [np.maximum(row + smoothed(run, time, seen - row), 0) for row, seen in zip(counts, found, strict=True)]
    return np.stack(corrected)


def errors_at(film: Footage, judge: Judge, known: Expected, place: int) -> tuple[FrameErrors, Detections, int]:
    """Boxes, links and candidates of one sorted frame, made anew from the frames around it, and its place in them."""
    margin = judge.reach if judge.mode == "thesis" else 2 * judge.k + judge.tracker.reach
    low, high = film.around(place, place + 1, margin)
    detections = film.detections(low, high)
    errors = judge.errors(detections, film.shown(low, high), known.calibration, bool(known.by_score[place]))
    errors = replace(
        errors,
        false_positives=known.false_positives[low:high],
        false_negatives=known.false_negatives[low:high],
    )
    return errors, detections, place - low
