"""The class-balanced selectors as plugins: the thesis' program around any scores, lambda, sentences, refusals."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from plugins.balance.class_balanced import candidate_weights
from plugins.balance.path import smallest_sufficient
from plugins.balance.wanted import wanted
from plugins.conformance.made_up import evidence
from plugins.contract import PluginError, Selection
from plugins.evidence import Evidence
from plugins.registry import make
from plugins.uncertainty.entropy import entropy

LABELS = np.array([0] * 12 + [1] * 3 + [2])  # cat, dog, eel; nobody has seen a fox


def select(known: Evidence, values: Any, budget: int, name: str = "class_balanced", **config: Any) -> Selection:
    selection: Selection = make("selector", name, config).select(known, np.asarray(values), budget)
    return selection


def test_around_entropy_it_is_equation_4_8_over_all_batches() -> None:
    known = evidence(12, labels=LABELS)
    rows = known.probabilities.astype(np.float64)
    cost, target = -entropy(rows), wanted(known.counts, 4, np.ones(4))

    def objective(batch: tuple[int, ...]) -> float:
        return float(cost[list(batch)].sum() + 0.6 * np.abs(target - rows[list(batch)].sum(axis=0)).sum())

    best = min(combinations(range(12), 4), key=objective)
    chosen = select(known, -cost, 4, weight=0.6)
    assert sorted(chosen.order.tolist()) == list(best)
    assert chosen.facts["objective"] == pytest.approx(objective(best))
    assert (chosen.gap, chosen.facts["weight"], chosen.facts["path"]) == (0.0, 0.6, [])
    assert chosen.bound is not None
    assert chosen.bound <= objective(best) + 1e-12
    (note,) = chosen.notes
    assert note.startswith("The batch was chosen with a balance weight of 0.6 and is proven to be the best one")


def test_auto_takes_the_smallest_weight_after_which_balance_stands_still() -> None:
    known = evidence(300, labels=LABELS)
    values = entropy(known.probabilities.astype(np.float64))
    chosen = select(known, values, 20)
    path = chosen.facts["path"]
    weights, distances = np.array([step["weight"] for step in path]), np.array([step["distance"] for step in path])
    assert weights.tolist() == candidate_weights(-values).tolist()
    place = smallest_sufficient(weights, distances, 0.05)
    assert chosen.facts["weight"] == weights[place]
    assert chosen.facts["distance"] == pytest.approx(distances[place], rel=0.05)
    assert np.all(np.diff(distances) <= 0.01 * distances[0]), "more weight balances better"
    assert np.all(np.diff([step["cost"] for step in path]) >= -0.01), "and costs more of the scores"
    assert 0 < place < len(weights) - 1


def test_a_weight_of_nothing_is_the_order_of_the_scores() -> None:
    known, values = evidence(40), np.random.default_rng(0).random(40)
    assert set(select(known, values, 9, weight=0).order.tolist()) == set(np.argsort(-values)[:9].tolist())


def test_the_batch_brings_what_is_missing_and_says_so() -> None:
    known = evidence(400, labels=LABELS)
    chosen = select(known, np.random.default_rng(1).random(400), 24, weight=5.0)
    assert chosen.facts["wanted"] == [0.0, 7.0, 9.0, 10.0]
    got = np.array(chosen.facts["expected"])
    assert np.abs(got[1:] - [7, 9, 10]).sum() < 4
    assert chosen.reason is not None
    said = {chosen.reason(int(item)).split(":")[0] for item in chosen.order}
    assert {"dog", "eel", "fox"} <= said
    eel = next(chosen.reason(int(i)) for i in chosen.order if chosen.reason(int(i)).startswith("eel"))
    assert "eel: 1 of 10 labeled so far; this is p" in eel


def test_an_unfinished_batch_is_nearly_balanced() -> None:
    known = evidence(500, labels=LABELS)
    chosen = select(known, np.random.default_rng(2).random(500), 40, weight=3.0)
    prefixes = chosen.facts["prefixes"]
    assert prefixes["ours"] < 0.6 * min(prefixes["by_cost"], prefixes["random"])


@pytest.mark.parametrize("distance", ["l2", "l2_squared", "wasserstein"])
def test_other_distances(distance: str) -> None:
    points = np.random.default_rng(4).normal(size=(len(LABELS), 6)).astype(np.float32)
    known = evidence(60, labels=LABELS, labeled_embeddings=points)
    chosen = select(known, np.random.default_rng(3).random(60), 10, distance=distance, weight=1.0)
    assert len(chosen.order) == 10
    assert chosen.gap is not None
    assert 0 <= chosen.gap < 0.05


def test_a_target_may_be_the_pools_or_given() -> None:
    known = evidence(200, labels=LABELS)
    by_pool = select(known, np.zeros(200), 30, target="pool", weight=2.0)
    there = known.probabilities.sum(axis=0, dtype=np.float64) + known.counts
    assert by_pool.facts["wanted"] == pytest.approx(np.maximum(there / there.sum() * 46 - known.counts, 0))
    foxes = select(known, np.zeros(200), 10, target={"fox": 1.0}, weight=2.0)
    likeliest = known.probabilities[foxes.order].argmax(axis=1)
    assert (likeliest == 3).all()


@pytest.mark.parametrize("name", ["class_balanced", "class_balanced_kcenter", "pseudo_label_balanced"])
def test_a_class_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(
        PluginError, match=f"Selector '{name}': target names 'cow', which is no class; classes: cat, dog"
    ):
        select(evidence(9), np.zeros(9), 3, name, target={"cow": 1.0})
    with pytest.raises(
        PluginError, match=f"Selector '{name}': target.cat = -1: Input should be greater than or equal to 0"
    ):
        make("selector", name, {"target": {"cat": -1}})


def test_a_bad_weight_is_told_what_it_may_be() -> None:
    with pytest.raises(PluginError, match="weight = -1: Input should be greater than or equal to 0 or Input should be"):
        make("selector", "class_balanced", {"weight": -1})


def test_rows_that_are_no_distributions_are_named() -> None:
    rows = np.full((9, 4), 0.25)
    rows[5] = 0.5
    with pytest.raises(PluginError, match="Selector 'class_balanced': Row 5 of the probabilities sums to 2"):
        select(evidence(9, probabilities=rows), np.zeros(9), 3, weight=1.0)


def test_kcenter_balances_as_it_covers() -> None:
    known = evidence(300, labels=LABELS, labeled_embeddings=np.zeros((len(LABELS), 6), np.float32))
    plain, even = (
        select(known, np.zeros(300), 24, "class_balanced_kcenter", weight=weight).facts["distance"]
        for weight in (0.0, 2.0)
    )
    assert even < plain / 3
