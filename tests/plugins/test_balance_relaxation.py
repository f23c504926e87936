"""The relaxation against CVXPY, its interior point method on hard shapes, and the bound's truth under rounding."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.balance.distances import L1, Distance
from plugins.balance.interior import relax
from plugins.balance.pool import Pool
from plugins.balance.program import DISTANCES, make_distance
from plugins.balance.relaxation import lower_bound, solve_relaxation, split
from plugins.balance.wasserstein import ground_from_embeddings, transport

Array = NDArray[np.floating[Any]]
cp: Any = pytest.importorskip("cvxpy")


def readable(rows: Array, cost: Array, target: Array, b: int, weight: float, name: str, ground: Array) -> float:
    """Eq. 4.8 with 0 <= z <= 1, as one would write it down."""
    z = cp.Variable(len(rows))
    residual = target - rows.T @ z
    rules = [cp.sum(z) == b, z >= 0, z <= 1]
    if name == "l1":
        apart = cp.norm1(residual)
    elif name == "l2":
        apart = cp.norm2(residual)
    elif name == "l2_squared":
        apart = cp.sum_squares(residual)
    else:
        flow = cp.Variable(ground.shape, nonneg=True)
        added, removed = cp.Variable(len(target), nonneg=True), cp.Variable(len(target), nonneg=True)
        rules.append(cp.sum(flow, axis=1) - cp.sum(flow, axis=0) + added - removed == residual)
        apart = cp.sum(cp.multiply(ground, flow)) + ground.max() / 2 * cp.sum(added + removed)
    program = cp.Problem(cp.Minimize(cost @ z + weight * apart), rules)
    program.solve(solver=cp.HIGHS if name in ("l1", "wasserstein") else cp.CLARABEL)
    return float(program.value)


def pool(seed: int, n: int, classes: int) -> tuple[Array, Array, Array, Array, Array]:
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(classes, 0.3), n)
    ground = ground_from_embeddings(rng.normal(size=(classes, 3)))
    return P, (P * np.log(P + 1e-300)).sum(axis=1), rng.uniform(0, 2, classes), ground, rng.random(n)


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize(("n", "classes", "weight"), [(300, 5, 0.6), (2000, 12, 2.0), (600, 40, 20.0)])
def test_the_relaxation_is_what_cvxpy_finds(name: str, n: int, classes: int, weight: float) -> None:
    P, cost, target, ground, ties = pool(n, n, classes)
    b = n // 20
    target *= b / target.sum()
    expected = readable(P, cost, target, b, weight, name, ground)
    found = solve_relaxation(Pool(P, cost, ties, 2), target, b, make_distance(name, weight, classes, ground))
    tolerance = 1e-6 * max(1.0, abs(expected))
    assert found.value == pytest.approx(expected, abs=tolerance)
    assert found.bound == pytest.approx(expected, abs=tolerance)
    assert found.bound <= found.value
    assert found.shares.sum() + len(found.inside) == pytest.approx(b)


def test_parts_of_a_large_pool_lead_to_the_same_optimum() -> None:
    P, cost, target, _, ties = pool(1, 20_000, 6)
    target *= 600 / target.sum()
    distance = L1(1.0, 6)
    coarse = solve_relaxation(Pool(P.astype(np.float32), cost, ties, 2), target, 600, distance, tolerance=1e-9)
    flat = solve_relaxation(Pool(P.astype(np.float32), cost, ties, 1), target, 600, distance, np.zeros(6), 1e-9)
    assert coarse.value - coarse.bound <= 1e-9 * abs(coarse.value)
    assert coarse.bound == pytest.approx(flat.bound, rel=1e-8)


@pytest.mark.parametrize("name", DISTANCES)
def test_the_interior_point_method_takes_equal_rows_and_certain_rows(name: str) -> None:
    P = np.repeat(np.eye(3), 20, axis=0)
    cost = np.linspace(0, 1, 60)
    distance = make_distance(name, 1.0, 3, 1 - np.eye(3))
    target = np.array([4.0, 0.0, 2.0])
    found = relax(P, cost, target, 6, distance, np.zeros(3), 1e-9)
    y = distance.inside(found.y)
    value = cost @ found.z + float(distance.value(target - P.T @ found.z))
    assert value == pytest.approx(lower_bound(cost - P @ y, target, 6, distance, y), abs=1e-6)
    assert found.z.sum() == pytest.approx(6)
    assert 0 <= found.z.min() <= found.z.max() <= 1


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_the_bound_is_never_above_the_exact_one(seed: int, n: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    P, cost = rng.dirichlet(np.ones(classes), n), rng.normal(size=n)
    target, weight, b = rng.uniform(0, 5, classes), float(rng.uniform(0.1, 3)), int(rng.integers(1, n + 1))
    y = L1(weight, classes).inside(rng.normal(size=classes) * weight)
    reduced = Pool(P, cost, rng.random(n), 1).reduced(y)
    exact = sorted(
        Fraction(cost[i]) - sum((Fraction(P[i, c]) * Fraction(y[c]) for c in range(classes)), Fraction())
        for i in range(n)
    )
    true = sum((Fraction(y[c]) * Fraction(target[c]) for c in range(classes)), Fraction()) + sum(exact[:b], Fraction())
    bound = lower_bound(reduced, target, b, L1(weight, classes), y)
    assert Fraction(bound) <= true
    assert bound == pytest.approx(float(true), abs=1e-10)


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_the_core_is_the_middle_of_the_literal_order(seed: int, n: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    reduced, ties, b = rng.integers(5, size=n) / 4, rng.random(n), int(rng.integers(1, n))
    order = np.lexsort((ties, reduced)).tolist()
    halves = split(reduced, ties, b, size)
    low, high = max(0, b - size // 2), min(n, b + size // 2)
    assert sorted(halves.inside.tolist()) == sorted(order[:low])
    assert sorted(halves.core.tolist()) == sorted(order[low:high])
    assert halves.core.tolist() == sorted(halves.core.tolist(), key=lambda i: ties[i])


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from(["l1", "l2", "l2_squared", "wasserstein"]))
@settings(max_examples=60, deadline=None)
def test_any_multiplier_of_y_bounds_the_distance(seed: int, classes: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    ground = ground_from_embeddings(rng.normal(size=(classes, 2)))
    distance: Distance = make_distance(name, float(rng.uniform(0.1, 3)), classes, ground)
    residual = rng.normal(size=classes) * 3
    y = distance.inside(rng.normal(size=classes) * 3)
    assert distance.edge(y).slack.min(initial=0.0) >= 0
    value = float(distance.value(residual))
    assert y @ residual - distance.conjugate(y) <= value + 1e-9
    assert float(distance.at_least(residual)) <= value + 1e-9


def test_transport_proves_its_price() -> None:
    rng = np.random.default_rng(0)
    for classes in (1, 2, 5, 20):
        ground = ground_from_embeddings(rng.normal(size=(classes, 2)))
        residual = rng.normal(size=classes) * rng.integers(0, 2, classes)
        price, potential = transport(residual, ground, 0.5)
        assert potential @ residual == pytest.approx(price, abs=1e-7)
        assert np.abs(potential).max() <= 0.5
        assert (np.abs(potential[:, None] - potential) <= ground + 1e-12).all()
