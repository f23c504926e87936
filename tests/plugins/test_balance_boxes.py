"""Class balance where people draw boxes: expected objects, Omega, the program and its order, against literal ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins import conformance
from plugins.balance.class_balanced import ClassBalanced, ClassBalancedConfig, candidate_weights
from plugins.balance.distances import L1, Distance, L2Squared
from plugins.balance.interior import relax
from plugins.balance.objects import expected_objects
from plugins.balance.path import solve_path
from plugins.balance.prefixes import compare_orders, order_batch, prefix_scores
from plugins.balance.program import solve
from plugins.balance.wanted import wanted
from plugins.contract import FloatArray, PluginError, Selection
from plugins.evidence import Column, Evidence, MissingColumnError
from plugins.registry import make

Array = NDArray[Any]
NAMES = ("car", "pedestrian", "wheelchair")


def boxes(n: int, seed: int = 0, often: tuple[float, ...] = (2.0, 0.7, 0.15)) -> dict[str, Any]:
    """Detections on n frames, cars the most; each has probabilities about its label."""
    rng = np.random.default_rng(seed)
    number = rng.poisson(often, (n, len(often)))
    item, label = (np.repeat(part.ravel(), number.ravel()) for part in np.indices(number.shape))
    chance = rng.dirichlet(np.ones(len(often)), len(item))
    chance = 0.2 * chance + 0.8 * np.eye(len(often))[label]
    score = rng.uniform(0.05, 1, len(item))
    return {
        "detection_item": item,
        "detection_score": score.astype(np.float32),
        "detection_label": label,
        "detection_probabilities": chance.astype(np.float32),
    }


def evidence(n: int, counts: tuple[int, ...] = (90, 30, 3), seed: int = 0, **replaced: Array) -> Evidence:
    columns = {"task_id": np.arange(1, n + 1), "counts": np.array(counts), **boxes(n), **replaced}
    return Evidence(columns, classes=NAMES[: len(counts)], seed=seed)


def lent(known: Evidence) -> Evidence:
    return known.for_plugin("class_balanced", ClassBalanced.needs, ClassBalanced.optional)


def select(known: Evidence, values: Any, budget: int, **config: Any) -> Selection:
    chosen: Selection = make("selector", "class_balanced", config).select(lent(known), np.asarray(values), budget)
    return chosen


def literal_objects(known: dict[str, Any], n: int, classes: int, chances: bool) -> Array:
    """The sum over boxes, box by box."""
    rows = np.zeros((n, classes))
    for k, (item, score, label) in enumerate(
        zip(known["detection_item"], known["detection_score"], known["detection_label"], strict=True)
    ):
        for c in range(classes):
            share = float(known["detection_probabilities"][k, c]) if chances else float(c == label)
            rows[item, c] += float(score) * share
    return rows


@pytest.mark.parametrize("chances", [True, False])
def test_expected_objects_are_scores_times_class_probabilities(chances: bool) -> None:
    known = boxes(30)
    mixed = np.random.default_rng(1).permutation(len(known["detection_item"]))  # boxes in any order
    known = {name: column[mixed] for name, column in known.items()}
    item, score, label, probabilities = known.values()
    rows = expected_objects(item, score, label, probabilities if chances else None, 30, 3)
    assert rows == pytest.approx(literal_objects(known, 30, 3, chances), abs=1e-6)


def test_it_is_equation_4_8_with_boxes_over_all_batches() -> None:
    known, b = evidence(12), 4
    rows = literal_objects(boxes(12), 12, 3, chances=True)
    values = np.random.default_rng(0).random(12)
    objects = 123 + b * rows.sum() / 12  # people's boxes, and what four average frames bring
    target = np.array([max(objects / 3 - n, 0) for n in (90, 30, 3)])

    def objective(batch: tuple[int, ...]) -> float:
        return float(-values[list(batch)].sum() + 0.3 * np.abs(target - rows[list(batch)].sum(axis=0)).sum())

    best = min(combinations(range(12), b), key=objective)
    chosen = select(known, values, b, weight=0.3)
    assert sorted(chosen.order.tolist()) == list(best)
    assert chosen.facts["wanted"] == pytest.approx(target)
    assert chosen.facts["expected"] == pytest.approx(rows[list(best)].sum(axis=0), abs=1e-6)
    assert chosen.facts["objective"] == pytest.approx(objective(best), abs=1e-6)
    assert chosen.gap == 0
    assert chosen.bound is not None
    assert chosen.bound <= objective(best) + 1e-6
    (note,) = chosen.notes
    assert note.endswith("is proven to be the best one by the detector's scores.")


@given(seed=st.integers(0, 2**32 - 1), weight=st.sampled_from([0.01, 0.3, 3.0, 100.0]), b=st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_the_gap_is_certified_on_tiny_pools(seed: int, weight: float, b: int) -> None:
    known = evidence(7, **boxes(7, seed, (3.0, 1.0, 0.3)))
    values = np.random.default_rng(seed).normal(size=7)
    rows = literal_objects(boxes(7, seed, (3.0, 1.0, 0.3)), 7, 3, chances=True)
    target = wanted(known.counts, b * float(rows.sum()) / 7, np.ones(3))
    best = min(
        -values[list(batch)].sum() + weight * np.abs(target - rows[list(batch)].sum(axis=0)).sum()
        for batch in combinations(range(7), b)
    )
    chosen = select(known, values, b, weight=weight)
    assert chosen.bound is not None
    assert chosen.gap is not None
    near = 1e-5 * max(1.0, abs(best))  # float32 scores
    assert chosen.bound - near <= best <= chosen.facts["objective"] + near
    if chosen.gap == 0:
        assert chosen.facts["objective"] == pytest.approx(best, abs=near)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=6), st.floats(0, 200))
def test_what_is_wanted_takes_any_number_of_boxes(counts: list[int], expected: float) -> None:
    literal = [max((sum(counts) + expected) / len(counts) - n, 0) for n in counts]
    assert wanted(np.array(counts), expected, np.ones(len(counts))).tolist() == pytest.approx(literal)


def crowds(n: int = 4000, b: int = 60, seed: int = 0) -> tuple[Array, Array, Array, int]:
    """Frames with up to dozens of objects, some empty, a cost, and an Omega that no batch can meet."""
    rng = np.random.default_rng(seed)
    rows = rng.poisson([6, 2, 1, 0.2, 0.02], (n, 5)) * rng.uniform(0.3, 1, (n, 5))
    rows[rng.random(n) < 0.1] = 0
    counts = np.array([600, 200, 100, 20, 2])
    return rows, -rows.sum(axis=1) * rng.uniform(0.2, 0.6, n), wanted(counts, b * rows.sum() / n, np.ones(5)), b


@pytest.mark.parametrize("name", ["l1", "l2", "l2_squared"])
@pytest.mark.parametrize("weight", [0.1, 5.0, 1e4])
def test_heavy_rows_and_weights_keep_the_gap_small(name: str, weight: float) -> None:
    rows, cost, target, b = crowds()
    answer = solve(rows, cost, target, b, weight, distance=name, counts=True, thorough=False)
    assert 0 <= answer.gap < 3e-3


@pytest.mark.parametrize("distance", [L1(20.0, 5), L2Squared(100.0, 5)])
def test_the_relaxation_of_heavy_rows_arrives(distance: Distance) -> None:
    rows, cost, target, _ = crowds(800)
    found = relax(rows, cost, target, 60, distance, np.zeros(5), 1e-6)
    value = cost @ found.z + float(distance.value(target - found.z @ rows))
    y = distance.inside(found.y)
    below = y @ target - distance.conjugate(y) + np.sort(cost - rows @ y)[:60].sum()
    assert value == pytest.approx(below, rel=1e-6)


def test_a_path_takes_counts_and_balances_ever_better() -> None:
    rows, cost, target, b = crowds(1500)
    weights = candidate_weights(cost, rows.sum() / len(rows)).tolist()
    answers = solve_path(rows, cost, target, b, weights, counts=True, thorough=False)
    distances = np.array([answer.distance for answer in answers])
    assert np.all(np.diff(distances) <= 0.01 * distances[0])
    assert distances[-1] < 0.8 * distances[0]
    with pytest.raises(ValueError, match="Row 0 of the probabilities sums to"):
        solve_path(rows, cost, target, b, weights)


def test_auto_finds_a_weight_between_none_and_the_largest() -> None:
    known = evidence(400)
    values = np.bincount(boxes(400)["detection_item"], minlength=400).astype(float)  # crowded frames first
    chosen, plain = select(known, values, 30), select(known, values, 30, weight=0)
    weights = [step["weight"] for step in chosen.facts["path"]]
    assert 0 < chosen.facts["weight"] < weights[-1]
    assert chosen.facts["distance"] < 0.8 * plain.facts["distance"]
    assert chosen.facts["expected"][2] > 1.3 * plain.facts["expected"][2], "the rare class is found"


def literal_order(rows: Array, cost: Array, target: Array, ties: Array, window: int) -> list[int]:
    """Of the `window` cheapest left, the one that brings the prefix nearest to its part of what the batch brings."""
    shares = target / target.sum() if target.sum() > 0 else np.full(len(target), 1 / len(target))
    each = rows.sum() / max(len(rows), 1)
    left = sorted(range(len(rows)), key=lambda i: (cost[i], ties[i]))
    order: list[int] = []
    while left:
        got = rows[order].sum(axis=0)
        away = [np.abs((len(order) + 1) * each * shares - got - rows[i]).sum() for i in left[:window]]
        order.append(left.pop(next(k for k, value in enumerate(away) if value <= min(away) + 1e-9)))
    return order


@given(st.integers(0, 2**32 - 1), st.integers(0, 25), st.integers(1, 4), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_the_order_of_frames_is_the_literal_greedy(seed: int, b: int, classes: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.poisson(1.0, (b, classes)) * rng.random((b, classes))
    cost, target, ties = rng.normal(size=b), rng.integers(0, 4, classes).astype(float), rng.random(b)
    found = order_batch(rows, cost, target, ties, window, counts=True)
    assert found.tolist() == literal_order(rows, cost, target, ties, window)


def test_prefixes_of_frames_are_more_balanced_than_by_cost_or_at_random() -> None:
    rng = np.random.default_rng(0)
    rows = rng.poisson([1.0, 0.8, 0.6], (200, 3)) * rng.random((200, 3))
    rows[::5] = 0
    cost, target, ties = -rows[:, 0], np.array([60.0, 60.0, 60.0]), rng.random(200)
    order = order_batch(rows, cost, target, ties, counts=True)
    found = compare_orders(rows, cost, target, ties, order, counts=True)
    assert found.ours < 0.7 * min(found.by_cost, found.random)
    scores = prefix_scores(rows, order, target, counts=True)
    for k in (1, 17, 200):
        got = rows[order[:k]].sum(axis=0)
        assert scores[k - 1] == pytest.approx(np.abs(got - got.sum() / 3).sum() / (2 * got.sum() * 2 / 3))
    assert prefix_scores(np.zeros((3, 2)), np.arange(3), np.ones(2), counts=True).tolist() == [0.0] * 3


def test_reasons_count_boxes_and_say_frame_or_image() -> None:
    chosen = select(evidence(300), np.zeros(300), 20, weight=1.0)
    assert chosen.reason is not None
    said = [chosen.reason(int(item)) for item in chosen.order]
    need = round(3 + chosen.facts["wanted"][2])
    assert any(one.startswith(f"wheelchair: 3 of {need} boxes drawn so far; this image p") for one in said)
    framed = select(evidence(300, video=np.full(300, "road")), np.zeros(300), 20, weight=1.0)
    assert framed.reason is not None
    assert any("; this frame probably shows 1" in framed.reason(int(item)) for item in framed.order)


def test_the_target_may_be_the_pools() -> None:
    rows = literal_objects(boxes(50), 50, 3, chances=True)
    there = rows.sum(axis=0) + np.array([90, 30, 3])
    chosen = select(evidence(50), np.zeros(50), 5, target="pool", weight=1.0)
    literal = np.maximum(there / there.sum() * (123 + 5 * rows.sum() / 50) - [90, 30, 3], 0)
    assert chosen.facts["wanted"] == pytest.approx(literal, abs=1e-4)


NOTHING: dict[str, Any] = {
    "detection_item": np.zeros(0, np.int64),
    "detection_score": np.zeros(0, np.float32),
    "detection_label": np.zeros(0, np.int64),
    "detection_probabilities": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize("counts", [(0, 0, 0), (9, 3, 0)])
@pytest.mark.parametrize("target", ["uniform", "pool"])
def test_a_pool_without_detections_is_in_the_order_of_the_scores(counts: tuple[int, ...], target: str) -> None:
    values = np.random.default_rng(0).random(20)
    chosen = select(evidence(20, counts, **NOTHING), values, 6, target=target)
    assert chosen.order.tolist() == np.argsort(-values)[:6].tolist()
    assert chosen.notes[1] == "The detector found nothing in the pool, so that the scores alone decide."
    assert chosen.reason is not None
    assert chosen.reason(0) == "chosen for its score: hardly an object is expected on this image"


@pytest.mark.parametrize("budget", [0, 1, 39, 40, 99])
def test_any_budget_one_class_and_no_frames(budget: int) -> None:
    assert len(select(evidence(40), np.zeros(40), budget).order) == min(budget, 40)
    assert len(select(evidence(0, **NOTHING), np.zeros(0), budget).order) == 0
    single = boxes(40, often=(1.5,))
    assert len(select(evidence(40, (7,), **single), np.zeros(40), budget).order) == min(budget, 40)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("detection_score", np.nan, "The detection_score of box 2 is nan; give numbers from 0 to 1"),
        ("detection_score", 1.5, "The detection_score of box 2 is 1.5"),
        ("detection_probabilities", np.nan, "The detection_probabilities of box 2 sum to nan"),
        ("detection_probabilities", 0.9, "The detection_probabilities of box 2 sum to 2.7"),
        ("detection_label", 3, "The detection_label goes from 0 to 3"),
        ("detection_item", -1, "The detection_item goes from -1 to"),
        ("detection_item", 40, "The detection_item goes from 0 to 40"),
    ],
)
def test_boxes_that_make_no_sense_are_named(column: str, value: float, says: str) -> None:
    spoilt = boxes(40)[column].copy()
    spoilt[2] = value
    with pytest.raises(PluginError, match=f"Selector 'class_balanced': {says}"):
        select(evidence(40, **{column: spoilt}), np.zeros(40), 5)


def test_columns_of_other_lengths_and_missing_ones_are_named() -> None:
    with pytest.raises(PluginError, match="give one of each per box"):
        select(evidence(40, detection_label=np.zeros(3, np.int64)), np.zeros(40), 5)
    with pytest.raises(PluginError, match=r"have shape \(3, 3\)"):
        select(evidence(40, detection_probabilities=np.full((3, 3), 1 / 3)), np.zeros(40), 5)
    bare: dict[str, Column] = {"task_id": np.arange(4), "counts": np.zeros(3, np.int64)}
    with pytest.raises(PluginError, match=r"neither 'probabilities' of items nor 'detection_score' of boxes"):
        select(Evidence(bare, classes=NAMES), np.zeros(4), 2)
    with pytest.raises(MissingColumnError, match="'detection_item'"):
        select(Evidence({**bare, "detection_score": np.zeros(0)}, classes=NAMES), np.zeros(4), 2)


def test_wasserstein_says_what_it_lacks() -> None:
    with pytest.raises(PluginError, match="'wasserstein' needs 'labels', which this project does not have; choose l1"):
        select(evidence(40), np.zeros(40), 5, distance="wasserstein")


class OnBoxes(ClassBalanced):
    """Class balance that is lent no probabilities of items, as where people draw boxes."""

    optional = frozenset(column for column in ClassBalanced.optional if column.startswith("detection"))

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        columns: dict[str, Column] = {
            name: partial(evidence.column, name) for name in self.optional if evidence.has(name)
        }
        columns |= {"task_id": evidence.task_id, "counts": evidence.counts}
        return super().select(Evidence(columns, classes=evidence.classes, seed=evidence.seed), values, budget)


@pytest.mark.parametrize("check", conformance.SELECTOR_CHECKS, ids=lambda check: check.__name__)
def test_the_contract_holds_on_made_up_boxes(check: Callable[[Any], None]) -> None:
    conformance.run(check, OnBoxes(ClassBalancedConfig(weight=1.0)))  # the search for a weight takes ten times as long


def test_the_order_of_pool_and_boxes_changes_nothing() -> None:
    known, values = boxes(80), np.random.default_rng(2).random(80)
    place = np.random.default_rng(3).permutation(80)  # where each frame goes
    mixed = np.random.default_rng(4).permutation(len(known["detection_item"]))
    moved: dict[str, Any] = {name: column[mixed] for name, column in known.items()}
    moved["detection_item"] = place[moved["detection_item"]]
    back = np.argsort(place)
    straight = select(evidence(80), values, 12)
    shuffled = select(evidence(80, task_id=np.arange(1, 81)[back], **moved), values[back], 12)
    assert back[shuffled.order].tolist() == straight.order.tolist()
