"""Intervals and verdicts, against literal references and against chance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from simulation.curve import Curve
from simulation.statistics import Comparison, band, compare, estimate, interval, levels, resamples, verdict

LABELS = np.array([10, 20, 30])


def curve(*rows: list[float]) -> Curve:
    return Curve(LABELS, np.array(rows))


def test_few_seeds_are_resampled_exhaustively() -> None:
    assert sorted(map(tuple, resamples(3).tolist())) == sorted(itertools.product(range(3), repeat=3))
    assert resamples(5).shape == (3125, 5)
    assert resamples(20).shape == (10_000, 20)
    assert np.array_equal(resamples(20), resamples(20))


def test_the_interval_is_hesterbergs_expanded_percentile() -> None:
    values = np.random.default_rng(0).normal(size=5)
    wide = np.sqrt(5 / 4) * scipy.stats.t.ppf(0.975, 4)
    share = scipy.stats.norm.cdf(-wide)
    means = [np.mean(chosen) for chosen in itertools.product(values, repeat=5)]
    assert interval(values) == pytest.approx((np.quantile(means, share), np.quantile(means, 1 - share)))
    assert levels(5)[0] == pytest.approx(share)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    for seeds, wanted in ((5, 0.88), (20, 0.92)):
        covered = 0
        for _ in range(300):
            low, high = interval(rng.normal(3.0, 1.0, size=seeds))
            covered += low <= 3.0 <= high
        assert wanted <= covered / 300 <= 0.99


def test_one_seed_has_no_width() -> None:
    only = estimate(np.array([0.5]))
    assert (only.value, only.low, only.high) == (0.5, 0.5, 0.5)


def test_differences_are_paired_by_seed() -> None:
    """Seeds that differ much more than the methods do: only the paired difference is narrow."""
    luck = np.random.default_rng(2).normal(0, 0.1, size=(8, 1))
    twin = Curve(LABELS, 0.6 + luck + np.array([0.0, 0.1, 0.15]))
    ours = Curve(LABELS, twin.accuracies + np.array([0.0, 0.02, 0.02]))
    found = compare("ours", ours, twin)
    assert found.area.value == pytest.approx(1.5)
    assert found.area.high - found.area.low < 1e-6
    assert found.better == 1.0
    assert found.final.value == pytest.approx(2.0)
    assert found.start.value == pytest.approx(0.0)
    low, high = band(ours)
    assert (high - low > 0.05).all()


def test_reach_and_saved_labels() -> None:
    twin = curve(*[[0.5, 0.6, 0.7]] * 5)
    ours = curve(*[[0.5, 0.7, 0.8]] * 5)
    found = compare("ours", ours, twin)
    assert found.reach is not None
    assert found.saved is not None
    assert (found.reach.value, found.reach.low, found.reach.high) == (20, 20, 20)
    assert found.saved.value == 10
    assert compare("worse", curve(*[[0.1, 0.2, 0.3]] * 5), twin).reach is None


def test_reach_may_fail_in_some_resamples() -> None:
    twin = curve(*[[0.5, 0.6, 0.7]] * 5)
    ours = curve(*[[0.5, 0.69, value] for value in (0.4, 0.9, 0.9, 0.9, 0.9)])
    found = compare("ours", ours, twin)
    assert found.reach is not None
    assert found.reach.high == np.inf
    assert found.saved is not None
    assert found.saved.low == -np.inf
    assert "not always" in verdict(found, "random") or "Not better" in verdict(found, "random")


def test_methods_that_were_not_run_alike_are_refused() -> None:
    with pytest.raises(ValueError, match="other labels or seeds"):
        compare("x", Curve(LABELS + 1, np.zeros((2, 3))), Curve(LABELS, np.zeros((2, 3))))


def said(*differences: float) -> str:
    twin = Curve(LABELS, np.full((len(differences), 3), 0.5))
    ours = Curve(LABELS, 0.5 + np.array(differences)[:, None] / 100 * np.ones(3))
    return verdict(compare("ours", ours, twin), "random")


def test_verdicts_in_plain_words() -> None:
    assert said(1, 2, 1, 2, 1).startswith("Better than random: +1.4 points on average over the budget [+1.0, +2.0]")
    assert "with 10 labels" in said(1, 2, 1, 2, 1)
    assert said(-1, -2, -1, -2, -1).startswith("Worse than random at this budget: -1.4 points")
    assert said(1, -1, 1, -1, 0).startswith("Not better than random at this budget: +0.0 points")
    assert "2 of 5 seeds" in said(1, -1, 1, -1, 0)
    assert said(5).startswith("No verdict: 1 seed cannot")
    assert said(5, 5, 5, 5).startswith("No verdict: 4 seeds cannot")


def test_pure_chance_is_seldom_called_a_gain() -> None:
    rng = np.random.default_rng(3)
    claims = 0
    for _ in range(200):
        found: Comparison = compare(
            "noise", Curve(LABELS, rng.normal(0.5, 0.1, (8, 3))), Curve(LABELS, rng.normal(0.5, 0.1, (8, 3)))
        )
        claims += verdict(found, "random").startswith("Better")
    assert claims <= 12
