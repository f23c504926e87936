"""The order within a batch against the literal greedy, and the path of weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.balance.path import smallest_sufficient, solve_path
from plugins.balance.prefixes import compare_orders, order_batch, prefix_scores
from plugins.balance.program import solve

Array = NDArray[np.floating[Any]]


def literal_order(rows: Array, cost: Array, target: Array, ties: Array, window: int) -> list[int]:
    """Of the `window` cheapest left, the one that brings the prefix nearest to its wanted counts; equals by cost."""
    shares = target / target.sum() if target.sum() > 0 else np.full(len(target), 1 / len(target))
    left = sorted(range(len(rows)), key=lambda i: (cost[i], ties[i]))
    order: list[int] = []
    while left:
        counts = rows[order].sum(axis=0)
        away = [np.abs((len(order) + 1) * shares - counts - rows[i]).sum() for i in left[:window]]
        order.append(left.pop(next(k for k, value in enumerate(away) if value <= min(away) + 1e-9)))
    return order


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(1, 5), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_order_is_the_literal_greedy(seed: int, b: int, classes: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(classes, 0.4), b)
    cost, target, ties = rng.normal(size=b), rng.integers(0, 4, classes).astype(float), rng.random(b)
    assert order_batch(rows, cost, target, ties, window).tolist() == literal_order(rows, cost, target, ties, window)


def test_equal_items_come_by_cost_and_then_by_ties() -> None:
    rows, ties = np.full((6, 2), 0.5), np.array([0.3, 0.1, 0.5, 0.2, 0.4, 0.0])
    cost = np.array([0.0, 0.0, -1.0, 0.0, 0.0, 0.0])
    assert order_batch(rows, cost, np.ones(2), ties).tolist() == [2, 5, 1, 3, 0, 4]


def test_a_window_of_one_is_the_order_of_cost() -> None:
    rng = np.random.default_rng(0)
    rows, cost = rng.dirichlet(np.ones(4), 50), rng.normal(size=50)
    assert order_batch(rows, cost, np.ones(4), np.zeros(50), window=1).tolist() == np.argsort(cost).tolist()


def test_prefixes_are_more_balanced_than_by_cost_or_at_random() -> None:
    rng = np.random.default_rng(0)
    rows, target, ties = rng.dirichlet(np.full(10, 0.3), 500), np.full(10, 50.0), rng.random(500)
    cost = -rows[:, 0]  # the cheapest are all of one class
    order = order_batch(rows, cost, target, ties)
    found = compare_orders(rows, cost, target, ties, order)
    assert sorted(order.tolist()) == list(range(500))
    assert found.ours < found.random < found.by_cost


def test_scores_are_those_of_the_formula_and_reach_from_0_to_1() -> None:
    rng = np.random.default_rng(0)
    rows, order = rng.dirichlet(np.ones(4), 30), rng.permutation(30)
    scores = prefix_scores(rows, order, np.ones(4))
    for k in range(1, 31):
        counts = rows[order[:k]].sum(axis=0)
        assert scores[k - 1] == pytest.approx(np.abs(counts - k / 4).sum() / (2 * k * 3 / 4))
    assert prefix_scores(np.tile([0.0, 1.0], (5, 1)), np.arange(5), np.array([1.0, 0.0])).tolist() == [1.0] * 5
    assert prefix_scores(np.ones((5, 1)), np.arange(5), np.ones(1)).tolist() == [0.0] * 5


@pytest.mark.parametrize("change", [{"cost": np.zeros(3)}, {"target": np.ones(3)}, {"ties": np.ones(1)}])
def test_shapes_that_do_not_match_are_named(change: dict[str, Array]) -> None:
    good = {"probabilities": np.full((4, 2), 0.5), "cost": np.zeros(4), "target": np.ones(2), "ties": np.zeros(4)}
    with pytest.raises(ValueError, match="rows have shape"):
        order_batch(**{**good, **change})  # type: ignore[arg-type]  # arrays by name
    with pytest.raises(ValueError, match="window is 0"):
        order_batch(**good, window=0)  # type: ignore[arg-type]  # likewise


def pool() -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.array([2.0, 1.0, 0.2, 0.1]), 1000)
    return rows, (rows * np.log(rows + 1e-300)).sum(axis=1), np.full(4, 25.0)


def test_along_a_path_balance_falls_and_every_answer_is_that_of_its_weight_alone() -> None:
    rows, cost, target = pool()
    weights = [0.0, 0.1, 0.3, 0.6, 1.0, 3.0]
    answers = solve_path(rows, cost, target, 100, weights)
    for weight, answer in zip(weights, answers, strict=True):
        alone = solve(rows, cost, target, 100, weight)
        assert answer.bound <= alone.objective + 1e-9
        assert alone.bound <= answer.objective + 1e-9
        assert answer.objective - answer.bound < 0.3
    # Optima at rising weights trade cost for balance; answers that are optimal up to a gap may cross by that gap.
    for (low, one), (high, other) in pairwise(zip(weights, answers, strict=True)):
        gaps = one.objective - one.bound + other.objective - other.bound
        assert other.distance <= one.distance + gaps / (high - low) + 1e-9
    assert answers[-1].distance < answers[0].distance / 2


def test_a_path_within_a_time_limit_still_answers_every_weight() -> None:
    rows, cost, target = pool()
    answers = solve_path(rows, cost, target, 100, [0.1, 1.0], time_limit=1e-3)
    assert [len(answer.selected) for answer in answers] == [100, 100]


@pytest.mark.parametrize("weights", [[], [1.0, 1.0], [2.0, 1.0]])
def test_weights_that_do_not_rise_are_refused(weights: list[float]) -> None:
    rows, cost, target = pool()
    with pytest.raises(ValueError, match="weights are"):
        solve_path(rows, cost, target, 100, weights)


def test_the_smallest_weight_is_the_first_that_reaches_the_floor() -> None:
    weights = np.array([0.0, 1.0, 2.0, 3.0])
    assert smallest_sufficient(weights, np.array([9.0, 5.0, 1.0, 1.0])) == 2
    assert smallest_sufficient(weights, np.array([9.0, 1.05, 1.0, 1.02])) == 1
    assert smallest_sufficient(weights, np.array([9.0, 1.05, 1.0, 1.02]), left=0.0) == 2
    assert smallest_sufficient(weights, np.array([4.0, 4.0, 4.0, 4.0])) == 0
    with pytest.raises(ValueError, match="2 weights and 1 distances"):
        smallest_sufficient(weights[:2], np.ones(1))
