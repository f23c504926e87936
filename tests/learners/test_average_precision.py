"""mAP is COCO's, checked against a literal reference; the interval is that of resampled images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml_backend.learners.average_precision import Matches, interval, precision, resampled
from ml_backend.learners.detector import Found, LabeledBoxes
from plugins.contract import FloatArray

CLASSES = ("car", "person", "tram")


def boxes_of(rng: np.random.Generator, k: int) -> NDArray[np.float64]:
    corner, size = rng.uniform(0, 80, (k, 2)), rng.uniform(4, 40, (k, 2))
    return np.hstack([corner, corner + size])


def made_up(seed: int, images: int = 6) -> tuple[Found, LabeledBoxes]:
    """Detections near the true boxes, missed ones, doubled ones and ones of nothing; the last class is never drawn."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 20))
    truth = LabeledBoxes(rng.integers(images, size=k), boxes_of(rng, k), rng.integers(2, size=k))
    near = rng.integers(k, size=int(rng.integers(0, 2 * k)))
    noise = int(rng.integers(0, 10))
    item = np.concatenate([truth.item[near], rng.integers(images, size=noise)])
    box = np.concatenate([truth.box[near] + rng.normal(0, 3, (len(near), 4)), boxes_of(rng, noise)])
    label = np.concatenate([truth.label[near], rng.integers(3, size=noise)])
    score = rng.permutation(len(item)) / max(1, len(item))  # no two alike
    order = np.lexsort((-score, item))
    return Found(item[order], box[order].astype(np.float32), score[order].astype(np.float32), label[order]), truth


def overlap(a: FloatArray, b: FloatArray) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def literal(found: Found, truth: LabeledBoxes, images: list[int], label: int, threshold: float) -> float | None:
    """AP of one class: detections by falling score each take the best free true box, then 101 points of the curve.

    images: which ones count; one that is named twice counts as two images.
    """
    seen: list[tuple[float, bool]] = []
    positives = 0
    for image in images:
        true = [truth.box[b] for b in range(len(truth.item)) if truth.item[b] == image and truth.label[b] == label]
        positives += len(true)
        free = set(range(len(true)))
        mine = [k for k in range(len(found)) if found.item[k] == image and found.label[k] == label]
        for k in sorted(mine, key=lambda k: -float(found.score[k])):
            best = max(free, key=lambda t: overlap(found.box[k].astype(float), true[t]), default=None)
            hit = best is not None and overlap(found.box[k].astype(float), true[best]) >= threshold
            if hit and best is not None:
                free.remove(best)
            seen.append((float(found.score[k]), hit))
    if positives == 0:
        return None
    seen.sort(key=lambda pair: -pair[0])
    curve = []
    right = 0
    for n, (_, hit) in enumerate(seen, start=1):
        right += hit
        curve.append((right / positives, right / n))
    best_from = [max((p for recall, p in curve if recall >= point / 100 - 1e-12), default=0.0) for point in range(101)]
    return sum(best_from) / 101


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_literal_definition(seed: int) -> None:
    found, truth = made_up(seed)
    measured = precision(found, truth, 6, CLASSES)
    assert measured is not None
    at_half = {c: literal(found, truth, list(range(6)), c, 0.5) for c in range(3)}
    assert measured.per_class == {
        CLASSES[c]: pytest.approx(value, abs=1e-6) for c, value in at_half.items() if value is not None
    }
    assert measured.map50 == pytest.approx(np.mean(list(measured.per_class.values())))
    every = [literal(found, truth, list(range(6)), c, t) for t in np.arange(0.5, 0.99, 0.05) for c in range(3)]
    assert measured.map50_95 == pytest.approx(np.mean([value for value in every if value is not None]), abs=1e-6)
    assert 0 <= measured.low <= measured.map50 <= measured.high <= 1
    assert (measured.images, measured.boxes) == (6, len(truth.item))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_a_resampling_is_the_literal_one(seed: int, drawn: list[int]) -> None:
    """Images that are drawn several times, against evaluating the copies as images of their own."""
    found, truth = made_up(seed)
    times = np.bincount(drawn, minlength=6)[None]
    order = np.argsort(-found.score, kind="stable")
    for c in range(2):
        hit = np.zeros(len(found), dtype=bool)
        for k in order:  # matching as above, by image
            rows = [j for j in order if found.item[j] == found.item[k] and found.label[j] == c]
            hit[k] = found.label[k] == c and matched(found, truth, rows, c)[int(k)]
        mine = order[found.label[order] == c]
        boxes = np.array([np.sum((truth.item == i) & (truth.label == c)) for i in range(6)])
        value = resampled(Matches(hit[mine], found.item[mine], boxes), times)[0]
        wanted = literal(found, truth, drawn, c, 0.5)
        assert np.isnan(value) if wanted is None else value == pytest.approx(wanted)


def matched(found: Found, truth: LabeledBoxes, rows: list[int], label: int) -> dict[int, bool]:
    free = {b for b in range(len(truth.item)) if truth.item[b] == found.item[rows[0]] and truth.label[b] == label}
    result = {}
    for k in rows:
        best = max(free, key=lambda b: overlap(found.box[k].astype(float), truth.box[b]), default=None)
        result[int(k)] = best is not None and overlap(found.box[k].astype(float), truth.box[best]) >= 0.5
        if result[int(k)] and best is not None:
            free.remove(best)
    return result


def test_the_interval_is_that_of_a_known_spread() -> None:
    """Of 400 images with one box each a share p is found: AP is near p, its interval near that of a proportion."""
    rng = np.random.default_rng(0)
    hit = rng.random(400) < 0.6
    matches = Matches(hit[hit], np.flatnonzero(hit), np.ones(400, dtype=np.int64))
    low, high = interval([matches], 400, seed=1)
    half = 1.96 * np.sqrt(hit.mean() * (1 - hit.mean()) / 400)
    assert (high - low) / 2 == pytest.approx(half, rel=0.12)
    assert low < hit.mean() < high
    assert interval([matches], 400, seed=1) == (low, high)


def test_nothing_found_is_zero_and_nothing_drawn_is_unknown() -> None:
    _, truth = made_up(3)
    measured = precision(Found.nothing(), truth, 6, CLASSES)
    assert measured is not None
    assert (measured.map50, measured.low, measured.high, measured.map50_95) == (0, 0, 0, 0)
    found, _ = made_up(3)
    nothing = LabeledBoxes(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64))
    assert precision(found, nothing, 6, CLASSES) is None


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    precision(*made_up(5), 6, CLASSES)
    assert capsys.readouterr().out == ""
