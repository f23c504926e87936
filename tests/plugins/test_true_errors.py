"""True errors of images against an assignment that tries every matching."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.detections import true_errors as module
from plugins.detections.true_errors import true_errors
from plugins.evidence import Evidence
from plugins.registry import make
from plugins.video.boxes import overlaps


def scene(seed: int, n: int, most: int = 4) -> tuple[Any, ...]:
    """Boxes and objects of two classes that crowd one place of each image, so that several match each other."""
    rng = np.random.default_rng(seed)

    def side() -> tuple[Any, Any, Any]:
        item = rng.permutation(np.repeat(np.arange(n), rng.integers(0, most + 1, size=n)))
        low = rng.integers(0, 5, size=(len(item), 2)).astype(np.float64)
        return (
            item,
            np.concatenate([low, low + rng.integers(6, 12, size=low.shape)], axis=1),
            rng.integers(2, size=len(item)),
        )

    return *side(), *side()


def literal(box: Any, label: Any, truth: Any, truth_label: Any) -> int:
    """Matched pairs in the matching of the largest total IoU: every matching is tried."""
    best = (0.0, 0)
    few, many = (range(len(box)), range(len(truth)))
    padded = [*many, *([None] * len(box))]
    for chosen in set(itertools.permutations(padded, len(box))):
        total, count = 0.0, 0
        for a, b in zip(few, chosen, strict=True):
            if b is not None and label[a] == truth_label[b]:
                shared = float(overlaps(box[a : a + 1], truth[b : b + 1])[0])
                if shared >= 0.5:
                    total, count = total + shared, count + 1
        best = max(best, (total, count))
    return best[1]


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_errors_are_those_of_the_best_matching(seed: int) -> None:
    n = 6
    item, box, label, truth_item, truth_box, truth_label = scene(seed, n, most=3)
    wrong, missed = true_errors(item, box, label, truth_item, truth_box, truth_label, n)
    for i in range(n):
        a, b = item == i, truth_item == i
        hits = literal(box[a], label[a], truth_box[b], truth_label[b])
        assert (wrong[i], missed[i]) == (a.sum() - hits, b.sum() - hits)


def test_blocks_of_images_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    item, box, label, truth_item, truth_box, truth_label = scene(3, 50)

    def found() -> tuple[Any, Any]:
        return true_errors(item, box, label, truth_item, truth_box, truth_label, 50)

    whole = found()
    monkeypatch.setattr(module, "BLOCK", 7)
    assert all(np.array_equal(a, b) for a, b in zip(found(), whole, strict=True))
    assert whole[0].sum() > 0
    assert whole[1].sum() > 0


def test_duplicates_and_other_classes_are_wrong_and_half_an_overlap_is_enough() -> None:
    square = np.array([[0.0, 0.0, 4.0, 4.0]])
    half = np.array([[0.0, 0.0, 4.0, 2.0]])
    one, none = np.zeros(1, dtype=int), np.empty(0, dtype=int)
    assert [e.tolist() for e in true_errors(one, half, one, one, square, one, 1)] == [[0], [0]]
    assert [e.tolist() for e in true_errors(one, square, one, one, square, one + 1, 1)] == [[1], [1]]
    assert [e.tolist() for e in true_errors(none, np.empty((0, 4)), none, one, square, one, 2)] == [[0, 0], [1, 0]]
    assert [e.tolist() for e in true_errors(none, np.empty((0, 4)), none, none, np.empty((0, 4)), none, 0)] == [[], []]


def test_the_oracles_count_shown_boxes_and_say_so() -> None:
    square = [[0.0, 0.0, 4.0, 4.0]]
    columns: dict[str, Any] = {
        "task_id": np.arange(2),
        "detection_item": np.array([0, 0, 1]),
        "detection_box": np.array(square * 3, dtype=np.float32),
        "detection_label": np.zeros(3, dtype=int),
        "detection_shown": np.array([True, True, False]),
        "truth_item": np.array([0, 1]),
        "truth_box": np.array(square * 2),
        "truth_label": np.zeros(2, dtype=int),
    }
    evidence = Evidence(columns, classes=("Car",))
    wrong, missed = (make("scorer", name).score(evidence) for name in ("oracle_fp", "oracle_fn"))
    assert wrong.values.tolist() == [1.0, 0.0]
    assert missed.values.tolist() == [0.0, 1.0]
    assert (wrong.reason(0), missed.reason(1)) == ("1 of 2 boxes are wrong", "1 of 1 objects are missed")
