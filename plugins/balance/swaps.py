"""From shares to items: the largest shares first, then exchanges of one item for another that lower the objective."""

from __future__ import annotations

import numpy as np

from plugins.balance.distances import Distance
from plugins.contract import FloatArray


def descend(
    rows: FloatArray, cost: FloatArray, chosen: FloatArray, residual: FloatArray, distance: Distance, most: int
) -> tuple[FloatArray, FloatArray]:
    """Exchanges of a chosen item for another one until none lowers the objective, or `most` were looked at.

    rows: (k, C), cost: (k,), chosen: (k,) bool, residual: (C,) wanted minus got. Each look takes one chosen item out
    and puts the best of all others in: k C operations. Returns chosen and residual.
    """
    chosen, residual = chosen.copy(), residual.copy()
    looked = quiet = 0
    now = float(distance.value(residual))
    while quiet < int(chosen.sum()) and looked < most:
        for out in np.flatnonzero(chosen):
            others = np.flatnonzero(~chosen)
            without = residual + rows[out]
            values = cost[others] + distance.value(without - rows[others])
            best = int(values.argmin())
            looked += 1
            if values[best] - cost[out] < now - 1e-12 * max(1.0, abs(now)):
                chosen[out], chosen[others[best]] = False, True
                residual = without - rows[others[best]]
                now, quiet = float(distance.value(residual)), 0
            else:
                quiet += 1
    return chosen, residual
