"""Every registered plugin passes the contract suite."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from plugins.combination import checked
from plugins.contract import Plugin, PluginError, Scorer, Selector
from tests.plugins import contract

every_scorer = pytest.mark.parametrize("scorer", contract.scorers(), ids=lambda plugin: plugin.name)
every_selector = pytest.mark.parametrize("selector", contract.selectors(), ids=lambda plugin: plugin.name)


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@every_scorer
@pytest.mark.parametrize("n", [0, 1, 2, 57])
@pytest.mark.parametrize("classes", [1, 2, 4])
def test_scorer_gives_one_finite_value_per_item(scorer: Scorer[Any], n: int, classes: int) -> None:
    values = contract.score(scorer, contract.evidence(n, classes=classes))
    assert np.isfinite(values).all()


@every_scorer
def test_scorer_is_deterministic_and_reads_both_precisions(scorer: Scorer[Any]) -> None:
    single = contract.score(scorer, contract.evidence(50))
    assert np.array_equal(single, contract.score(scorer, contract.evidence(50)))
    assert np.allclose(single, contract.score(scorer, contract.evidence(50, dtype=np.float64)), atol=1e-5)


@every_scorer
def test_scorer_ignores_the_pool_order(scorer: Scorer[Any]) -> None:
    order = np.random.default_rng(1).permutation(50)
    straight = contract.score(scorer, contract.evidence(50))
    assert np.array_equal(contract.score(scorer, contract.evidence(50, order=order)), straight[order])


@pytest.mark.parametrize(
    "scorer", [s for s in contract.scorers() if "probabilities" in s.needs], ids=lambda plugin: plugin.name
)
def test_probabilities_that_are_not_finite_are_caught(scorer: Scorer[Any]) -> None:
    broken = np.full((6, 4), 0.25)
    broken[2, 1] = np.nan
    known = contract.evidence(6, probabilities=broken)
    with pytest.raises(PluginError, match=f"'{scorer.name}' gave 1 of 6 values"):
        checked(scorer.name, scorer.score(known), 6)


@every_scorer
def test_scorer_memory_is_bounded_by_the_evidence(scorer: Scorer[Any]) -> None:
    known = contract.evidence(200_000, classes=10)
    contract.score(scorer, contract.evidence(5))
    evidence_bytes = known.probabilities.nbytes
    assert contract.peak(lambda: scorer.score(known)) < 4 * evidence_bytes


@every_selector
@pytest.mark.parametrize("n", [0, 1, 40])
@pytest.mark.parametrize("budget", [0, 1, 7, 40, 99])
@pytest.mark.parametrize("labeled", [0, 1, 5])
def test_selector_orders_as_many_as_there_are(selector: Selector[Any], n: int, budget: int, labeled: int) -> None:
    contract.select(selector, contract.evidence(n, labeled=labeled), np.random.default_rng(2).random(n), budget)


@every_selector
def test_selector_copes_with_identical_items(selector: Selector[Any]) -> None:
    same = np.ones((30, 6), dtype=np.float32)
    for points in (same, np.concatenate([same[:28], np.zeros((2, 6), dtype=np.float32)])):
        contract.select(selector, contract.evidence(30, embeddings=points), np.zeros(30), 12)
    some = contract.evidence(30, embeddings=same.copy(), labeled_embeddings=same[:5].copy())
    contract.select(selector, some, np.zeros(30), 12)


@every_selector
@pytest.mark.parametrize("ties", [False, True])
def test_selector_ignores_the_pool_order_and_is_deterministic(selector: Selector[Any], ties: bool) -> None:
    values = np.zeros(60) if ties else np.random.default_rng(3).random(60)
    order = np.random.default_rng(4).permutation(60)
    straight = contract.evidence(60)
    shuffled = contract.evidence(60, order=order)
    first = contract.select(selector, straight, values, 15).order
    again = contract.select(selector, straight, values, 15).order
    other = contract.select(selector, shuffled, values[order], 15).order
    assert np.array_equal(first, again)
    assert np.array_equal(straight.task_id[first], shuffled.task_id[other])


@every_selector
def test_ties_depend_on_the_seed(selector: Selector[Any]) -> None:
    same = np.ones((60, 6), dtype=np.float32)
    orders = {
        tuple(contract.select(selector, contract.evidence(60, seed=s, embeddings=same), np.zeros(60), 15).order)
        for s in range(5)
    }
    assert len(orders) > 1


@every_selector
def test_selector_refuses_values_that_are_not_finite(selector: Selector[Any]) -> None:
    with pytest.raises(PluginError, match="not finite"):
        selector.select(contract.evidence(5), np.array([1.0, np.nan, 0.0, 0.0, np.inf]), 2)


@every_selector
def test_selector_memory_is_bounded_by_the_evidence(selector: Selector[Any]) -> None:
    n, rng = 20_000, np.random.default_rng(5)
    known = contract.evidence(
        n, embeddings=rng.normal(size=(n, 64)).astype(np.float32), labeled_embeddings=np.empty((0, 64))
    )
    contract.select(selector, contract.evidence(50), np.zeros(50), 5)
    assert contract.peak(lambda: selector.select(known, rng.random(n), 20)) < 8 * known.embeddings.nbytes


@pytest.mark.parametrize("cls", contract.everything(), ids=lambda cls: cls.name)
def test_plugin_documents_itself(cls: type[Plugin[Any]]) -> None:
    assert cls.title
    assert cls.reference
    assert cls.summary.endswith(".")
    assert cls.__doc__
    for name, field in cls.Config.model_json_schema().get("properties", {}).items():
        assert field.get("description", "").endswith("."), (
            f"{cls.name}.{name} has no description that ends in a full stop"
        )
