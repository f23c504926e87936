"""k-center greedy against the literal farthest-first traversal in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.contract import PluginError
from plugins.coverage.kcenter import kcenter_greedy
from plugins.evidence import Column, Evidence
from plugins.registry import make

Points = NDArray[np.floating[Any]]


def literal(points: Points, labeled: Points, budget: int, ties: Points) -> tuple[list[int], list[float]]:
    """Word by word: choose the farthest, of equals the one with the smallest tie; every distance in float64."""
    rows = points.astype(np.float64)
    order: list[int] = []
    radii: list[float] = []
    nearest = np.full(len(rows), np.inf)
    for centre in labeled.astype(np.float64):
        nearest = np.minimum(nearest, ((rows - centre) ** 2).sum(axis=1))
    for _ in range(min(budget, len(rows))):
        away = nearest
        if not len(labeled) and not order:
            away = -((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
        left = np.setdiff1d(np.arange(len(rows)), order)
        farthest = left[away[left] == away[left].max()]
        best = int(farthest[ties[farthest].argmin()])
        radii.append(float(np.sqrt(nearest.max())))
        order.append(best)
        nearest = np.minimum(nearest, ((rows - rows[best]) ** 2).sum(axis=1))
    radii.append(float(np.sqrt(nearest.max(initial=0.0))))
    return order, radii


def check(points: Points, labeled: Points, budget: int, seed: int = 0) -> None:
    ties = np.random.default_rng(seed).random(len(points))
    order, radii = kcenter_greedy(points, labeled, budget, ties)
    expected, away = literal(points, labeled, budget, ties)
    assert order.tolist() == expected
    assert np.allclose(radii, away, rtol=1e-9)


@pytest.mark.parametrize("labeled", [0, 1, 40])
@pytest.mark.parametrize("shape", [(700, 2), (900, 33), (1500, 16)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_random_items_come_in_the_literal_order(labeled: int, shape: tuple[int, int], kind: Any) -> None:
    rng = np.random.default_rng(labeled)
    check(rng.normal(size=shape).astype(kind), rng.normal(size=(labeled, shape[1])).astype(kind), 400)


@pytest.mark.parametrize("offset", [0.0, 50.0, -4000.0])
@pytest.mark.parametrize("spread", [1e-12, 1.0, 1e18])
def test_neither_offset_nor_unit_changes_the_order(offset: float, spread: float) -> None:
    rng = np.random.default_rng(1)
    points = ((np.maximum(rng.normal(size=(600, 24)), 0) + offset) * spread).astype(np.float32)
    check(points[100:], points[:100], 200)


def test_outliers_blobs_and_near_duplicates_come_in_the_literal_order() -> None:
    rng = np.random.default_rng(2)
    points = (rng.normal(size=(30, 12))[rng.integers(30, size=800)] + 1e-4 * rng.normal(size=(800, 12))).astype(
        np.float32
    )
    points[:3] *= 1e5
    points[10:20] = points[20:30] + np.float32(1e-6)
    check(points, points[:0], 300)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(0, 3), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_ties_and_duplicates_on_a_grid_are_exact(seed: int, width: int, labeled: int, budget: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(4, size=(50, width)).astype(np.float32)
    known = rng.integers(4, size=(max(labeled, 1), width)).astype(np.float32)
    check(points, known, budget, seed % 1000)


def test_many_ties_need_more_than_one_set_of_candidates() -> None:
    grid = np.stack(np.meshgrid(np.arange(36.0), np.arange(36.0)), axis=-1).reshape(-1, 2).astype(np.float32)
    check(grid, grid[:1], 500)


def test_a_duplicate_waits_until_everything_else_is_chosen() -> None:
    rng = np.random.default_rng(3)
    points = np.repeat(rng.normal(size=(40, 64)).astype(np.float32), 5, axis=0)[rng.permutation(200)]
    order, radii = kcenter_greedy(points, points[:0], 60, rng.random(200))
    assert len(np.unique(points[order[:40]], axis=0)) == 40
    assert (radii[1:40] > 0).all()
    assert (radii[40:] == 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(1, 20))
@settings(max_examples=25, deadline=None)
def test_radii_shrink_and_choices_stand_apart(seed: int, labeled: int, budget: int) -> None:
    rng = np.random.default_rng(seed)
    points, known = rng.normal(size=(40, 3)), rng.normal(size=(labeled, 3))
    order, radii = kcenter_greedy(points, known, budget, rng.random(40))
    assert len(set(order.tolist())) == budget
    assert (np.diff(radii) <= 0).all()
    centres = np.concatenate([known, points[order]])
    apart = np.sqrt(((centres[labeled:, None] - centres[None]) ** 2).sum(axis=2))
    for i in range(budget):
        assert i + labeled == 0 or apart[i, : i + labeled].min() == pytest.approx(radii[i])


def test_an_empty_pool_and_no_budget() -> None:
    empty = np.empty((0, 3))
    assert [part.tolist() for part in kcenter_greedy(empty, empty, 5, np.empty(0))] == [[], [0.0]]
    assert [part.tolist() for part in kcenter_greedy(np.ones((2, 3)), empty, 0, np.zeros(2))] == [[], [np.inf]]
    order, radii = kcenter_greedy(np.ones((3, 0)), empty[:, :0], 2, np.array([0.3, 0.1, 0.2]))
    assert order.tolist() == [1, 2]
    assert radii[1:].tolist() == [0.0, 0.0]


def evidence(points: Points, labeled: Points) -> Evidence:
    columns: dict[str, Column] = {
        "task_id": np.arange(len(points)),
        "embeddings": points,
        "labeled_embeddings": labeled,
    }
    return Evidence(columns, classes=("a", "b"))


def test_the_selection_says_what_it_proves() -> None:
    points = np.array([[0.0], [4.0], [6.0], [6.0]], dtype=np.float32)
    chosen = make("selector", "kcenter").select(evidence(points, np.ones((1, 1), dtype=np.float32)), np.zeros(4), 2)
    assert (chosen.bound, chosen.gap) == (0.5, 0.5)
    assert chosen.notes == (
        "Every item lies within 1 of a labeled or chosen one; no choice of 2 items gets below 0.5.",
    )
    assert chosen.reason is not None
    sentences = [chosen.reason(int(item)) for item in chosen.order]
    assert sentences[0] == "farthest from everything labeled or chosen so far (distance 5)"


def test_embeddings_must_agree_and_be_finite() -> None:
    with pytest.raises(PluginError, match=r"'kcenter'.*same width"):
        make("selector", "kcenter").select(evidence(np.ones((3, 2)), np.ones((1, 5))), np.zeros(3), 2)
    with pytest.raises(PluginError, match=r"'kcenter'.*not finite for 3 of 4"):
        make("selector", "kcenter").select(evidence(np.full((3, 2), np.nan), np.ones((1, 2))), np.zeros(3), 2)
