"""Class-balanced selection against all batches of tiny pools, and what must hold of every answer."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from plugins.balance.program import DISTANCES, Solution, solve

Array = NDArray[np.floating[Any]]


def literal_distance(name: str, residual: Array, ground: Array) -> float:
    """Each distance from its formula; Wasserstein as the transport program with adding and removing."""
    if name == "l1":
        return float(sum(abs(s) for s in residual))
    if name == "l2":
        return float(sum(s * s for s in residual) ** 0.5)
    if name == "l2_squared":
        return float(sum(s * s for s in residual))
    classes, price = len(residual), float(ground.max()) / 2 if ground.max() > 0 else 1e-12
    pairs = [(i, j) for i in range(classes) for j in range(classes) if i != j]
    costs = [ground[i, j] for i, j in pairs] + [price] * (2 * classes)
    balance = np.zeros((classes, len(costs)))
    for column, (i, j) in enumerate(pairs):
        balance[i, column], balance[j, column] = 1, -1
    for c in range(classes):
        balance[c, len(pairs) + 2 * c], balance[c, len(pairs) + 2 * c + 1] = 1, -1
    return float(linprog(costs, A_eq=balance, b_eq=residual).fun or 0.0)


def literal_optimum(rows: Array, cost: Array, target: Array, b: int, weight: float, name: str, ground: Array) -> float:
    """The least objective among all batches of b items."""
    return min(
        float(sum(cost[i] for i in batch))
        + weight * literal_distance(name, target - rows[list(batch)].sum(axis=0), ground)
        for batch in itertools.combinations(range(len(rows)), b)
    )


def made_up(seed: int, n: int, classes: int) -> tuple[Array, Array, Array, Array]:
    """Probabilities (some exactly 0 and 1, some rows twice), cost, target (some 0) and ground distances."""
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(classes, 0.5), n)
    for i in range(0, n, 4):
        P[i] = np.eye(classes)[rng.integers(classes)]
    for i in range(2, n, 5):
        P[i] = P[i - 1]
    target = rng.uniform(0, 2, classes) * rng.integers(0, 2, classes)
    places = rng.normal(size=(classes, 2))
    return P, rng.normal(size=n), target, np.sqrt(((places[:, None] - places) ** 2).sum(axis=-1))


@pytest.mark.parametrize("name", DISTANCES)
@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(1, 7), classes=st.integers(1, 4), weight=st.sampled_from([0.1, 1, 10])
)
@settings(max_examples=12, deadline=None)
def test_bound_optimum_and_objective_stand_in_order(name: str, seed: int, n: int, classes: int, weight: float) -> None:
    P, cost, target, ground = made_up(seed, n, classes)
    budget = seed % (n + 1)
    answer = solve(P, cost, target, budget, weight, distance=name, ground=ground)
    optimum = literal_optimum(P, cost, target, budget, weight, name, ground)
    assert answer.bound <= optimum + 1e-9
    assert answer.objective >= optimum - 1e-9
    apart = answer.objective - answer.bound
    assert apart == pytest.approx(answer.gap * abs(answer.objective), abs=1e-8 * max(1.0, abs(answer.objective)))
    if answer.gap == 0:
        assert answer.objective == pytest.approx(optimum, abs=1e-7)
    assert len(set(answer.selected.tolist())) == budget
    assert np.allclose(answer.counts, P[answer.selected].sum(axis=0))
    assert answer.distance == pytest.approx(literal_distance(name, target - answer.counts, ground), abs=1e-8)
    assert answer.objective == pytest.approx(cost[answer.selected].sum() + weight * answer.distance, abs=1e-8)


@pytest.mark.parametrize("name", DISTANCES)
def test_most_tiny_programs_are_solved_to_the_proven_optimum(name: str) -> None:
    proven = 0
    for seed in range(8):
        P, cost, target, ground = made_up(seed, 7, 3)
        answer = solve(P, cost, target, 3, 1.0, distance=name, ground=ground)
        proven += answer.gap == 0
        assert answer.objective == pytest.approx(literal_optimum(P, cost, target, 3, 1.0, name, ground), abs=1e-7)
    assert proven >= 7


@pytest.mark.parametrize("name", DISTANCES)
def test_rows_may_be_expected_counts_of_any_sum(name: str) -> None:
    for seed in range(6):
        P, cost, target, ground = made_up(seed, 7, 3)
        P *= np.random.default_rng(seed).uniform(0, 12, size=(7, 1))
        answer = solve(P, cost, 4 * target, 3, 1.0, distance=name, ground=ground, counts=True)
        optimum = literal_optimum(P, cost, 4 * target, 3, 1.0, name, ground)
        assert answer.bound <= optimum + 1e-9
        assert answer.objective == pytest.approx(optimum, abs=1e-7)
    with pytest.raises(ValueError, match=r"Row \d of the probabilities sums to"):
        solve(P, cost, target, 3, 1.0)
    for bad in (-0.5, np.nan, np.inf):
        P[4, 1] = bad
        with pytest.raises(ValueError, match=r"Row 4 of the counts .* give finite counts of at least 0"):
            solve(P, cost, target, 3, 1.0, counts=True)


def pool(n: int = 3000, classes: int = 10, seed: int = 0) -> tuple[Array, Array, Array]:
    """A softmax pool whose second half of the classes is rare, minus its entropy, and equal wishes for 150 items."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, size=n, p=np.repeat([1.0, 0.1], classes // 2) / (1.1 * (classes // 2)))
    logits = 2 * rng.standard_normal((n, classes))
    logits[np.arange(n), truth] += rng.uniform(0, 6, n)
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    P = (P / P.sum(axis=1, keepdims=True)).astype(np.float32)
    wide = P.astype(np.float64)
    return P, (wide * np.log(wide + 1e-300)).sum(axis=1), np.full(classes, 15.0)


@pytest.mark.parametrize("name", ["l1", "l2", "l2_squared"])
def test_a_pool_of_thousands_has_a_small_certified_gap(name: str) -> None:
    P, cost, target = pool()
    answer = solve(P, cost, target, 150, 0.6, distance=name)
    assert 0 <= answer.gap < 2e-3
    assert answer.distance < solve(P, cost, target, 150, 0.0, distance=name).distance / 4


def test_less_thorough_is_no_better_and_as_honest() -> None:
    P, cost, target = pool()
    quick, full = (solve(P, cost, target, 150, 0.6, thorough=thorough) for thorough in (False, True))
    assert full.objective <= quick.objective
    assert quick.bound <= full.bound <= full.objective
    assert 0 <= full.gap <= quick.gap < 5e-3


def test_wasserstein_moves_labels_to_the_wanted_classes() -> None:
    P, cost, target = pool(1500)
    ground = np.abs(np.subtract.outer(np.arange(10.0), np.arange(10.0)))
    answer = solve(P, cost, target, 150, 0.6, distance="wasserstein", ground=ground)
    assert 0 <= answer.gap < 5e-3
    assert answer.distance < solve(P, cost, target, 150, 0.0, distance="wasserstein", ground=ground).distance / 4


def test_l1_is_wasserstein_where_every_move_costs_two() -> None:
    P, cost, target, _ = made_up(3, 9, 3)
    ground = 2 * (1 - np.eye(3))
    moved = solve(P, cost, target, 4, 0.7, distance="wasserstein", ground=ground, price=1.0)
    assert moved.objective == pytest.approx(solve(P, cost, target, 4, 0.7).objective, abs=1e-7)


def test_the_order_of_the_pool_does_not_matter() -> None:
    P, cost, target = pool()
    P[100:200], cost[100:200] = P[:100], cost[:100]  # ties between items
    keys = np.random.default_rng(1).random(len(P))
    first = solve(P, cost, target, 150, 0.6, ties=keys)
    shuffle = np.random.default_rng(2).permutation(len(P))
    other = solve(P[shuffle], cost[shuffle], target, 150, 0.6, ties=keys[shuffle])
    assert sorted(shuffle[other.selected].tolist()) == sorted(first.selected.tolist())
    assert other.objective == pytest.approx(first.objective, rel=1e-12)


def test_equal_items_are_taken_by_their_ties() -> None:
    P, cost = np.full((500, 2), 0.5), np.zeros(500)
    keys = np.random.default_rng(0).random(500)
    answer = solve(P, cost, np.ones(2), 20, 1.0, ties=keys)
    assert sorted(answer.selected.tolist()) == sorted(np.argsort(keys)[:20].tolist())
    assert answer.gap == 0


def same(one: Solution, other: Solution) -> bool:
    return one.selected.tolist() == other.selected.tolist() and one.objective == other.objective


def test_same_seed_same_answer() -> None:
    P, cost, target = pool()
    assert same(solve(P, cost, target, 150, 0.6, seed=4), solve(P, cost, target, 150, 0.6, seed=4))


def test_read_only_strided_and_float16_probabilities_are_read_where_they_lie(tmp_path: Path) -> None:
    P, cost, target = pool(800)
    plain = solve(P, cost, target, 40, 0.6)
    wide = np.zeros((800, 20), dtype=np.float32)
    wide[:, ::2] = P
    wide.flags.writeable = False
    assert same(solve(wide[:, ::2], cost, target, 40, 0.6), plain)
    np.save(tmp_path / "p.npy", P)
    assert same(solve(np.load(tmp_path / "p.npy", mmap_mode="r"), cost, target, 40, 0.6), plain)
    assert solve(P.astype(np.float64), cost, target, 40, 0.6).objective == pytest.approx(plain.objective, rel=1e-12)
    assert solve(P.astype(np.float16), cost, target, 40, 0.6).gap < 1e-2


def test_probabilities_are_never_copied() -> None:
    P = np.full((60_000, 100), 0.01, dtype=np.float32)
    P[np.arange(60_000), np.arange(60_000) % 100] += 0.5
    P /= P.sum(axis=1, keepdims=True)
    cost = np.random.default_rng(0).random(60_000)
    solve(P[:1000], cost[:1000], np.ones(100), 10, 1.0)
    tracemalloc.start()
    solve(P, cost, np.ones(100), 100, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < P.nbytes  # a float64 copy would take twice that


@pytest.mark.parametrize("budget", [0, 1, 29, 30, 45])
@pytest.mark.parametrize("name", DISTANCES)
def test_budgets_from_nothing_to_more_than_there_is(name: str, budget: int) -> None:
    P, cost, target, ground = made_up(0, 30, 3)
    answer = solve(P, cost, target, budget, 1.0, distance=name, ground=ground)
    assert len(answer.selected) == min(budget, 30)
    if budget in (0, 30, 45):
        assert answer.gap == 0


def test_no_items_are_an_empty_batch() -> None:
    answer = solve(np.empty((0, 3)), np.empty(0), np.ones(3), 5, 2.0)
    assert answer.selected.tolist() == []
    assert answer.objective == answer.bound == 6.0


def test_weight_zero_is_the_cheapest_batch_whatever_the_balance() -> None:
    P, cost, target = pool(500)
    answer = solve(P, cost, target, 30, 0.0)
    assert answer.selected.tolist() == np.argsort(cost)[:30].tolist()
    assert answer.gap == 0


@pytest.mark.parametrize("target", [np.zeros(4), np.full(4, 1e4), np.array([0.0, 0.0, 0.0, 25.0])])
def test_targets_that_no_batch_can_meet(target: Array) -> None:
    rng = np.random.default_rng(0)
    P = np.concatenate([rng.dirichlet(np.ones(3), 400), np.zeros((400, 1))], axis=1)  # class 3 is never predicted
    answer = solve(P, rng.normal(size=400), target, 25, 1.0)
    assert len(answer.selected) == 25
    assert answer.gap < 1e-2


def test_one_class_leaves_only_the_cost() -> None:
    cost = np.random.default_rng(0).normal(size=50)
    answer = solve(np.ones((50, 1)), cost, np.array([3.0]), 10, 1.0)
    assert sorted(answer.selected.tolist()) == sorted(np.argsort(cost)[:10].tolist())
    assert answer.gap == 0


def test_a_short_time_limit_gives_a_batch_with_its_honest_gap() -> None:
    P, cost, target = pool()
    hurried, calm = solve(P, cost, target, 150, 0.6, time_limit=1e-6), solve(P, cost, target, 150, 0.6)
    assert len(hurried.selected) == 150
    assert hurried.bound <= calm.objective
    assert hurried.objective >= calm.bound
    assert hurried.gap >= calm.gap


def test_a_start_from_a_similar_program_changes_no_value() -> None:
    P, cost, target = pool()
    first = solve(P, cost, target, 150, 0.5)
    warm, cold = solve(P, cost, target, 150, 0.6, start=first.multipliers), solve(P, cost, target, 150, 0.6)
    assert warm.bound == pytest.approx(cold.bound, rel=1e-6)


GOOD: dict[str, Any] = {
    "probabilities": np.full((4, 2), 0.5),
    "cost": np.zeros(4),
    "target": np.ones(2),
    "budget": 2,
    "weight": 1.0,
}
BAD_ROW = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.6], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"probabilities": np.ones(4)}, "shape"),
        ({"probabilities": np.ones((4, 2), dtype=np.int64)}, "type int64"),
        ({"probabilities": BAD_ROW}, "Row 2 .* sums to 1.1"),
        ({"probabilities": np.array([[0.5, 0.5], [1.5, -0.5], [1, 0], [1, 0.0]])}, "Row 1 .* least entry is -0.5"),
        ({"probabilities": np.array([[0.5, 0.5], [1, 0], [1, 0], [np.nan, 0.0]])}, "Row 3 .* nan"),
        ({"cost": np.zeros(3)}, "cost has shape"),
        ({"cost": np.array([0.0, np.nan, 0, 0])}, "cost has nan at position 1"),
        ({"target": np.array([1.0, -1.0])}, "target of class 1 is -1"),
        ({"target": np.ones(3)}, "target has shape"),
        ({"ties": np.zeros(2)}, "ties has shape"),
        ({"budget": -1}, "budget is -1"),
        ({"weight": -0.5}, "weight of balance is -0.5"),
        ({"weight": np.nan}, "weight of balance is nan"),
        ({"time_limit": 0.0}, "time limit is 0"),
        ({"distance": "l3"}, "Unknown distance 'l3'. Available: l1"),
        ({"distance": "wasserstein"}, "needs ground"),
        ({"distance": "wasserstein", "ground": np.ones((2, 2))}, "not symmetric with 0 on its diagonal"),
        ({"distance": "wasserstein", "ground": np.zeros((2, 2))}, "not above 0"),
        ({"distance": "wasserstein", "ground": 1 - np.eye(2), "price": 0.0}, "price of a missing label is 0"),
        ({"start": np.ones(3)}, "start has shape"),
    ],
)
def test_the_first_wrong_thing_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        solve(**{**GOOD, **change})
