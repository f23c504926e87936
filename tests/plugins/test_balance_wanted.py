"""What is wanted of each class, the score of a balance, and the two greedy selectors, against literal references."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.balance.greedy import balanced_kcenter
from plugins.balance.pseudo_label_balanced import pseudo_label_balanced, quotas
from plugins.balance.wanted import l1_score, serves, shares_of, wanted
from plugins.conformance.made_up import evidence
from plugins.contract import PluginError
from plugins.registry import make


@given(st.lists(st.integers(0, 50), min_size=2, max_size=12))
def test_l1_score_is_equation_4_10(counts: list[int]) -> None:
    classes, batch = len(counts), sum(counts)
    score = l1_score(np.array(counts))
    if batch == 0:
        assert score == 0
        return
    literal = sum(abs(count - batch / classes) for count in counts) / (2 * batch * (classes - 1) / classes)
    assert score == pytest.approx(literal, abs=1e-9)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(0, 40))
def test_what_is_wanted_is_equation_4_4(counts: list[int], budget: int) -> None:
    """c * b + b0 of the equation is what is labeled now, and the batch."""
    labels = sum(counts)
    literal = [max((labels + budget) / len(counts) - n, 0) for n in counts]
    assert wanted(np.array(counts), budget, np.ones(len(counts))).tolist() == pytest.approx(literal)


def test_shares_are_uniform_or_the_pools_or_given() -> None:
    known = evidence(40, labels=np.array([0, 0, 1]))
    assert shares_of("uniform", known, "x").tolist() == [0.25] * 4
    there = known.probabilities.sum(axis=0, dtype=np.float64) + np.array([2, 1, 0, 0])
    assert shares_of("pool", known, "x") == pytest.approx(there / 43)
    assert shares_of({"dog": 3.0, "cat": 1.0}, known, "x").tolist() == [0.25, 0.75, 0, 0]
    with pytest.raises(PluginError, match="target names 'cow', which is no class; classes: cat, dog"):
        shares_of({"cow": 1.0}, known, "Selector 'x'")
    with pytest.raises(PluginError, match="wants no class at all"):
        shares_of({"cat": 0.0}, known, "Selector 'x'")


def test_reasons_name_the_wanted_class() -> None:
    rows, counts = np.array([[0.45, 0.4, 0.15], [0.9, 0.02, 0.08]]), np.array([50, 3, 10])
    target, classes = np.array([0.0, 37.0, 5.0]), ("car", "wheelchair", "bus")
    assert serves(rows[0], target, counts, classes) == ("wheelchair: 3 of 40 labeled so far; this is perhaps one, 0.40")
    assert (
        serves(rows[1], target, counts, classes)
        == "chosen for its score: probably car, 0.90, of which there are enough"
    )


@given(st.lists(st.floats(0, 30), min_size=1, max_size=6), st.integers(0, 30))
def test_quotas_are_whole_and_proportional(target: list[float], budget: int) -> None:
    given_ = quotas(np.array(target), budget)
    if sum(target) <= 0:
        assert not given_.any()
        return
    assert given_.sum() == budget
    assert np.abs(given_ - np.array(target) * budget / sum(target)).max() < 1 + 1e-9


def test_pseudo_labels_fill_quotas_by_value_then_go_by_value() -> None:
    rng = np.random.default_rng(3)
    for seed in range(20):
        n, classes, budget = int(rng.integers(1, 30)), 3, int(rng.integers(1, 12))
        labels, values = rng.integers(classes, size=n), rng.integers(4, size=n).astype(float)
        target, ties = rng.integers(0, 4, size=classes).astype(float), rng.permutation(n).astype(float)
        ranked = sorted(range(n), key=lambda i: (-values[i], ties[i]))
        left = quotas(target, min(budget, n)).tolist()
        chosen = []
        for i in ranked:
            if left[labels[i]] > 0:
                chosen.append(i)
                left[labels[i]] -= 1
        chosen += [i for i in ranked if i not in chosen][: min(budget, n) - len(chosen)]
        found = pseudo_label_balanced(labels, values, target, min(budget, n), ties)
        assert found.tolist() == sorted(chosen, key=lambda i: (-values[i], ties[i])), seed


def literal_kcenter(
    points: list[list[float]],
    labeled: list[list[float]],
    p: list[list[float]],
    target: list[float],
    budget: int,
    weight: float,
    ties: list[float],
) -> list[int]:
    """Alg. 2 as it is written."""
    chosen: list[int] = []
    for _ in range(min(budget, len(points))):
        best: tuple[float, float, int] | None = None
        for i in range(len(points)):
            if i in chosen:
                continue
            centres = labeled + [points[j] for j in chosen]
            d = min((math.dist(points[i], centre) for centre in centres), default=0.0)
            got = [p[i][c] + sum(p[j][c] for j in chosen) for c in range(len(target))]
            key = -d + weight * sum(abs(w - g) for w, g in zip(target, got, strict=True))
            if best is None or (key, ties[i]) < best[:2]:
                best = (key, ties[i], i)
        assert best is not None
        chosen.append(best[2])
    return chosen


def pool(rng: Any, n: int, classes: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points on a grid and probabilities in 64ths, so that equal keys are equal in any order of sums."""
    points = rng.integers(-3, 4, size=(n, width)).astype(np.float64)
    p = rng.multinomial(64, rng.dirichlet(np.full(classes, 0.4)), size=n) / 64
    return points, p


@pytest.mark.parametrize("known", [0, 1, 5])
def test_balanced_kcenter_is_algorithm_2(known: int) -> None:
    rng = np.random.default_rng(known)
    for _ in range(25):
        n, classes, width = int(rng.integers(1, 16)), int(rng.integers(1, 5)), int(rng.integers(1, 4))
        points, p = pool(rng, n, classes, width)
        labeled = rng.integers(-3, 4, size=(known, width)).astype(np.float64)
        target, ties = rng.integers(0, 6, size=classes) / 2, rng.permutation(n).astype(float)
        weight, budget = float(rng.choice([0.0, 0.25, 1.0, 8.0])), int(rng.integers(0, n + 2))
        found = balanced_kcenter(points, labeled, p, target, budget, weight, ties)
        literal = literal_kcenter(
            points.tolist(), labeled.tolist(), p.tolist(), target.tolist(), budget, weight, ties.tolist()
        )
        assert found.tolist() == literal


def test_balanced_kcenter_is_algorithm_2_on_larger_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """With batches of refreshed items smaller than the pool, in float32 as learners give it."""
    monkeypatch.setattr("plugins.balance.greedy.REFRESH", 7)
    monkeypatch.setattr("plugins.balance.greedy.BLOCK", 16)
    rng = np.random.default_rng(9)
    points = rng.normal(size=(90, 5)).astype(np.float32)
    labeled, p = rng.normal(size=(4, 5)).astype(np.float32), rng.dirichlet(np.ones(6), size=90).astype(np.float32)
    target, ties = np.array([9.0, 0.0, 2.0, 4.0, 3.0, 1.0]), rng.random(90)
    found = balanced_kcenter(points, labeled, p, target, 40, 0.7, ties)
    literal = literal_kcenter(points.tolist(), labeled.tolist(), p.tolist(), target.tolist(), 40, 0.7, ties.tolist())
    assert found.tolist() == literal


def test_without_a_weight_it_is_kcenter() -> None:
    rng = np.random.default_rng(2)
    points, labeled, ties = rng.normal(size=(60, 4)), rng.normal(size=(3, 4)), rng.random(60)
    from plugins.coverage.kcenter import kcenter_greedy

    order, _ = kcenter_greedy(points, labeled, 20, ties)
    found = balanced_kcenter(points, labeled, np.full((60, 2), 0.5), np.zeros(2), 20, 0.0, ties)
    assert found.tolist() == order.tolist()


def test_the_pseudo_label_selector_says_what_it_believes() -> None:
    known = evidence(50, labels=np.array([0, 0, 0, 1]))
    chosen = make("selector", "pseudo_label_balanced").select(known, np.linspace(0, 1, 50), 8)
    assert chosen.reason is not None
    assert "the model says" in chosen.reason(int(chosen.order[0]))
    assert chosen.facts["wanted"] == [0.0, 2.0, 3.0, 3.0]
