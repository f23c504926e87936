"""The linear head against scikit-learn, finite differences and its own promises."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ml_backend.learners.contract import Accuracy
from ml_backend.learners.head import Head, Scaling, Solver, fit_head, held_out_hits, objective, stratified_folds
from ml_backend.learners.labels import held_out_part
from tests.learners.conftest import Digits


def problem(classes: int = 3, n: int = 60, width: int = 5) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    return (rng.normal(size=(n, width)) + labels[:, None]).astype(np.float32), labels


def test_gradient_is_the_derivative() -> None:
    x, labels = problem(n=12)
    start = np.random.default_rng(1).normal(size=5 * 3 + 3)
    onehot = np.eye(3)[labels]
    _, gradient = objective(start, x.astype(np.float64), onehot, 0.7)

    def loss(parameters: NDArray[np.float64]) -> float:
        return objective(parameters, x.astype(np.float64), onehot, 0.7)[0]

    numeric = scipy.optimize.approx_fprime(start, loss, 1e-6)
    assert np.allclose(gradient, numeric, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("l2", [0.1, 1.0, 10.0])
def test_same_optimum_as_scikit_learn(l2: float) -> None:
    x, labels = problem()
    scaling = Scaling.of(x)
    fitted = fit_head(x, labels, 3, scaling, Solver(l2, 2000))
    peer = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=5000).fit((x - scaling.centre) / scaling.scale, labels)
    expected = peer.predict_proba((x - scaling.centre) / scaling.scale)
    assert fitted.converged
    assert np.allclose(fitted.head.probabilities(x), expected, atol=5e-3)


def test_constant_columns_are_harmless() -> None:
    x, labels = problem()
    padded = np.concatenate([x, np.full((len(x), 2), 7, dtype=np.float32)], axis=1)
    with np.errstate(all="raise"):
        fitted = fit_head(padded, labels, 3, Scaling.of(padded), Solver())
    assert np.isfinite(fitted.head.probabilities(padded)).all()
    flat = np.ones((6, 2), dtype=np.float32)
    share = fit_head(flat, np.array([0, 0, 0, 0, 1, 1]), 2, Scaling.of(flat), Solver()).head.probabilities(flat)
    assert np.allclose(share, [2 / 3, 1 / 3], atol=1e-3)


def test_classes_without_labels_share_laplace() -> None:
    x, labels = problem()
    head = fit_head(x, np.where(labels == 2, 4, labels), 6, Scaling.of(x), Solver()).head
    p = head.probabilities(x)
    assert np.allclose(p.sum(axis=1), 1)
    assert np.allclose(p[:, [2, 3, 5]], 1 / (60 + 6))
    assert set(head.labels(x)) <= {0, 1, 4}


def test_watch_sees_every_iteration_from_zero() -> None:
    x, labels = problem()
    seen: list[int] = []
    fitted = fit_head(x, labels, 3, Scaling.of(x), Solver(1.0, 7), lambda i, _: seen.append(i))
    assert seen == list(range(fitted.iterations))
    assert not fitted.converged


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.integers(2, 6), st.integers(0, 9))
def test_folds_are_even_and_stratified(labels: list[int], folds: int, seed: int) -> None:
    array = np.array(labels)
    fold = stratified_folds(array, folds, seed)
    sizes = np.bincount(fold, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for label in set(labels):
        shares = np.bincount(fold[array == label], minlength=folds)
        assert shares.max() - shares.min() <= 1


def test_held_out_labels_are_never_seen() -> None:
    """Random labels on features that identify each item: a head that had seen a label would know it."""
    rng = np.random.default_rng(0)
    x, labels = np.eye(80, dtype=np.float32), rng.integers(0, 2, size=80)
    hits = held_out_hits(x, labels, 2, Scaling.of(x), Solver(0.01), folds=5, seed=0)
    assert hits is not None
    assert hits.mean() < 0.75


def test_accuracy_needs_two_classes_of_two_and_counts_singletons_as_missed() -> None:
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    setting = {"folds": 5, "seed": 0}
    assert held_out_hits(x, np.array([0, 0, 0, 1, 2]), 3, Scaling.of(x), Solver(), **setting) is None
    hits = held_out_hits(x, np.array([0, 0, 1, 1, 2]), 3, Scaling.of(x), Solver(), **setting)
    assert hits is not None
    assert not hits[4]


def test_estimate_agrees_with_the_truth(digits: Digits) -> None:
    from PIL import Image

    pixels = np.stack([np.asarray(Image.open(path)).ravel() for path in digits.images.paths]).astype(np.float32)
    hits = held_out_hits(pixels[:200], digits.labels[:200], 10, Scaling.of(pixels), Solver(), folds=5, seed=0)
    assert hits is not None
    head: Head = fit_head(pixels[:200], digits.labels[:200], 10, Scaling.of(pixels), Solver()).head
    truth = (head.labels(pixels[200:]) == digits.labels[200:]).mean()
    measured = Accuracy.from_hits(int(hits.sum()), len(hits))
    assert measured.low <= truth <= measured.high


def test_wilson_interval_is_the_published_one() -> None:
    """Newcombe 1998, Table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    table = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (hits, n), (low, high) in table.items():
        measured = Accuracy.from_hits(hits, n)
        assert (round(measured.low, 4), round(measured.high, 4)) == (low, high)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=80), st.floats(0, 0.5))
def test_no_class_loses_its_last_label_to_measuring(labels: list[int], share: float) -> None:
    array = np.array(labels)
    out = held_out_part(array, share, 0)
    assert set(np.delete(array, out)) == set(labels)
    assert len(out) <= share * len(labels) + 1
