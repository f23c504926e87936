"""From shares to items: the largest shares first, then exchanges of one item for another that lower the objective."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from plugins.balance.distances import Distance
from plugins.contract import FloatArray

BoolArray = NDArray[np.bool_]


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
