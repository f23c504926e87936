"""The parts of the calibrated expectation: fit, verdicts, and what labeled frames say of those around."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plugins.video.detections import Detections, Frames
from plugins.video.logistic import fit
from plugins.video.nearby import MEMORY, NOISE, smoothed
from plugins.video.verdicts import compare
from tests.plugins.video_reference import iou, random_video


@pytest.mark.parametrize("rare", [False, True])
def test_the_fit_is_the_minimum_that_a_general_optimiser_finds(rare: bool) -> None:
    rng = np.random.default_rng(0)
    design = np.c_[np.ones(300), 3 * rng.normal(size=(300, 3))]
    right = (
        np.zeros(300) if rare else (rng.random(300) < 1 / (1 + np.exp(-design @ [0.5, 1.0, -1.0, 0.0]))).astype(float)
    )
    mean, deviation = np.array([2.0, 0.5, 0.0, 1.0]), np.array([1.0, 0.3, 2.0, 100.0])

    def loss(b: Any) -> float:
        m = design @ b
        return float(np.sum(np.logaddexp(0, m) - right * m) + np.sum(((b - mean) / deviation) ** 2) / 2)

    expected = scipy.optimize.minimize(loss, mean, method="BFGS", options={"gtol": 1e-8}).x
    found = fit(design, right, mean, deviation)
    assert loss(found) <= loss(expected) + 1e-9
    assert found == pytest.approx(expected, abs=1e-3)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
@example(3956, 0.0625)  # one known frame
@settings(max_examples=40, deadline=None)
def test_what_lasts_is_the_posterior_of_a_dense_gaussian_process(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    run = np.repeat([0, 1, 2], [20, 1, 15])
    time = np.concatenate([np.cumsum(rng.integers(1, 9, n)) for n in (20, 1, 15)]).astype(float)
    surplus = np.where(rng.random(36) < share, rng.normal(size=36), np.nan)
    known = ~np.isnan(surplus)
    covariance = np.exp(-np.abs(time[:, None] - time) / MEMORY) * (run[:, None] == run)
    expected = covariance[:, known] @ np.linalg.solve(
        covariance[np.ix_(known, known)] + NOISE * np.eye(int(known.sum())), surplus[known]
    )
    assert smoothed(run, time, surplus) == pytest.approx(expected, abs=1e-9)


def literal_verdicts(d: Detections, rows: list[int], true: list[tuple[int, Any, int]]) -> tuple[dict[int, float], Any]:
    """The best of all one-to-one matchings, frame by frame."""
    wrong, missed = dict.fromkeys(rows, 1.0), np.zeros(len(d.frames))
    for f in range(len(d.frames)):
        mine = [i for i in rows if d.frame[i] == f]
        real = [(box, label) for g, box, label in true if g == f]
        size = min(len(mine), len(real))
        best: tuple[Any, Any] = ((), ())
        most = -1.0
        for some in itertools.permutations(mine, size):
            for others in itertools.combinations(range(len(real)), size):
                shared = [_matched(d, i, *real[j]) for i, j in zip(some, others, strict=True)]
                if sum(shared) > most + 1e-12:
                    best, most = (some, others), sum(shared)
        hits = [i for i, j in zip(*best, strict=True) if _matched(d, i, *real[j]) > 0]
        missed[f] = len(real) - len(hits)
        wrong |= dict.fromkeys(hits, 0.0)
    return wrong, missed


def _matched(d: Detections, i: int, box: Any, label: int) -> float:
    shared = iou(tuple(d.box[i].tolist()), tuple(box.tolist()))
    return shared if shared >= 0.5 and d.label[i] == label else 0.0


def test_verdicts_are_the_literal_matching() -> None:
    for seed in range(6):
        detections = random_video(seed, 8, objects=2, clutter=0.4)
        truth = random_video(seed + 100, 8, objects=1, clutter=0.2)
        near = np.flatnonzero(np.arange(len(detections)) % 2 == 0)  # some of the boxes, moved a little
        frame = np.concatenate([detections.frame[near], truth.frame])
        box = np.concatenate([detections.box[near] + 2.0, truth.box])
        label = np.concatenate([detections.label[near], truth.label])
        labeled = np.arange(8) != 3
        on = labeled[frame]
        shown = detections.score > 0.4
        found = compare(detections, labeled, frame[on], box[on], label[on], shown)
        true = list(zip(frame[on].tolist(), box[on], label[on].tolist(), strict=True))
        usable = [i for i in range(len(detections)) if not detections.dropped[i] and detections.frame[i] != 3]
        wrong, _ = literal_verdicts(detections, usable, true)
        among, missed = literal_verdicts(detections, [i for i in usable if shown[i]], true)
        for i in range(len(detections)):
            assert found.wrong[i] == pytest.approx(wrong.get(i, np.nan), nan_ok=True)
        for f in range(8):
            count = sum(value for i, value in among.items() if detections.frame[i] == f)
            assert found.false_positives[f] == pytest.approx(count if labeled[f] else np.nan, nan_ok=True)
            assert found.missed[f] == pytest.approx(missed[f] if labeled[f] else np.nan, nan_ok=True)


def test_verdicts_that_do_not_fit_are_refused() -> None:
    box = np.array([[0.0, 0.0, 9.0, 9.0]])
    one = Detections(Frames(np.arange(2)), np.array([0]), box, np.ones(1), np.array([0]))
    zero = np.array([0])
    with pytest.raises(ValueError, match="not in `labeled`"):
        compare(one, np.array([False, True]), zero, box, zero)
    with pytest.raises(ValueError, match="not in `labeled`"):
        compare(one, np.array([True, True]), np.array([2]), box, zero)
    with pytest.raises(ValueError, match=r"`labeled` has shape \(1,\)"):
        compare(one, np.array([True]), zero, box, zero)
    with pytest.raises(ValueError, match=r"boxes \(1, 3\)"):
        compare(one, np.array([True, True]), zero, box[:, :3], zero)
    empty = compare(one, np.array([True, False]), zero[:0], box[:0], zero[:0])
    assert empty.false_positives[0] == 1
    assert empty.missed[0] == 0
