"""The calibrated expectation: how likely each box is right, by its score and by how the frames around bear it out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import scipy.special
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.candidates import Candidates
from plugins.video.clip import Clip
from plugins.video.features import features
from plugins.video.grouping import totals
from plugins.video.linking import Links
from plugins.video.logistic import fit
from plugins.video.ranks import ScoreRanks

# Prior of the coefficients, in the order of features.NAMES: from sequences that the benchmark does not test on.
WITH_LINKS = np.array([-1.6, 0.4, 2.9, 0.2, -1.5, -3.0, -4.0])
SCORE_ALONE = np.array([0.0, 0.8, 0.0, 0.0, -1.5, -3.0, 0.0])
DEVIATION = np.array([1.0, 0.3, 1.5, 0.3, 2.0, 3.0, 2.0])
LOWEST_SUPPORT = (
    0.4  # of the better half of a video's boxes; below, objects move too far between frames for links to tell
)
ENOUGH = 10  # better boxes, from which that is concluded
SURROUNDINGS = 5  # times k frames on either side, with which a frame's number of objects is compared
DEFICIT = 0.5  # of the objects that a frame has fewer than its surroundings, the share that is counted as missed


@dataclass(frozen=True)
class Calibration:
    """Ranks of scores, and coefficients (7,) for frames with links and for those judged by score alone."""

    ranks: ScoreRanks
    coefficients: FloatArray = field(default_factory=WITH_LINKS.copy)
    score_alone: FloatArray = field(default_factory=SCORE_ALONE.copy)


@dataclass(frozen=True)
class Beliefs:
    """What calibrated mode believes about a clip, in the clip's order.

    right: (K,) probability that a box is right. miss: (M,) probability that a candidate is a missed object.
    false_positives, false_negatives: (F,) expected. by_score: (F,) frames judged by score alone. design:
    (K, 7).
    """

    right: FloatArray
    miss: FloatArray
    false_positives: FloatArray
    false_negatives: FloatArray
    by_score: NDArray[np.bool_]
    design: FloatArray


def unsupported(
    clip: Clip, video: IntArray, z: FloatArray, support: FloatArray, slow: bool | None = None
) -> NDArray[np.bool_]:
    """(F,) frames of which links say nothing: those without a neighbour, and those of videos that are too slow.

    video: (F,) index of each frame's video. slow: whether all are, or None: those with ENOUGH or more better boxes
    (z >= 0) whose mean support is below LOWEST_SUPPORT.
    """
    there = (clip.neighbours >= 0).sum(axis=1)
    if slow is not None:
        return np.asarray((there == 0) | slow)
    count, of = int(video.max(initial=-1)) + 1, video[clip.frame]
    better = ((there[clip.frame] > 0) & (z >= 0)).astype(np.float64)
    total, number = totals(of, better * support, count), totals(of, better, count)
    too_slow = (number >= ENOUGH) & (total < LOWEST_SUPPORT * number)
    return np.asarray(too_slow[video] | (there == 0))


def believe(
    clip: Clip,
    links: Links,
    candidates: Candidates,
    shown: NDArray[np.bool_],
    video: IntArray,
    known: Calibration,
    slow: bool | None = None,
) -> Beliefs:
    """P(right) = sigmoid(b . features), and per frame the sums of what follows from it.

    shown: (K,) boxes that are displayed; the others are evidence. E[FP] = sum over shown boxes of 1 - P. E[FN] = sum
    over hidden boxes of P + sum over candidates of u + DEFICIT * (mean number of objects within 5k frames - number
    here), at least 0, where u = sum of P over a candidate's detections / number of neighbour frames.
    """
    z = known.ranks.logits(clip.score, clip.label)
    design = features(clip, links, z)
    by_score = unsupported(clip, video, z, design[:, 2], slow)
    trusted = design @ known.coefficients
    alone = design @ known.score_alone
    right = scipy.special.expit(np.where(by_score[clip.frame], alone, trusted))
    miss = vouched(clip, candidates, right)
    f = len(clip.run)
    false_positives = totals(clip.frame[shown], 1 - right[shown], f)
    hidden = totals(clip.frame[~shown], right[~shown], f)
    objects = totals(clip.frame, right, f)
    deficit = around(objects, clip.run, SURROUNDINGS * clip.k) - objects
    coherent = totals(candidates.frame, miss, f) + DEFICIT * deficit
    missed = np.maximum(hidden + np.where(by_score, 0, coherent), 0)
    return Beliefs(right, miss, false_positives, missed, by_score, design)


def vouched(clip: Clip, candidates: Candidates, right: FloatArray) -> FloatArray:
    """(M,) sum of P(right) of the detections that a candidate comes from, per neighbour frame of its own; at most 1."""
    total = totals(candidates.candidate, right[candidates.source], len(candidates))
    there = (clip.neighbours >= 0).sum(axis=1)[candidates.frame]
    return np.asarray(np.minimum(total / np.maximum(there, 1), 1))


def around(values: FloatArray, run: IntArray, reach: int) -> FloatArray:
    """(F,) mean of (F,) values over the frames of the same run within `reach` places, the frame itself included.

    >>> around(np.array([0.0, 3.0, 6.0, 5.0]), np.array([0, 0, 0, 1]), 1).tolist()
    [1.5, 3.0, 4.5, 5.0]
    """
    frames = np.arange(len(values))
    first, last = np.searchsorted(run, run), np.searchsorted(run, run, side="right")
    low, high = np.maximum(frames - reach, first), np.minimum(frames + reach + 1, last)
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray((total[high] - total[low]) / np.maximum(high - low, 1))


def learned(known: Calibration, design: FloatArray, wrong: FloatArray, by_score: NDArray[np.bool_]) -> Calibration:
    """The calibration after people judged boxes: MAP of both sets of coefficients, each from the videos it is for.

    design: (K, 7). wrong: (K,) 1, 0, or NaN where nobody said. by_score: (K,) boxes judged by score alone;
    there labels may also bring the links back.
    """
    said, y = ~np.isnan(wrong), 1 - wrong
    linked, alone = said & ~by_score, said & by_score
    return replace(
        known,
        coefficients=fit(design[linked], y[linked], known.coefficients, DEVIATION),
        score_alone=fit(design[alone], y[alone], known.score_alone, DEVIATION),
    )
