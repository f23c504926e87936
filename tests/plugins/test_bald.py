"""BALD against its formula on all passes at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.contract import PluginError
from plugins.evidence import Evidence
from plugins.registry import make
from plugins.uncertainty.bald import Passes, mutual_information


def literal(stochastic: NDArray[np.float64]) -> list[float]:
    """Houlsby et al. 2011, Eq. 2, over (N, M, C), one item and one term at a time."""

    def h(row: list[float]) -> float:
        return -sum(p * math.log(p) for p in row if p > 0)

    values = []
    for passes in stochastic.tolist():
        mean = [sum(p[c] for p in passes) / len(passes) for c in range(len(passes[0]))]
        values.append(h(mean) - sum(h(p) for p in passes) / len(passes))
    return values


def summed(stochastic: NDArray[np.float64]) -> Passes:
    n, m, classes = stochastic.shape
    passes = Passes(n, classes)
    for k in range(m):
        passes.add(stochastic[:, k])
    return passes


@given(st.integers(0, 6), st.integers(1, 8), st.integers(1, 5), st.sampled_from([0.05, 1.0]), st.integers(0, 2**32 - 1))
def test_two_summaries_give_the_mutual_information_of_all_passes(
    n: int, m: int, classes: int, alpha: float, seed: int
) -> None:
    stochastic = np.random.default_rng(seed).dirichlet(np.full(classes, alpha), size=(n, m))
    stochastic[stochastic.sum(axis=2) == 0, 0] = 1.0  # tiny alphas underflow to rows of zeros
    passes = summed(stochastic)
    assert passes.count == m
    assert np.allclose(passes.expected_probabilities, stochastic.mean(axis=1))
    values = mutual_information(passes.expected_probabilities, passes.expected_entropy)
    assert np.allclose(values, literal(stochastic), atol=1e-12)
    assert (values >= 0).all()
    assert (values <= math.log(min(m, classes)) + 1e-9).all()


def test_passes_that_agree_give_nothing_even_in_single_precision() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(10), size=500)
    entropy = -(rows * np.log(rows)).sum(axis=1)
    values = mutual_information(rows.astype(np.float32), entropy.astype(np.float32))
    assert values.min() == 0
    assert values.max() < 1e-5


def test_passes_must_fit_and_exist() -> None:
    passes = Passes(3, 2)
    with pytest.raises(ValueError, match=r"shape \(2, 2\) was added to passes of shape \(3, 2\)"):
        passes.add(np.ones((2, 2)))
    with pytest.raises(ValueError, match="No pass was added yet"):
        _ = passes.expected_entropy


def test_the_reason_names_disagreement_and_classes_and_columns_must_fit() -> None:
    columns = {
        "task_id": np.arange(1),
        "expected_probabilities": np.array([[0.5, 0.1, 0.4]]),
        "expected_entropy": np.array([0.2]),
    }
    scores = make("scorer", "bald").score(Evidence(columns, classes=("cat", "dog", "eel")))
    assert scores.reason(0) == "dropout passes differ by 0.74 nats, undecided between cat (0.50) and eel (0.40)"
    columns["expected_entropy"] = np.array([[0.2]])
    with pytest.raises(PluginError, match=r"shape \(1, 1\) beside expected probabilities of shape \(1, 3\)"):
        make("scorer", "bald").score(Evidence(columns, classes=("cat", "dog", "eel")))
