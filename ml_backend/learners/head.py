"""The linear head: L2-regularised multinomial logistic regression on fixed features, refit from zero each time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import NDArray

from ml_backend.learners.dropout import Columns, Means
from ml_backend.learners.pixels import cores, one_blas_thread
from plugins.contract import FloatArray, IntArray

Doubles = NDArray[np.float64]
BLOCK = 16_384  # rows


@dataclass(frozen=True)
class Scaling:
    """Features are centred at `centre` (D,) and divided by one number, their overall root mean square `scale`.

    One number for all columns leaves constant columns at zero and the shares of the others as they are.
    """

    centre: Doubles
    scale: float

    @classmethod
    def of(cls, *parts: FloatArray) -> Scaling:
        """Of all rows of the (n, D) parts together."""
        n = sum(len(part) for part in parts)
        centre = np.sum([part.sum(axis=0, dtype=np.float64) for part in parts], axis=0) / n
        square = sum(float(((block - centre) ** 2).sum()) for part in parts for block in _blocks(part))
        scale = (square / (n * len(centre))) ** 0.5
        return cls(centre, scale if scale > 0 else 1.0)


def _blocks(rows: FloatArray) -> list[FloatArray]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]


@dataclass(frozen=True)
class Head:
    """A fitted head over C classes, in the units of the raw features.

    weights (D, C) and bias (C,) are zero for classes that had no label. Those classes share no evidence, so each gets
    the same `unseen` probability for every item, 1 / (L + C) (Laplace's rule of succession over L labels), and the
    seen classes share the rest by the softmax.
    """

    weights: Doubles
    bias: Doubles
    seen: NDArray[np.bool_]
    unseen: float

    def probabilities(self, features: FloatArray) -> Doubles:
        """(n, C), rows sum to 1, every entry positive unless the softmax underflows. features: (n, D)."""
        out = np.full((len(features), len(self.bias)), self.unseen)
        share = 1.0 - self.unseen * int((~self.seen).sum())
        for start in range(0, len(features), BLOCK):
            logits = features[start : start + BLOCK].astype(np.float64, copy=False) @ self.weights[:, self.seen]
            out[start : start + BLOCK, self.seen] = share * scipy.special.softmax(logits + self.bias[self.seen], axis=1)
        return out

    def labels(self, features: FloatArray) -> IntArray:
        """(n,) the likeliest class of each item, in single precision: for label histories."""
        seen = np.flatnonzero(self.seen)
        logits = features @ self.weights[:, seen].astype(features.dtype) + self.bias[seen].astype(features.dtype)
        return np.asarray(seen[logits.argmax(axis=1)])

    def thinned(self, centre: Doubles, mask: FloatArray) -> Head:
        """The head of one dropout pass: features less `centre` (D,) times mask (D,), then these weights and bias."""
        weights = mask[:, None] * self.weights
        return replace(self, weights=weights, bias=self.bias + centre @ (self.weights - weights))

    def expected(self, features: FloatArray, centre: Doubles, masks: FloatArray) -> Columns:
        """Means over M dropout passes on features (n, D); masks: (M, D)."""
        passes = [self.thinned(centre, mask) for mask in masks]
        means = Means(len(features), len(self.bias), len(passes))
        for start in range(0, len(features), BLOCK):
            rows = slice(start, min(start + BLOCK, len(features)))
            block = features[rows].astype(np.float64)  # once for all passes
            means.add(rows, (head.probabilities(block) for head in passes))
        return means.columns()


def objective(parameters: Doubles, x: Doubles, onehot: Doubles, l2: float) -> tuple[float, Doubles]:
    """Sum over items of -log softmax(x W + bias)[label] + l2 / 2 |W|^2, and its gradient; the bias is free.

    parameters: (D K + K,), W row by row and then the bias. x: (L, D). onehot: (L, K).
    """
    d, k = x.shape[1], onehot.shape[1]
    weights = parameters[: d * k].reshape(d, k)
    logits = x @ weights + parameters[d * k :]
    logits -= logits.max(axis=1, keepdims=True)
    own = float(np.vdot(logits, onehot))
    shares = np.exp(logits, out=logits)
    totals = shares.sum(axis=1, keepdims=True)
    loss = float(np.log(totals).sum()) - own + l2 / 2 * float(np.vdot(weights, weights))
    shares /= totals
    residual = np.subtract(shares, onehot, out=shares)
    gradient = np.concatenate([(x.T @ residual + l2 * weights).ravel(), residual.sum(axis=0)])
    return loss, gradient


@dataclass(frozen=True)
class Solver:
    """l2: penalty on the weights, on features of RMS 1. max_iterations: where L-BFGS stops at the latest."""

    l2: float = 1.0
    max_iterations: int = 300


@dataclass(frozen=True)
class Solution:
    """A head, how many iterations it took and whether the solver converged."""

    head: Head
    iterations: int
    converged: bool


def fit_head(
    features: FloatArray,
    labels: IntArray,
    classes: int,
    scaling: Scaling,
    solver: Solver,
    watch: Callable[[int, Head], None] | None = None,
) -> Solution:
    """L-BFGS from zero on (L, D) features and (L,) labels; `watch` sees the head after each iteration (from 0).

    The same optimum as scikit-learn's LogisticRegression(C=1 / solver.l2) on the scaled features.
    """
    x = (features - scaling.centre) / scaling.scale
    seen, position = np.unique(labels, return_inverse=True)
    onehot = np.eye(len(seen))[position]
    d, k = x.shape[1], len(seen)

    def head(parameters: Doubles) -> Head:
        weights, bias, mask = np.zeros((d, classes)), np.zeros(classes), np.zeros(classes, dtype=np.bool_)
        mask[seen] = True
        weights[:, seen] = parameters[: d * k].reshape(d, k) / scaling.scale
        bias[seen] = parameters[d * k :]
        bias -= scaling.centre @ weights
        return Head(weights, bias, mask, 1.0 / (len(labels) + classes))

    iteration = 0

    def step(parameters: NDArray[Any]) -> None:
        nonlocal iteration
        if watch is not None:
            watch(iteration, head(parameters))
        iteration += 1

    result = scipy.optimize.minimize(  # type: ignore[call-overload]  # scipy-stubs refuse a plain callback
        objective,
        np.zeros(d * k + k),
        args=(x, onehot, solver.l2),
        jac=True,
        method="L-BFGS-B",
        callback=step,
        options={"maxiter": solver.max_iterations, "ftol": 1e-8, "gtol": 1e-3},
    )
    return Solution(head(result.x), int(result.nit), bool(result.success))


def stratified_folds(labels: IntArray, folds: int, seed: int) -> IntArray:
    """(L,) fold of each label: every class dealt out in turn after a shuffle, the turns going on from class to class.

    A class with two labels or more is never in one fold alone.
    """
    rng = np.random.default_rng(seed)
    fold = np.empty(len(labels), dtype=np.int64)
    start = 0
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        fold[members] = (start + np.arange(len(members))) % folds
        start += len(members)
    return fold


def held_out_hits(
    features: FloatArray,
    labels: IntArray,
    classes: int,
    scaling: Scaling,
    solver: Solver,
    *,
    folds: int,
    seed: int,
) -> NDArray[np.bool_] | None:
    """(L,) whether each label is predicted by a head that has not seen it; None without two classes of two labels.

    The only label of a class counts as missed, as it would be in the pool.
    """
    counts = np.bincount(labels, minlength=classes)
    if (counts >= 2).sum() < 2:
        return None
    fold = stratified_folds(labels, min(folds, len(labels)), seed)
    hit = np.zeros(len(labels), dtype=np.bool_)

    def measure(number: int) -> None:
        out = fold == number
        fitted = fit_head(features[~out], labels[~out], classes, scaling, solver)
        hit[out] = fitted.head.labels(features[out]) == labels[out]

    with one_blas_thread(), ThreadPoolExecutor(cores()) as pool:
        list(pool.map(measure, range(int(fold.max()) + 1)))
    return hit
