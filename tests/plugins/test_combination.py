"""Combining scorers by percentile ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.combination import checked, combine, percentile_ranks
from plugins.contract import PluginError, Scores

values = st.lists(st.floats(-1e6, 1e6), max_size=30)


@given(values)
def test_percentile_rank_is_the_share_below_plus_half_the_ties(numbers: list[float]) -> None:
    n = len(numbers)
    literal = [
        0.5 if n == 1 else (sum(b < a for b in numbers) + (sum(b == a for b in numbers) - 1) / 2) / (n - 1)
        for a in numbers
    ]
    assert np.allclose(percentile_ranks(np.array(numbers)), literal)


@given(values, st.floats(0.01, 100))
def test_one_scorer_keeps_its_order(numbers: list[float], weight: float) -> None:
    array = np.array(numbers)
    combined = combine([(array, weight)])
    assert np.array_equal(np.argsort(combined, kind="stable"), np.argsort(array, kind="stable"))
    assert ((combined >= 0) & (combined <= 1 + 1e-12)).all()


def test_weights_only_count_relative_to_each_other() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(20), rng.random(20)
    assert np.allclose(combine([(a, 1.0), (b, 3.0)]), combine([(a, 10.0), (b, 30.0)]))
    expected = 0.25 * percentile_ranks(a) + 0.75 * percentile_ranks(b)
    assert np.allclose(combine([(a, 1.0), (b, 3.0)]), expected)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_must_be_positive(weight: float) -> None:
    with pytest.raises(PluginError, match="above 0"):
        combine([(np.ones(3), weight)])


def test_no_scorer_is_an_error() -> None:
    with pytest.raises(PluginError, match="enable at least one"):
        combine([])


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        (np.ones((3, 1)), r"shape \(3, 1\) for a pool of 3"),
        (np.ones(2), r"shape \(2,\) for a pool of 3"),
        (np.array(["a", "b", "c"]), "type <U1"),
        (np.array([1.0, np.inf, np.nan]), r"'odd' gave 2 of 3 values that are not finite \(position 1: inf\)"),
    ],
)
def test_values_are_checked(given_values: NDArray[np.float64], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        checked("odd", Scores(given_values, reason=str), 3)


def test_whole_numbers_become_float64() -> None:
    assert checked("fine", Scores(np.array([1, 2]), reason=str), 2).dtype == np.float64
