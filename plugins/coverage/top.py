"""Top: the items with the highest values, nothing else."""

from __future__ import annotations

import numpy as np

from plugins.combination import checked_values
from plugins.contract import FloatArray, IntArray, PluginConfig, Selection, Selector
from plugins.evidence import Evidence


class TopConfig(PluginConfig):
    """Nothing to set."""


def top(values: FloatArray, ties: FloatArray, budget: int) -> IntArray:
    """Positions of the `budget` largest of (N,) values, largest first, equal ones by ascending (N,) `ties`.

    Sorts only what can be chosen: O(N + b log b).

    >>> top(np.array([1.0, 3.0, 3.0, 2.0]), np.array([0.1, 0.9, 0.2, 0.5]), 3).tolist()
    [2, 1, 3]
    """
    n = len(values)
    budget = max(0, min(budget, n))
    if budget == 0:
        return np.empty(0, dtype=np.int64)
    chosen = np.arange(n)
    if budget < n:
        threshold = np.partition(values, n - budget)[n - budget]
        above, equal = np.flatnonzero(values > threshold), np.flatnonzero(values == threshold)
        wanted = budget - len(above)
        if wanted < len(equal):
            equal = equal[np.argpartition(ties[equal], wanted - 1)[:wanted]]
        chosen = np.concatenate([above, equal])
    return np.asarray(chosen[np.lexsort((ties[chosen], -values[chosen]))])


class Top(Selector[TopConfig]):
    """order: highest value first; equal values in an order drawn from seed and task id, never from the position."""

    name, title = "top", "Highest first"
    summary = "Takes the items with the highest values; simple, and right for batches of 5 to 10 per class."
    reference = "thesis ch. 1, Alg. 1"
    needs = frozenset({"task_id"})

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        values = checked_values("The combined score", values, len(evidence))
        return Selection(top(values, evidence.jitter, budget))
