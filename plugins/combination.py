"""How several scorers become one value: each one's percentile ranks, averaged by weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plugins.contract import FloatArray, PluginError, Scores


def checked(name: str, scores: Scores, n: int) -> FloatArray:
    """The values of scorer `name` as (n,) float64, or PluginError when it broke its contract.

    n: how many items the pool has.
    """
    return checked_values(f"Scorer '{name}'", scores.values, n)


def checked_values(who: str, values: FloatArray, n: int) -> FloatArray:
    """`values` as (n,) finite float64, or PluginError that names `who`, the fault and the remedy."""
    array = np.asarray(values)
    if array.shape != (n,):
        raise PluginError(f"{who} gave values of shape {array.shape} for a pool of {n}; give one value per item.")
    if array.dtype.kind not in "fiub":
        raise PluginError(f"{who} gave values of type {array.dtype}; give float64.")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        first = int(bad[0])
        raise PluginError(
            f"{who} gave {bad.size} of {n} values that are not finite (position {first}: {array[first]}); "
            "look at the evidence it reads, or take it out of the plan."
        )
    return array.astype(np.float64, copy=False)


def percentile_ranks(values: FloatArray) -> FloatArray:
    """Where each of (N,) values stands among all: 0 lowest, 1 highest, ties share their average.

    One value alone, or all of them equal, stands in the middle.

    >>> percentile_ranks(np.array([3.0, 1.0, 3.0, 9.0, 0.0])).tolist()
    [0.625, 0.25, 0.625, 1.0, 0.0]
    """
    n = len(values)
    if n < 2:
        return np.full(n, 0.5)
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    average = np.cumsum(counts) - (counts + 1) / 2  # of the ranks 0 .. n - 1 that equal values share
    return np.asarray(average[which] / (n - 1), dtype=np.float64)


def combine(weighted: Sequence[tuple[FloatArray, float]]) -> FloatArray:
    """(N,) weighted mean of the percentile ranks of each (values (N,), weight); PluginError on a weight <= 0.

    Ranks, since an entropy in nats and a margin in probability share no unit. One scorer alone keeps its own order.

    >>> combine([(np.array([0.1, 0.9, 0.5]), 1.0), (np.array([7.0, 5.0, 6.0]), 3.0)]).tolist()
    [0.75, 0.25, 0.5]
    """
    if not weighted:
        raise PluginError("No scorer is enabled; enable at least one in the plan.")
    total = 0.0
    for _, weight in weighted:
        if not (np.isfinite(weight) and weight > 0):
            raise PluginError(
                f"A scorer's weight is {weight}; give a number above 0, or take the scorer out of the plan."
            )
        total += weight
    mean = np.zeros(len(weighted[0][0]))
    for values, weight in weighted:
        mean += (weight / total) * percentile_ranks(values)
    return mean
