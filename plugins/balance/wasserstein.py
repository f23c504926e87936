"""The Wasserstein distance of a batch to what is wanted: how far labels would have to move between classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array
from scipy.spatial.distance import cdist

from plugins.balance.distances import Distance, Edge
from plugins.contract import FloatArray

POTENTIALS = 200  # kept to bound the distance of many residuals from below


def ground_from_embeddings(centres: FloatArray) -> FloatArray:
    """(C, C) Euclidean distances between class centres (C, D), in units of the largest.

    >>> ground_from_embeddings(np.array([[0.0], [1.0], [4.0]])).tolist()
    [[0.0, 0.25, 1.0], [0.25, 0.0, 0.75], [1.0, 0.75, 0.0]]
    """
    apart = cdist(centres, centres)
    largest = float(apart.max(initial=0.0))
    return np.asarray(apart / largest) if largest > 0 else apart


def shortest(ground: FloatArray, most: float) -> FloatArray:
    """(C, C) ground distances along the cheapest ways (Floyd 1962, Warshall 1962), none above `most`."""
    apart = np.minimum(ground, most)
    for via in range(len(apart)):
        np.minimum(apart, apart[:, via, None] + apart[via], out=apart)
    np.fill_diagonal(apart, 0.0)
    return apart


class Moves(Edge):
    """|y_i - y_j| <= reach_ij for every pair of classes and |y_i| <= alone: potentials of a metric."""

    def __init__(self, y: FloatArray, reach: FloatArray, alone: float) -> None:
        pairs = reach - (y[:, None] - y)
        np.fill_diagonal(pairs, 1.0)  # y_i - y_i <= 1 binds nothing
        super().__init__(len(y), np.concatenate([alone - y, alone + y, pairs.ravel()]))

    def normals(self, step: FloatArray) -> FloatArray:
        return np.concatenate([step, -step, (step[:, None] - step).ravel()])

    def pull(self, multipliers: FloatArray) -> FloatArray:
        one, other, pairs = self._parts(multipliers)
        return np.asarray(one - other + pairs.sum(axis=1) - pairs.sum(axis=0))

    def hessian(self, multipliers: FloatArray) -> FloatArray:
        one, other, pairs = self._parts(multipliers / self.slack)
        np.fill_diagonal(pairs, 0.0)
        laplacian = -(pairs + pairs.T)
        laplacian[np.diag_indices_from(laplacian)] += one + other + pairs.sum(axis=1) + pairs.sum(axis=0)
        return laplacian

    def _parts(self, multipliers: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        c = self.classes
        return multipliers[:c], multipliers[c : 2 * c], multipliers[2 * c :].reshape(c, c)


class Wasserstein(Distance):
    """weight * the least price of moving, adding and removing labels until the batch is what is wanted.

    A label moved from class i to j costs ground[i, j], one added or removed costs `price`: the Kantorovich-Rubinstein
    norm of the residual (Hanin 1992; Piccoli & Rossi 2014). A target and a batch rarely hold equally many labels, and
    scaling one to the other would hide how many are missing; with equally many, and price >= max(ground) / 2, this is
    the ordinary W1. Without a triangle inequality in `ground`, labels take the cheapest way. Y holds the potentials:
    |y_i| <= weight price, |y_i - y_j| <= weight ground[i, j]. With ground = 2 and price = 1 it is l1.

    >>> ground = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> float(Wasserstein(1.0, ground, price=3.0).value(np.array([2.0, -1.0])))  # one moved, one added
    4.0
    """

    cheap = False

    def __init__(self, weight: float, ground: FloatArray, price: float | None = None) -> None:
        super().__init__(weight, len(ground))
        self.price = price if price is not None else max(float(ground.max(initial=0.0)) / 2, 1e-12)
        self.ground = shortest(ground, 2 * self.price)
        self._potentials = np.concatenate([np.zeros((1, len(ground))), np.full((1, len(ground)), self.price)])

    def value(self, residuals: FloatArray) -> FloatArray:
        if residuals.ndim > 1:
            flat = residuals.reshape(-1, self.classes)
            return np.array([float(self.value(row)) for row in flat]).reshape(residuals.shape[:-1])
        cost, potential = transport(residuals, self.ground, self.price)
        if len(self._potentials) < POTENTIALS:
            self._potentials = np.concatenate([self._potentials, [potential, -potential]])
        return np.asarray(self.weight * cost)

    def at_least(self, residuals: FloatArray) -> FloatArray:
        return np.asarray(self.weight * (residuals @ self._potentials.T).max(axis=-1))

    def inside(self, y: FloatArray, share: float = 1.0) -> FloatArray:
        return into(y, share * self.weight * self.ground, share * self.weight * self.price)

    def edge(self, y: FloatArray) -> Edge:
        return Moves(y, self.weight * self.ground, self.weight * self.price)


def into(y: FloatArray, reach: FloatArray, alone: float) -> FloatArray:
    """y (C,) scaled towards 0 until |y_i - y_j| <= reach_ij and |y_i| <= alone."""
    pairs = np.abs(y[:, None] - y)
    over = max(float((pairs / np.where(reach > 0, reach, 1.0)).max()), float(np.abs(y).max()) / alone)
    return y if over <= 1 - 1e-13 else np.asarray(y * ((1 - 1e-13) / over))


def transport(residual: FloatArray, ground: FloatArray, price: float) -> tuple[float, FloatArray]:
    """The least price of turning residual (C,) into 0, and (C,) potentials that prove it.

    ground: (C, C), a metric no larger than 2 price. Labels move from classes with too many to classes with too few.
    """
    wanting, surplus = np.flatnonzero(residual > 0), np.flatnonzero(residual < 0)
    pairs = len(wanting) * len(surplus)
    cells = np.arange(pairs)
    rows = np.concatenate([cells // max(len(surplus), 1), len(wanting) + cells % max(len(surplus), 1)])
    amounts = np.abs(residual[np.concatenate([wanting, surplus])])
    if not pairs:
        return price * float(amounts.sum()), np.full(len(residual), -price if len(surplus) else price)
    # Moving saves what adding and removing would have cost; what does not move is added or removed.
    saved = 2 * price - ground[np.ix_(wanting, surplus)].ravel()
    where = (rows, np.concatenate([cells, cells]))
    within: Any = coo_array((np.ones(2 * pairs), where), shape=(len(amounts), pairs)).tocsr()
    answer = linprog(-saved, A_ub=within, b_ub=amounts, method="highs")
    if answer.x is None:
        raise RuntimeError(f"HiGHS found no transport between {len(amounts)} classes ({answer.message}).")
    moved = np.maximum(answer.x, 0.0)
    shadow = np.clip(-answer.ineqlin.marginals, 0.0, 2 * price)
    # Of all potentials with these values on the surplus classes, the largest within the ground distance (McShane 1934).
    lowest = shadow[len(wanting) :] - price
    potential = np.clip((ground[:, surplus] + lowest).min(axis=1), -price, price)
    return price * float(amounts.sum()) - float(saved @ moved), into(potential, ground, price)
