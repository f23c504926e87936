"""What a program of class balance accepts: every number is looked at once, and the first bad one is named."""

from __future__ import annotations

import numpy as np

from plugins.balance.pool import Pool
from plugins.contract import FloatArray

ROW_TOLERANCE = 1e-3  # how far from 1 a row may sum: float16 and float32 softmax stay below it


def check_shapes(probabilities: FloatArray, cost: FloatArray, target: FloatArray, ties: FloatArray) -> None:
    """ValueError unless probabilities are (N, C) floats and cost, target, ties are (N,), (C,), (N,), finite."""
    if probabilities.ndim != 2 or probabilities.dtype.kind != "f" or probabilities.shape[1] == 0:
        raise ValueError(
            f"The probabilities have shape {probabilities.shape} and type {probabilities.dtype}; "
            "give floats of shape (N, C), one row per item and at least one class."
        )
    n, classes = probabilities.shape
    for name, array, wanted in (("cost", cost, n), ("target", target, classes), ("ties", ties, n)):
        if array.shape != (wanted,):
            raise ValueError(f"The {name} has shape {array.shape}; give ({wanted},) to match the probabilities.")
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise ValueError(f"The {name} has {array[bad[0]]} at position {bad[0]}; give finite numbers.")
    if target.min() < 0:
        worst = int(target.argmin())
        raise ValueError(f"The target of class {worst} is {target[worst]:g}; give at least 0 for every class.")


def check_numbers(budget: int, weight: float, time_limit: float | None) -> None:
    """ValueError unless budget >= 0, weight is finite and >= 0, and the time limit is none or above 0."""
    if budget < 0:
        raise ValueError(f"The budget is {budget}; give 0 or more items.")
    if not (np.isfinite(weight) and weight >= 0):
        raise ValueError(f"The weight of balance is {weight}; give a finite number of 0 or more.")
    if time_limit is not None and not time_limit > 0:
        raise ValueError(f"The time limit is {time_limit} seconds; give more than 0, or None for no limit.")


def check_rows(pool: Pool, counts: bool = False) -> float:
    """The largest sum of a row. ValueError naming the first row that is negative, NaN, or sums to over 1e-3 off 1.

    counts: the rows are expected counts, which may sum to anything finite.
    """
    ones = np.ones(pool.probabilities.shape[1], dtype=np.float64)

    def look(rows: slice) -> tuple[int, float]:
        """The first bad row or -1, and the largest sum."""
        block = pool.probabilities[rows]
        sums = block.astype(np.float64, copy=False) @ ones
        fine = np.isfinite(sums) if counts else np.abs(sums - 1) <= ROW_TOLERANCE  # false for NaN
        if block.min() >= 0 and fine.all():
            return -1, float(sums.max())
        fine &= block.min(axis=1) >= 0
        return int(rows.start) + int(np.argmin(fine)), 0.0

    seen = pool.blocks(look)
    bad = [row for row, _ in seen if row >= 0]
    if bad:
        values = pool.probabilities[bad[0]].astype(np.float64)
        what = "finite counts of at least 0" if counts else "probabilities that are at least 0 and sum to 1"
        raise ValueError(
            f"Row {bad[0]} of the {'counts' if counts else 'probabilities'} sums to {values.sum():.6g} and its least "
            f"entry is {values.min():.6g}; give {what}."
        )
    return max((heaviest for _, heaviest in seen), default=1.0)


def check_ground(ground: FloatArray, classes: int, price: float | None) -> None:
    """ValueError unless ground is (C, C), finite, symmetric, 0 on the diagonal and above 0 elsewhere, price above 0."""
    if ground.shape != (classes, classes):
        raise ValueError(f"The ground distance has shape {ground.shape}; give ({classes}, {classes}), class by class.")
    if price is not None and not (np.isfinite(price) and price > 0):
        raise ValueError(f"The price of a missing label is {price}; give a finite number above 0.")
    if not np.isfinite(ground).all() or (ground <= 0)[~np.eye(classes, dtype=bool)].any():
        raise ValueError("The ground distance between two classes is not above 0; make two equal classes one.")
    if np.abs(np.diagonal(ground)).max() > 0 or not np.allclose(ground, ground.T, rtol=1e-9, atol=0):
        raise ValueError(
            "The ground distance is not symmetric with 0 on its diagonal; give a distance between classes."
        )


def check_start(start: FloatArray, classes: int) -> None:
    """ValueError unless start is (C,) and finite."""
    if start.shape != (classes,) or not np.isfinite(start).all():
        raise ValueError(f"The start has shape {start.shape}; give ({classes},) finite multipliers, or None.")
