"""CoreSet against every subset of tiny pools."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from plugins.contract import PluginError, Selection
from plugins.coverage.coreset import Covering, cover_within, pairs_within, radius_of, smallest_radius
from plugins.coverage.kcenter import kcenter_greedy
from plugins.evidence import Column, Evidence
from plugins.registry import make

Points = NDArray[np.floating[Any]]


def reached(points: Points, labeled: Points, chosen: list[int], outliers: int) -> float:
    """The radius by its definition: every item's nearest centre, the `outliers` farthest items left out."""
    centres = np.concatenate([labeled, points[chosen]])
    return max(sorted(cdist(points, centres).min(axis=1))[: len(points) - outliers], default=0.0)


def smallest(points: Points, labeled: Points, budget: int, outliers: int) -> float:
    subsets = combinations(range(len(points)), budget)
    return min(reached(points, labeled, list(subset), outliers) for subset in subsets)


def select(points: Points, labeled: Points, budget: int, **config: Any) -> Selection:
    columns: dict[str, Column] = {
        "task_id": np.arange(len(points)),
        "embeddings": points,
        "labeled_embeddings": labeled,
    }
    chosen: Selection = make("selector", "coreset", config).select(
        Evidence(columns, classes=("a", "b")), np.zeros(len(points)), budget
    )
    return chosen


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(0, 3), st.sampled_from([0.0, 0.1, 0.21]), st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_the_radius_is_the_smallest_of_all_subsets(
    seed: int, budget: int, labeled: int, share: float, grid: bool
) -> None:
    rng = np.random.default_rng(seed)
    points, known = rng.normal(size=(10, 2)), rng.normal(size=(labeled, 2))
    if grid:
        points, known = np.round(points), np.round(known)
    outliers = int(share * 10)
    chosen = select(points, known, budget, outliers=share)
    best = smallest(points, known, budget, outliers)
    assert len(set(chosen.order.tolist())) == budget
    assert reached(points, known, chosen.order.tolist(), outliers) == pytest.approx(best, abs=1e-9)
    assert chosen.bound == pytest.approx(best, abs=1e-9)
    assert chosen.gap == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.sampled_from([0.0, 0.1, 0.21]))
@settings(max_examples=25, deadline=None)
def test_without_time_it_is_the_greedy_batch_with_an_honest_gap(seed: int, labeled: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    points, known, outliers = rng.normal(size=(10, 2)), rng.normal(size=(labeled, 2)), int(share * 10)
    chosen = select(points, known, 3, time_limit=0, outliers=share)
    columns: dict[str, Column] = {"task_id": np.arange(10)}
    greedy, _ = kcenter_greedy(points, known, 3, Evidence(columns, classes=()).jitter)
    radius, best = reached(points, known, greedy.tolist(), outliers), smallest(points, known, 3, outliers)
    assert set(chosen.order.tolist()) == set(greedy.tolist())
    assert chosen.bound is not None
    assert chosen.bound <= best + 1e-9
    assert radius <= 2 * best + 1e-9 or outliers
    assert chosen.gap == pytest.approx((radius - chosen.bound) / radius)
    assert "no time was given" in chosen.notes[0]


def test_time_that_runs_out_leaves_the_start_and_its_bound() -> None:
    points = np.random.default_rng(0).normal(size=(10, 2))
    start = Covering(np.array([0, 1]), 9.0, 0.5, False)
    assert smallest_radius(points, np.full(10, np.inf), start, 2, 0, seconds=0) == start


def test_a_cover_within_a_radius_is_found_or_proven_absent() -> None:
    line = np.arange(6.0)[:, None]
    pairs, nowhere = pairs_within(line, 5.0), np.full(6, np.inf)
    assert cover_within(pairs, nowhere, 1.0, 2, 0, 60.0) is not None
    found = cover_within(pairs, nowhere, 1.0, 2, 0, 60.0)
    assert found is not None
    assert found.tolist() == [1, 4]
    one = cover_within(pairs, nowhere, 1.0, 1, 2, 60.0)
    assert one is not None
    assert len(one) == 0
    some = cover_within(pairs, nowhere, 1.0, 1, 3, 60.0)
    assert some is not None
    assert len(some) == 1


def test_pairs_are_the_dense_distances() -> None:
    points = np.random.default_rng(1).normal(size=(300, 3))
    dense = cdist(points, points)
    assert np.array_equal(pairs_within(points, 1.0).toarray(), np.where(dense <= 1.0, dense, 0.0))
    assert pairs_within(points, 1.0).nnz == (dense <= 1.0).sum()


def test_a_large_pool_is_solved_on_a_part_and_judged_on_the_whole() -> None:
    points = np.random.default_rng(2).normal(size=(80, 2))
    none = points[:0]
    chosen = select(points, none, 5, max_items=30, outliers=0)
    greedy = select(points, none, 5, time_limit=0, outliers=0)
    assert "30 of 80" in chosen.notes[0]
    radius = reached(points, none, chosen.order.tolist(), 0)
    assert radius <= reached(points, none, greedy.order.tolist(), 0) + 1e-9
    assert f"within {radius:.3g} " in chosen.notes[-1]
    assert chosen.bound == pytest.approx(greedy.bound)
    many = select(points, none, 40, max_items=30)
    assert len(many.order) == 40
    assert "too many" in many.notes[0]


def test_an_outlier_does_not_set_the_radius() -> None:
    points = np.concatenate([np.random.default_rng(3).normal(size=(19, 2)), [[100.0, 0.0]]])
    assert 19 in select(points, points[:0], 3, outliers=0).order
    strict, lenient = (select(points, points[:0], 1, outliers=share).bound for share in (0.0, 0.05))
    assert strict is not None
    assert lenient is not None
    assert lenient < 5 < 90 < strict
    assert radius_of(np.array([3.0, 1.0, 2.0]), 0) == 3.0


def test_embeddings_must_agree() -> None:
    with pytest.raises(PluginError, match=r"'coreset'.*same width"):
        select(np.ones((3, 2)), np.ones((1, 5)), 2)
