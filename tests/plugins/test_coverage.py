"""The selectors against slow, literal references."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.contract import PluginError
from plugins.coverage.kmeans import coverage_order, distinct, nearest
from plugins.coverage.top import top
from plugins.evidence import Column, Evidence
from plugins.registry import make


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(-1, 45), st.integers(0, 99))
def test_top_is_a_full_sort(values: list[int], budget: int, seed: int) -> None:
    ties = np.random.default_rng(seed).random(len(values))
    expected = sorted(range(len(values)), key=lambda i: (-values[i], ties[i]))[: max(0, budget)]
    assert top(np.array(values, dtype=np.float64), ties, budget).tolist() == expected


def literal_order(cluster: list[int], distance: list[float], covered: set[int], ties: list[float]) -> list[int]:
    groups = defaultdict(list)
    for item, group in enumerate(cluster):
        groups[group].append(item)
    rows = []
    for group, items in groups.items():
        items.sort(key=lambda i: (distance[i], ties[i]))
        rows += [((group in covered), place, -len(items), ties[item], item) for place, item in enumerate(items)]
    return [row[-1] for row in sorted(rows)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=30), st.sets(st.integers(0, 5)))
def test_coverage_order_is_the_literal_one(items: list[tuple[int, int]], covered: set[int]) -> None:
    cluster, distance = [c for c, _ in items], [float(d) for _, d in items]
    ties = np.random.default_rng(0).random(len(items)).tolist()
    order = coverage_order(
        np.array(cluster, dtype=np.int64), np.array(distance), np.array(sorted(covered), dtype=np.int64), np.array(ties)
    )
    assert order.tolist() == literal_order(cluster, distance, covered, ties)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_nearest_is_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, centres = rng.normal(size=(17, 3)), rng.normal(size=(4, 3))
    cluster, distance = nearest(points, centres)
    squares = np.array([[((p - c) ** 2).sum() for c in centres] for p in points])
    assert np.array_equal(cluster, squares.argmin(axis=1))
    assert np.allclose(distance, squares.min(axis=1))


def test_distinct_counts_rows() -> None:
    assert distinct(np.zeros((4, 0))) == 1
    assert distinct(np.zeros((0, 3))) == 0
    assert distinct(np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0]])) == 2


def blobs(sizes: tuple[int, ...], labeled: tuple[int, ...], seed: int = 0) -> tuple[Evidence, list[int]]:
    """Well separated groups of the given sizes and `labeled` items in each; the group of every pool item."""
    rng = np.random.default_rng(seed)
    centres = 100 * np.eye(len(sizes))
    group = np.repeat(np.arange(len(sizes)), sizes)
    points = (centres[group] + rng.normal(size=(len(group), len(sizes)))).astype(np.float32)
    known = (centres[np.repeat(np.arange(len(sizes)), labeled)]).astype(np.float32)
    columns: dict[str, Column] = {"task_id": np.arange(len(group)), "embeddings": points, "labeled_embeddings": known}
    return Evidence(columns, classes=("a", "b"), seed=seed), group.tolist()


def test_every_group_without_a_label_is_visited_largest_first() -> None:
    some, group = blobs((30, 10, 20, 40), (0, 0, 0, 0))
    chosen = make("selector", "kmeans").select(some, np.zeros(100), 4)
    assert [group[i] for i in chosen.order] == [3, 0, 2, 1]
    assert chosen.reason is not None
    assert chosen.reason(int(chosen.order[0])) == "stands for a group of 40 similar items, none of them labeled yet"


def test_groups_with_a_label_come_last() -> None:
    some, group = blobs((30, 10, 20, 40), (0, 0, 0, 1))
    chosen = make("selector", "kmeans", {"max_clusters": 4}).select(some, np.zeros(100), 4)
    assert [group[i] for i in chosen.order] == [0, 2, 1, 0]
    assert any("max_clusters" in note for note in chosen.notes)


def test_a_large_pool_is_fitted_on_a_part_and_says_so() -> None:
    some, group = blobs((300, 200, 100), (0, 0, 0))
    plugin = make("selector", "kmeans", {"fit_items": 100})
    chosen = plugin.select(some, np.zeros(600), 3)
    assert [group[i] for i in chosen.order] == [0, 1, 2]
    assert "100 of 600" in chosen.notes[0]


def test_embeddings_must_agree_and_be_finite() -> None:
    columns: dict[str, Column] = {
        "task_id": np.arange(3),
        "embeddings": np.ones((3, 2)),
        "labeled_embeddings": np.ones((1, 5)),
    }
    with pytest.raises(PluginError, match="same width"):
        make("selector", "kmeans").select(Evidence(columns, classes=()), np.zeros(3), 2)
    columns |= {"labeled_embeddings": np.ones((1, 2)), "embeddings": np.full((3, 2), np.nan)}
    with pytest.raises(PluginError, match="not finite for 3 of 4"):
        make("selector", "kmeans").select(Evidence(columns, classes=()), np.zeros(3), 2)
