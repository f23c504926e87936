"""Diverse best: only the best by value, and no look-alikes among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.contract import PluginError, Selection
from plugins.coverage.diverse import drawn_apart, farthest_apart, filled, one_per_group
from plugins.coverage.top import top
from plugins.evidence import Column, Evidence
from plugins.registry import make

Points = NDArray[np.floating[Any]]
METHODS = ("kmeans", "kmeans++", "kcenter")
every_method = pytest.mark.parametrize("method", METHODS)


def select(points: Points, values: Points, budget: int, seed: int = 0, **config: Any) -> tuple[Selection, Evidence]:
    columns: dict[str, Column] = {
        "task_id": np.arange(len(points)),
        "embeddings": points,
        "labeled_embeddings": points[:0],
    }
    known = Evidence(columns, classes=("a", "b"), seed=seed)
    return make("selector", "diverse", config).select(known, values, budget), known


@every_method
@given(seed=st.integers(0, 2**32 - 1), budget=st.integers(1, 12), factor=st.sampled_from([1.0, 1.5, 3.0, 50.0]))
@settings(max_examples=20, deadline=None)
def test_the_batch_comes_from_the_best_and_stands_best_first(
    method: str, seed: int, budget: int, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    points, values = rng.integers(3, size=(40, 2)).astype(np.float32), rng.integers(8, size=40).astype(np.float64)
    chosen, known = select(points, values, budget, method=method, factor=factor)
    wanted = min(40, int(np.ceil(factor * budget)))
    assert len(set(chosen.order.tolist())) == budget
    assert set(chosen.order.tolist()) <= set(top(values, known.jitter, wanted).tolist())
    keys = [(-values[i], known.jitter[i]) for i in chosen.order]
    assert keys == sorted(keys)
    if factor == 1:
        assert chosen.order.tolist() == top(values, known.jitter, budget).tolist()


@every_method
def test_look_alikes_do_not_fill_the_batch(method: str) -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), 10)
    points = (100 * np.eye(6)[group] + 0.01 * rng.normal(size=(60, 6))).astype(np.float32)
    values = 6.0 - group + rng.random(60)
    chosen, _ = select(points, values, 4, method=method, factor=10)
    assert [int(g) for g in group[chosen.order]] == [0, 1, 2, 3]
    assert chosen.reason is not None
    assert chosen.reason(int(chosen.order[0])).endswith("nearest to 9 others of them")


@every_method
def test_repeated_rows_are_filled_by_value(method: str) -> None:
    values = np.arange(20.0)
    chosen, _ = select(np.repeat(np.eye(2), 10, axis=0), values, 6, method=method)
    assert len(set(chosen.order.tolist())) == 6
    assert {0, 1} == set((chosen.order >= 10).astype(int).tolist())


def test_draws_follow_the_squared_distance() -> None:
    points, values, ties = np.array([[0.0], [1.0], [3.0]]), np.array([1.0, 0.0, 0.0]), np.zeros(3)
    drawn = [drawn_apart(points, values, 2, ties, seed)[1] for seed in range(2000)]
    assert np.mean(np.array(drawn) == 2) == pytest.approx(0.9, abs=0.03)


def test_farthest_apart_is_the_literal_traversal_from_the_best() -> None:
    rng = np.random.default_rng(1)
    points, values, ties = rng.normal(size=(30, 3)), rng.random(30), rng.random(30)
    expected = [int(values.argmax())]
    while len(expected) < 8:
        away = np.sqrt(((points[:, None] - points[expected]) ** 2).sum(axis=2)).min(axis=1)
        expected.append(int(away.argmax()))
    assert farthest_apart(points, values, 8, ties).tolist() == expected


def test_one_per_group_takes_the_item_nearest_to_the_centre() -> None:
    points = np.array([[0.0], [1.0], [2.0], [50.0], [51.0], [52.0]])
    chosen = one_per_group(points, np.arange(6.0), 2, np.zeros(6), seed=0)
    assert sorted(chosen.tolist()) == [1, 4]
    same = np.repeat(points[:2], 3, axis=0) * 9
    assert sorted(one_per_group(same, np.arange(6.0), 2, np.zeros(6), seed=0).tolist()) == [2, 5]
    assert filled(np.array([3]), np.arange(6.0), 3, np.zeros(6)).tolist() == [3, 5, 4]


def test_the_seed_changes_the_draw_and_nothing_else_does() -> None:
    rng = np.random.default_rng(2)
    points, values = rng.normal(size=(50, 4)), rng.random(50)
    orders = {tuple(select(points, values, 5, seed=s, method="kmeans++")[0].order.tolist()) for s in (0, 0, 1, 2)}
    assert len(orders) > 1
    shuffled = rng.permutation(50)
    columns: dict[str, Column] = {
        "task_id": shuffled,
        "embeddings": points[shuffled],
        "labeled_embeddings": points[:0],
    }
    for method in METHODS:
        plugin = make("selector", "diverse", {"method": method})
        other = plugin.select(Evidence(columns, classes=()), values[shuffled], 5).order
        assert shuffled[other].tolist() == select(points, values, 5, method=method)[0].order.tolist()


def test_embeddings_must_be_finite() -> None:
    with pytest.raises(PluginError, match=r"'diverse'.*not finite"):
        select(np.full((3, 2), np.nan), np.zeros(3), 2)
