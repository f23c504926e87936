"""Scorers over detections against literal loops, box by box."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.contract import PluginError, Scores
from plugins.detections import over_boxes as module
from plugins.detections.over_boxes import over_boxes
from plugins.evidence import Evidence
from plugins.registry import make

NAMES = ["detection_least_confidence", "detection_entropy", "detection_margin"]
CLASSES = ("Car", "Van", "Ape")


def known(seed: int = 0, n: int = 7, k: int = 30, **replaced: Any) -> dict[str, Any]:
    """k boxes on n images, unsorted; the last two images have none."""
    rng = np.random.default_rng(seed)
    score = rng.random(k)
    columns = {
        "task_id": np.arange(n),
        "detection_item": rng.integers(max(n - 2, 1), size=k),
        "detection_score": score,
        "detection_label": rng.integers(3, size=k),
        "detection_shown": score >= 0.4,
    }
    return {**columns, **replaced}


def score(name: str, columns: dict[str, Any], **config: Any) -> Scores:
    scorer = make("scorer", name, config)
    view = Evidence(columns, classes=CLASSES).for_plugin(name, scorer.needs, scorer.optional)
    answer: Scores = scorer.score(view)
    return answer


def box_value(name: str, s: float, p: list[float] | None) -> float:
    row = [s, 1 - s] if p is None else p
    if name == "detection_least_confidence":
        return 1 - (s if p is None else max(p))
    if name == "detection_entropy":
        return -sum(one * math.log(one) for one in row if one > 0)
    first, second = sorted(row, reverse=True)[:2]
    return 1 - (first - second)


def literal(name: str, columns: dict[str, Any], over: str, boxes: str, empty: float) -> list[float]:
    p = columns.get("detection_probabilities")
    values = []
    for item in range(len(columns["task_id"])):
        mine = [
            box_value(name, float(columns["detection_score"][k]), None if p is None else p[k].tolist())
            for k in range(len(columns["detection_item"]))
            if columns["detection_item"][k] == item and (boxes == "all" or columns["detection_shown"][k])
        ]
        if over == "sum":
            values.append(sum(mine))
        elif not mine:
            values.append(empty)
        else:
            values.append(max(mine) if over == "max" else sum(mine) / len(mine))
    return values


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("over", ["mean", "sum", "max"])
@pytest.mark.parametrize("boxes", ["shown", "all"])
@pytest.mark.parametrize("distributions", [False, True])
def test_a_scorer_is_its_literal_loop(name: str, over: str, boxes: str, distributions: bool) -> None:
    p = np.random.default_rng(1).dirichlet(np.full(3, 0.5), size=30)
    columns = known() | ({"detection_probabilities": p} if distributions else {})
    values = score(name, columns, over=over, boxes=boxes, empty=0.25).values
    assert np.allclose(values, literal(name, columns, over, boxes, 0.25), atol=1e-12)


def test_defaults_are_those_of_the_thesis() -> None:
    columns = known()
    for name, over in zip(NAMES, ("mean", "mean", "sum"), strict=True):
        assert np.allclose(score(name, columns).values, literal(name, columns, over, "shown", 0.0), atol=1e-12)


@given(st.integers(0, 10**6), st.sampled_from(["mean", "sum", "max"]))
@settings(max_examples=40, deadline=None)
def test_boxes_become_one_value_in_any_order(seed: int, over: Any) -> None:
    rng = np.random.default_rng(seed)
    k, n = int(rng.integers(0, 20)), int(rng.integers(1, 6))
    item, values = rng.integers(n, size=k), rng.random(k)
    found = over_boxes(values, item, n, over, empty=0.5)
    order = rng.permutation(k)
    assert np.allclose(over_boxes(values[order], item[order], n, over, empty=0.5), found)
    for i in range(n):
        mine = values[item == i]
        wanted = {"sum": mine.sum(), "mean": mine.mean() if len(mine) else 0.5, "max": max([*mine, -1.0])}[over]
        assert found[i] == pytest.approx(wanted if len(mine) or over == "sum" else 0.5)


def test_a_sum_grows_with_boxes_and_a_mean_does_not() -> None:
    columns = known(n=3, k=3)
    columns |= {"detection_item": np.array([0, 0, 1]), "detection_score": np.full(3, 0.6)}
    columns |= {"detection_shown": np.ones(3, dtype=bool), "detection_label": np.zeros(3, dtype=int)}
    assert score("detection_margin", columns).values.tolist() == pytest.approx([1.6, 0.8, 0.0])
    assert score("detection_margin", columns, over="mean").values.tolist() == pytest.approx([0.8, 0.8, 0.0])


def test_blocks_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score("detection_entropy", known()).values
    monkeypatch.setattr(module, "ENTRIES", 6)
    assert np.array_equal(score("detection_entropy", known()).values, whole)


def test_with_one_class_the_score_counts_though_its_probability_is_one() -> None:
    columns = known() | {"detection_label": np.zeros(30, dtype=int), "detection_probabilities": np.ones((30, 1))}
    for name in NAMES:
        scorer = make("scorer", name)
        view = Evidence(columns, classes=("Car",)).for_plugin(name, scorer.needs, scorer.optional)
        del columns["detection_probabilities"]
        alone = Evidence(dict(columns), classes=("Car",)).for_plugin(name, scorer.needs, scorer.optional)
        assert np.array_equal(scorer.score(view).values, scorer.score(alone).values)
        assert scorer.score(view).values.max() > 0
        columns["detection_probabilities"] = np.ones((30, 1))


def test_reasons_name_the_box_in_doubt() -> None:
    columns = known(n=3, k=4)
    columns |= {"detection_item": np.array([1, 0, 1, 1]), "detection_score": np.array([0.9, 0.8, 0.412, 0.3])}
    columns |= {"detection_label": np.array([1, 2, 0, 1]), "detection_shown": np.array([True, True, True, False])}
    reason = score("detection_least_confidence", columns).reason
    assert [reason(i) for i in range(3)] == [
        "1 box, an Ape at 0.80",
        "2 boxes, the least sure a Car at 0.41",
        "no box here",
    ]
    assert (
        score("detection_least_confidence", columns, boxes="all").reason(1).startswith("3 boxes, the least sure a Van")
    )


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("detection_item", np.full(30, 7), "detection_item 7 for 7 images; give positions from 0 to 6"),
        ("detection_item", np.full(30, 0.5), "give one position per box"),
        ("detection_score", np.full(30, 1.5), r"detection_score 1.5; give scores from 0 to 1"),
        ("detection_score", np.full(30, np.nan), "not finite in 30 of 30 rows"),
        ("detection_score", np.ones(3), r"detection_score of shape \(3,\); 30 boxes need \(30,\)"),
        (
            "detection_label",
            np.full(30, 3),
            "detection_label from 3 to 3 of type int64; give class indices from 0 to 2",
        ),
        ("detection_shown", np.ones(2, dtype=bool), "detection_shown of shape"),
        ("detection_probabilities", np.ones((30, 2)), r"detection_probabilities of shape \(30, 2\)"),
    ],
)
def test_what_does_not_fit_is_named(column: str, value: Any, fault: str) -> None:
    with pytest.raises(PluginError, match=f"Scorer 'detection_entropy' got .*{fault}|{fault}"):
        score("detection_entropy", known(**{column: value}))
