"""The order within a batch: whoever stops after k items should have k that are balanced, the most wanted ones first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plugins.contract import FloatArray, IntArray

WINDOW, SHARE = 64, 4  # the most wanted items among which balance decides: at least, and this part of the batch
MOST = 2 * 10**9  # operations, which narrow the window of a large batch
BLOCK = 2**20  # numbers at a time
TINY = 1e-12  # expected objects that count as none


def wanted_shares(target: FloatArray, classes: int) -> FloatArray:
    """(C,) what share of a batch each class should have; equal ones where nothing is wanted.

    >>> wanted_shares(np.array([3.0, 1.0]), 2).tolist(), wanted_shares(np.zeros(2), 2).tolist()
    ([0.75, 0.25], [0.5, 0.5])
    """
    total = float(target.sum())
    return np.asarray(target / total) if total > 0 else np.full(classes, 1 / classes)


def window_for(b: int, classes: int) -> int:
    """A window for a batch of b: a quarter of it, less where that would take seconds, and at least WINDOW.

    >>> window_for(100, 10), window_for(2_500, 100), window_for(10_000, 1_000)
    (64, 625, 200)
    """
    return max(WINDOW, min(b // SHARE, MOST // max(1, b * classes)))


def order_batch(
    probabilities: FloatArray,
    cost: FloatArray,
    target: FloatArray,
    ties: FloatArray,
    window: int | None = None,
    *,
    counts: bool = False,
) -> IntArray:
    """(b,) an order of b selected items whose every prefix is near the wanted shares, most wanted first within that.

    probabilities: (b, C) rows of the items. cost: (b,), lower is more wanted. target: (C,) Omega >= 0. ties: (b,).
    Item k + 1 is the one of the `window` cheapest left that brings ||(k + 1) shares - P^T z||_1 lowest, of equals the
    cheapest: b window C operations. A window of 1 is the order of cost, one of b looks at balance alone; by default
    `window_for`. counts: the rows are expected counts, and each item is asked for its part of all that the batch
    brings: by shares of the sum so far, frames without objects would balance best and come first.

    >>> P = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
    >>> order_batch(P, np.array([-0.9, -0.8, -0.1]), np.array([1.0, 1.0]), np.zeros(3)).tolist()
    [1, 2, 0]
    """
    b, classes = probabilities.shape
    if cost.shape != (b,) or ties.shape != (b,) or target.shape != (classes,):
        raise ValueError(
            f"The rows have shape {probabilities.shape}, cost {cost.shape}, ties {ties.shape}, target {target.shape}; "
            "give (b, C), (b,), (b,) and (C,)."
        )
    window = window_for(b, classes) if window is None else window
    if window < 1:
        raise ValueError(f"The window is {window}; give 1 or more items.")
    shares = wanted_shares(np.asarray(target, dtype=np.float64), classes)
    if counts and b:
        shares = shares * (float(probabilities.sum(dtype=np.float64)) / b)
    by_cost = np.lexsort((ties, cost))
    waiting = by_cost[:window].copy()
    rows = probabilities[waiting].astype(np.float64)
    rank = np.arange(len(waiting))  # in the order of cost
    residual = np.zeros(classes)
    order = np.empty(b, dtype=np.int64)
    for k in range(b):
        residual += shares
        away = np.abs(residual - rows).sum(axis=1)
        best = int(away.argmin())
        if np.count_nonzero(away <= away[best] + 1e-12) > 1:
            equal = np.flatnonzero(away <= away[best] + 1e-12)
            best = int(equal[rank[equal].argmin()])
        order[k] = waiting[best]
        residual -= rows[best]
        if k + window < b:
            waiting[best], rank[best] = by_cost[k + window], k + window
            rows[best] = probabilities[waiting[best]]
        else:
            last = len(waiting) - 1
            waiting[best], rank[best], rows[best] = waiting[last], rank[last], rows[last]
            waiting, rank, rows = waiting[:last], rank[:last], rows[:last]
    return order


def prefix_scores(
    probabilities: FloatArray, order: IntArray, target: FloatArray, *, counts: bool = False
) -> FloatArray:
    """(b,) imbalance of the first 1 .. b items of an order, 0 as wanted to 1 all in the least wanted class.

    ||got - k shares||_1 / (2 k (1 - min shares)), which for equal shares is thesis Eq. 4.10, with expected counts.
    counts: the rows sum to anything, so k is what came, and where nothing came the score is 0.

    >>> P = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> prefix_scores(P, np.array([0, 1]), np.ones(2)).tolist()
    [1.0, 0.0]
    """
    classes = probabilities.shape[1]
    shares = wanted_shares(np.asarray(target, dtype=np.float64), classes)
    most = 1 - float(shares.min())
    out = np.zeros(len(order))
    if most == 0:
        return out
    got = np.zeros(classes)
    size = max(1, BLOCK // classes)
    for start in range(0, len(order), size):
        part = order[start : start + size]
        sums = got + np.cumsum(probabilities[part], axis=0, dtype=np.float64)
        k = sums.sum(axis=1) if counts else np.arange(start + 1.0, start + len(part) + 1)
        away = np.abs(sums - k[:, None] * shares).sum(axis=1)
        out[start : start + len(part)] = away / (2 * np.maximum(k, TINY) * most)
        got = sums[-1]
    return out


@dataclass(frozen=True)
class Orders:
    """The mean of `prefix_scores` over all prefixes: of an order, of the order of cost, and of random orders."""

    ours: float
    by_cost: float
    random: float


def compare_orders(
    probabilities: FloatArray,
    cost: FloatArray,
    target: FloatArray,
    ties: FloatArray,
    order: IntArray,
    seed: int = 0,
    draws: int = 5,
    *,
    counts: bool = False,
) -> Orders:
    """What an order of a batch is worth beside the two that cost nothing; lower is more balanced. Arrays as above."""
    rng = np.random.default_rng(seed)

    def mean(one: IntArray) -> float:
        return float(prefix_scores(probabilities, one, target, counts=counts).mean())

    drawn = [mean(rng.permutation(len(cost))) for _ in range(draws)]
    return Orders(mean(order), mean(np.lexsort((ties, cost))), float(np.mean(drawn)))
