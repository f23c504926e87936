"""From shares to items: the largest shares first, then exchanges of one item for another that lower the objective."""

from __future__ import annotations

import time

import numpy as np

from plugins.balance.distances import BoolArray, Distance
from plugins.contract import FloatArray

STEEPNESS = (0.25, 1.0, 4.0, 16.0)  # multiples of what a small residual costs, for proposing pairs
PAIRED = 1500  # exchanges of one item that are tried in pairs
MOST_LOOKS = 20_000


def descend(
    rows: FloatArray,
    cost: FloatArray,
    chosen: BoolArray,
    residual: FloatArray,
    distance: Distance,
    most: int,
    deadline: float = np.inf,
) -> BoolArray:
    """Exchanges of a chosen item for another one until none lowers the objective, or `most` were looked at.

    rows: (k, C), cost: (k,), chosen: (k,) bool, residual: (C,) wanted minus got. Each look takes one chosen item out
    and puts the best of all others in: k C operations. deadline: of time.perf_counter. Returns chosen (k,).
    """
    chosen, residual = chosen.copy(), residual.copy()
    looked = quiet = 0
    now = float(distance.value(residual))
    least = 1e-12 * max(1.0, abs(now))
    while quiet < int(chosen.sum()) and looked < most and time.perf_counter() < deadline:
        for out in np.flatnonzero(chosen):
            others = np.flatnonzero(~chosen)
            without = residual + rows[out]
            values = cost[others] + distance.at_least(without - rows[others])
            best = int(values.argmin())
            quiet, looked = quiet + 1, looked + 1
            if values[best] - cost[out] >= now - least:
                continue
            into = others[best]
            value = float(distance.value(without - rows[into]))
            if cost[into] + value - cost[out] < now - least:
                chosen[out], chosen[into] = False, True
                residual, now, quiet = without - rows[into], value, 0
    return chosen


def descend_by_twos(
    rows: FloatArray,
    cost: FloatArray,
    chosen: BoolArray,
    residual: FloatArray,
    distance: Distance,
    most: int,
    deadline: float = np.inf,
    y: FloatArray | None = None,
) -> BoolArray:
    """Exchanges of two chosen items for two others, each followed by `descend`, at most `most` of them.

    Arrays as in `descend`; k of some hundreds, since all k^2 / 4 exchanges of one item are weighed. y: (C,) multipliers
    of the relaxation.
    """
    chosen, residual = chosen.copy(), residual.copy()
    y = np.zeros(len(residual)) if y is None else y
    for _ in range(most):
        if time.perf_counter() >= deadline:
            break
        now = float(distance.value(residual))
        pairs = [best_pair(rows, cost, chosen, residual, distance, y, factor) for factor in STEEPNESS]
        value, outs, ins = min(pairs, key=lambda pair: pair[0])
        if value >= now - 1e-12 * max(1.0, abs(now)):
            break
        chosen[outs], chosen[ins] = False, True
        residual += rows[outs].sum(axis=0) - rows[ins].sum(axis=0)
        before = chosen
        chosen = descend(rows, cost, chosen, residual, distance, MOST_LOOKS, deadline)
        residual += rows[before].sum(axis=0) - rows[chosen].sum(axis=0)
    return chosen


def best_pair(
    rows: FloatArray,
    cost: FloatArray,
    chosen: BoolArray,
    residual: FloatArray,
    distance: Distance,
    y: FloatArray,
    factor: float,
) -> tuple[float, list[int], list[int]]:
    """The best found pair of exchanges: distance plus change of cost after it, the two items out, and the two in.

    Pairs are proposed by reduced cost plus a multiple of |residual|^2 over the classes whose multiplier is not at its
    edge (times `factor`): pairs need only the exchanges' products then. The objective itself judges each proposal.
    """
    inside, others = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    if min(len(inside), len(others)) < 2:
        return np.inf, [], []
    tight = distance.tight(y)
    left = np.where(tight, residual, 0.0)
    steep = factor * float(distance.value(left)) / (2 * float(left @ left) + 1e-12)
    reduced, held = cost - rows @ y, rows * tight
    norms = np.square(held).sum(axis=1)
    single = np.subtract.outer(
        -reduced[inside] + steep * (2 * held[inside] @ left + norms[inside]),
        -reduced[others] + steep * (2 * held[others] @ left - norms[others]),
    )
    single -= 2 * steep * (held[inside] @ held[others].T)
    m = min(single.size, PAIRED)
    kept = np.sort(np.argpartition(single.ravel(), m - 1)[:m])
    out, into = inside[kept // len(others)], others[kept % len(others)]
    moved = ((held[out] - held[into]) * np.sqrt(2 * steep)).astype(np.float32)
    both = moved @ moved.T
    both += single.ravel()[kept].astype(np.float32)
    both[(out[:, None] == out) | (into[:, None] == into)] = np.inf
    second = both.argmin(axis=1)
    change = rows[out] - rows[into]
    price = cost[into] - cost[out]
    values = price + price[second] + distance.value(residual + change + change[second])
    values[~np.isfinite(both[np.arange(m), second])] = np.inf
    i = int(values.argmin())
    j = int(second[i])
    return float(values[i]), [int(out[i]), int(out[j])], [int(into[i]), int(into[j])]
