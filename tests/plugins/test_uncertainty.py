"""The scorers against literal references, one number at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.contract import Scorer
from plugins.evidence import Evidence
from plugins.registry import make
from plugins.uncertainty import distributions
from plugins.uncertainty.entropy import soften
from plugins.uncertainty.margin import undecided


def literal(name: str, row: list[float]) -> float:
    ordered = sorted(row, reverse=True)
    if name == "least_confidence":
        return 1 - ordered[0]
    if name == "margin":
        return 1 - (ordered[0] - (ordered[1] if len(ordered) > 1 else 0.0))
    return -sum(p * math.log(p) for p in row if p > 0)


def known(probabilities: NDArray[np.float64], classes: tuple[str, ...] = ()) -> Evidence:
    n, c = probabilities.shape
    names = classes or tuple(str(k) for k in range(c))
    return Evidence({"task_id": np.arange(n), "probabilities": probabilities}, classes=names)


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy"])
@given(st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=6), min_size=1, max_size=8))
def test_scorer_equals_its_formula(name: str, rows: list[list[int]]) -> None:
    width = min(len(row) for row in rows)
    counts = np.array([row[:width] for row in rows], dtype=np.float64)
    counts[:, 0] += counts.sum(axis=1) == 0
    probabilities = counts / counts.sum(axis=1, keepdims=True)
    values = make("scorer", name).score(known(probabilities)).values
    assert np.allclose(values, [literal(name, row) for row in probabilities.tolist()], atol=1e-12)


def test_blocks_of_rows_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=10)
    whole = make("scorer", "margin").score(known(probabilities)).values
    monkeypatch.setattr(distributions, "ENTRIES", 9)
    assert np.array_equal(make("scorer", "margin").score(known(probabilities)).values, whole)


def test_margin_is_the_same_for_few_and_many_classes() -> None:
    probabilities = np.random.default_rng(1).dirichlet(np.full(60, 0.2), size=200)
    literal_ = [literal("margin", row) for row in probabilities.tolist()]
    assert np.allclose(make("scorer", "margin").score(known(probabilities)).values, literal_, atol=1e-12)
    few = probabilities[:, :40] / probabilities[:, :40].sum(axis=1, keepdims=True)
    literal_ = [literal("margin", row) for row in few.tolist()]
    assert np.allclose(make("scorer", "margin").score(known(few)).values, literal_, atol=1e-12)
    few[7, 3] = np.nan
    assert np.flatnonzero(np.isnan(make("scorer", "margin").score(known(few)).values)).tolist() == [7]


@given(st.floats(0.05, 50))
def test_softening_is_the_softmax_of_logits_over_temperature(temperature: float) -> None:
    logits = np.array([[1.0, -2.0, 0.5], [30.0, 0.0, -30.0]])
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    q = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    expected = q / q.sum(axis=1, keepdims=True)
    assert np.allclose(soften(p / p.sum(axis=1, keepdims=True), temperature), expected, atol=1e-12)


def test_temperature_is_used() -> None:
    probabilities = np.array([[0.9, 0.1]])
    hot: Scorer[object] = make("scorer", "entropy", {"temperature": 5.0})  # type: ignore[type-var]
    assert hot.score(known(probabilities)).values > make("scorer", "entropy").score(known(probabilities)).values


def test_reasons_are_sentences_for_annotators() -> None:
    some = known(np.array([[0.21, 0.41, 0.38]]), ("5", "3", "8"))
    reasons = {name: make("scorer", name).score(some).reason(0) for name in ("margin", "entropy", "least_confidence")}
    assert reasons == {
        "margin": "undecided between 3 (0.41) and 8 (0.38)",
        "entropy": "spread over 3 0.41, 8 0.38, 5 0.21",
        "least_confidence": "the best guess is only 3 0.41",
    }
    assert undecided(np.array([1.0]), ("3",)) == "the only class is 3 (1.00)"


def test_random_is_uniform_and_differs_by_seed_and_from_the_jitter() -> None:
    ids = np.arange(20_000)
    drawn = [make("scorer", "random").score(Evidence({"task_id": ids}, classes=(), seed=s)).values for s in (0, 1)]
    histogram = np.histogram(drawn[0], bins=20, range=(0, 1))[0]
    assert ((histogram - 1000) ** 2 / 1000).sum() < 50  # chi squared, 19 degrees of freedom, p about 1e-4
    jitter = Evidence({"task_id": ids}, classes=(), seed=0).jitter
    for other in (drawn[1], jitter):
        assert abs(np.corrcoef(drawn[0], other)[0, 1]) < 0.03
