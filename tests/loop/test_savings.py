"""Labels saved: unbiased where theory says so, intervals that cover the truth, silence where nothing can be told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from ml_backend.learners.head import Scaling, Solver, fit_head
from ml_backend.loop.control import control_slots, interleave
from ml_backend.loop.reference import Labeled, in_order, savings_of
from ml_backend.loop.savings import (
    Draws,
    Range,
    collection_samples,
    compare,
    labels_for,
    random_curve,
    random_subset,
)
from plugins.contract import FloatArray, IntArray


def label_a_pool(hard: FloatArray, n: int, share: float, rng: np.random.Generator) -> tuple[IntArray, Draws]:
    """The first n labels of a queue that serves hard items first and a share at random: items, and the draws."""
    total = len(hard)
    slots = control_slots(total, share, rng.random(total))
    queue = interleave(np.argsort(-hard, kind="stable"), rng.permutation(total), slots)[:n]
    slots = slots[slots < n]
    return queue, Draws(slots, total - slots)


def test_accuracy_on_the_collection_is_unbiased_although_labels_were_chosen_for_being_hard() -> None:
    """A model that is wrong on hard items; the labeled half says .6, all labels .4 hits, the truth is in between."""
    rng = np.random.default_rng(0)
    hard = rng.random(200)
    right = (rng.random(200) > hard).astype(float)
    estimates, naive = [], []
    for _ in range(600):
        queue, draws = label_a_pool(hard, 60, 0.2, rng)
        hits = right[queue]
        estimates.append(collection_samples(hits, draws).mean())
        naive.append(hits.mean())
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - right.mean()) < 4 * error
    assert abs(np.mean(naive) - right.mean()) > 0.1, "what the labels themselves say is far off"


def test_collection_samples_are_the_literal_formula() -> None:
    rng = np.random.default_rng(1)
    hits, draws = rng.random(30), Draws(np.array([0, 4, 17, 29]), np.array([90, 86, 70, 55]))
    literal = [
        (sum(hits[:t]) + left * hits[t]) / (t + left)
        for t, left in zip(draws.item.tolist(), draws.left.tolist(), strict=True)
    ]
    assert collection_samples(np.stack([hits, hits]), draws) == pytest.approx(np.array([literal, literal]))


def test_random_subsets_are_as_random_labels_of_the_whole_collection() -> None:
    """Mean hardness of what is trained on: that of all items, although the draws come from what hard ones have left."""
    rng = np.random.default_rng(2)
    hard = rng.random(150)
    means, drawn_only = [], []
    for _ in range(500):
        queue, draws = label_a_pool(hard, 100, 0.2, rng)
        subset = random_subset(draws, 8, rng)
        assert len(set(subset.tolist())) == len(subset) == 8
        means.append(hard[queue[subset]].mean())
        drawn_only.append(hard[queue[draws.item]].mean())
    assert abs(np.mean(means) - hard.mean()) < 4 * np.std(means) / np.sqrt(500)
    assert np.mean(drawn_only) < hard.mean() - 0.05


@given(limit=st.floats(0.5, 1), reached=st.floats(0.05, 0.45), exponent=st.floats(0.5, 1), n=st.integers(41, 2000))
def test_a_power_law_is_inverted(limit: float, reached: float, exponent: float, n: int) -> None:
    accuracy = limit - (limit - reached) * (n / 40) ** -exponent
    law = {"reached": np.array([reached]), "limit": np.array([limit]), "exponent": np.array([exponent])}
    assert labels_for(np.array([accuracy]), at=40, most=10_000, **law) == pytest.approx(n, rel=1e-6)
    assert labels_for(np.array([limit]), at=40, most=777, **law).tolist() == [777]


def test_what_lies_beyond_all_labels_is_not_told() -> None:
    assert Range.of(np.array([5.0, 10.0, 10.0, 10.0]), beyond=10).value is None


class _Digits:
    """Margin-like active learning on the scanned digits, with a control arm, and the true random curve."""

    def __init__(self) -> None:
        digits = load_digits()
        self.x = (digits.images.reshape(len(digits.target), -1) / 16).astype(np.float32)
        self.y = digits.target.astype(np.int64)
        self.scaling, self.solver = Scaling.of(self.x), Solver(1.0, 100)

    def predict(self, trained_on: IntArray) -> IntArray:
        head = fit_head(self.x[trained_on], self.y[trained_on], 10, self.scaling, self.solver).head
        return np.asarray(head.labels(self.x))

    def active(self, seed: int, budget: int, share: float) -> Labeled:
        rng = np.random.default_rng(seed)
        total = len(self.y)
        labeled = rng.permutation(total)[:30].tolist()
        items = list(range(30))
        while len(labeled) < budget:
            pool = np.setdiff1d(np.arange(total), labeled)
            head = fit_head(self.x[labeled], self.y[labeled], 10, self.scaling, self.solver).head
            top = np.sort(head.probabilities(self.x[pool]), axis=1)[:, -2:]
            slots = control_slots(len(pool), share, rng.random(len(pool)))
            queue = interleave(np.argsort(top[:, 1] - top[:, 0]), rng.permutation(len(pool)), slots)[:30]
            items += (len(labeled) + slots[slots < 30]).tolist()
            labeled += pool[queue].tolist()
        where = np.array(labeled)
        draws = Draws(np.array(items), total - np.array(items))
        return Labeled(self.x[where], self.y[where], draws)


def test_on_digits_the_random_curve_is_met_and_the_interval_holds_the_true_saving() -> None:
    digits = _Digits()
    given = digits.active(seed=0, budget=240, share=0.5)
    total = len(digits.y)
    savings = savings_of(given, 10, total, digits.scaling, digits.solver, seed=0)
    assert savings is not None
    rng = np.random.default_rng(5)

    def random_accuracy(n: int) -> float:
        accuracies = []
        for _ in range(6):
            trained_on = rng.permutation(total)[:n]
            rest = np.setdiff1d(np.arange(total), trained_on)
            accuracies.append((digits.predict(trained_on)[rest] == digits.y[rest]).mean())
        return float(np.mean(accuracies))

    held = [point.low - 0.02 <= random_accuracy(n) <= point.high + 0.02 for n, point in savings.curve.items()]  # type: ignore[operator]  # measured points have both ends
    assert sum(held) >= len(held) - 1
    assert savings.labels == 216
    assert savings.accuracy.low is not None
    assert savings.needed.low is not None
    assert savings.needed.low < 500, "random labeling reaches .95 with about 500 labels here"
    assert savings.needed.high is None or savings.needed.high > 350
    if savings.saved.low is not None:
        assert savings.saved.low == pytest.approx(savings.needed.low - savings.labels)


def test_without_any_choice_nothing_is_saved_within_the_interval() -> None:
    """Everything drawn at random: the interval of what was saved holds zero."""
    rng = np.random.default_rng(6)
    total, n = 5000, 150
    labels = np.zeros(n, dtype=np.int64)
    draws = Draws(np.arange(n), total - np.arange(n))

    def predict(trained_on: IntArray) -> IntArray:
        return np.asarray(rng.random(n) > 1 - 0.5 * len(trained_on) ** -0.4, dtype=np.int64)

    curve = random_curve(predict, labels, draws, seed=0, go_on=lambda: True)
    assert curve is not None
    hits = (predict(np.arange(135)) == 0).astype(float)
    savings = compare(135, hits, curve, draws, total, seed=0)
    assert savings.saved.low is not None
    assert savings.saved.low < 0
    assert savings.saved.high is None or savings.saved.high > 0


def test_thirty_hits_of_thirty_are_not_certainty() -> None:
    draws = Draws(np.arange(30), 1000 - np.arange(30))
    curve = np.array([5, 10, 20]), np.ones((3, 10, 30))
    savings = compare(27, np.ones(30), curve, draws, 1000, seed=0)
    assert savings.accuracy.low is not None
    assert 0.88 < savings.accuracy.low < 0.96


def test_a_curve_that_takes_too_long_is_left_out() -> None:
    draws = Draws(np.arange(40), 100 - np.arange(40))
    left = iter([True, True, False])
    assert (
        random_curve(lambda _: np.zeros(40, np.int64), np.zeros(40, np.int64), draws, seed=0, go_on=lambda: next(left))
        is None
    )


def test_labels_are_put_in_the_order_they_were_given() -> None:
    features, tasks = np.arange(4.0)[:, None], np.array([7, 8, 9, 10])
    moments = {7: "2026-01-03T00:00:00Z", 8: "2026-01-01T00:00:00Z", 9: "2026-01-02T00:00:00Z"}
    given = in_order(features, np.array([0, 1, 2, 3]), tasks, {8: 0.1, 7: 0.125, 99: 0.5}, moments)
    assert given.labels.tolist() == [3, 1, 2, 0]
    assert given.features[:, 0].tolist() == [3, 1, 2, 0]
    assert (given.draws.item.tolist(), given.draws.left.tolist()) == ([1, 3], [10, 8])
