"""Balance at several weights: the same program solved for each, every one starting where the last one ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from plugins.balance.program import Solution, solve
from plugins.contract import FloatArray

LEFT = 0.01  # of the whole fall: a balance term within this of its least value has stopped falling


def solve_path(
    probabilities: FloatArray,
    cost: FloatArray,
    target: FloatArray,
    budget: int,
    weights: Sequence[float],
    *,
    distance: str = "l1",
    ground: FloatArray | None = None,
    price: float | None = None,
    ties: FloatArray | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    counts: bool = False,
    thorough: bool = True,
) -> list[Solution]:
    """`plugins.balance.program.solve` for every weight, in rising order; each starts from the multipliers before.

    weights: at least one, rising. time_limit: seconds for all of them; each gets an equal share of what is left. The
    rest as in `solve`. A dashboard draws weight against `distance` and against the cost, objective - weight * distance.
    """
    if not len(weights) or any(later <= earlier for earlier, later in pairwise(weights)):
        raise ValueError(f"The weights are {list(weights)}; give at least one, each larger than the one before.")
    ends = None if time_limit is None else time.perf_counter() + time_limit
    answers: list[Solution] = []
    start: FloatArray | None = None
    for done, weight in enumerate(weights):
        share = None if ends is None else max((ends - time.perf_counter()) / (len(weights) - done), 1e-3)
        answer = solve(
            probabilities,
            cost,
            target,
            budget,
            weight,
            distance=distance,
            ground=ground,
            price=price,
            ties=ties,
            time_limit=share,
            seed=seed,
            start=start,
            counts=counts,
            thorough=thorough,
        )
        answers.append(answer)
        start = answer.multipliers if weight > 0 else None
    return answers


def smallest_sufficient(weights: FloatArray, distances: FloatArray, left: float = LEFT) -> int:
    """The place of the smallest weight after which the balance term no longer falls (thesis, sec. 4.4).

    weights: (k,) rising. distances: (k,) the balance term of each, without its weight. left: how much of the whole
    fall may still be missing, since the term of a batch of whole items jumps about a little.

    >>> smallest_sufficient(np.array([0.0, 0.5, 1.0, 2.0]), np.array([40.0, 8.0, 2.0, 2.0]))
    2
    """
    if len(weights) != len(distances) or not len(weights):
        raise ValueError(
            f"There are {len(weights)} weights and {len(distances)} distances; give as many, at least one."
        )
    least = float(np.min(distances))
    allowed = left * (float(np.max(distances)) - least)
    return int(np.flatnonzero(np.asarray(distances) <= least + allowed)[0])
