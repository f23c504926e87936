"""The control arm: a share of the queue is drawn uniformly from what is still unlabeled, spread among the rest.

What was drawn at random can be counted: it says how good the model is where nobody chose, and what random labeling
would have given. Nothing that an annotator can see tells a drawn item from a ranked one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ml_backend.loop.plan import Plan
from ml_backend.loop.ranking import Ranking
from plugins.contract import FloatArray, IntArray
from plugins.evidence import uniform_by_id

SALT = 0x434F4E54524F4C  # draws are no function of the tie-breaking jitter
CYCLES = 1_000_003  # a prime: no two of a project's first million cycles draw alike


def control_slots(n: int, share: float, uniform: FloatArray) -> IntArray:
    """Increasing places in a queue of n that are control slots; every prefix of length p holds `share` x p, rounded
    down or up.

    The queue is cut into blocks of 1 / share places, and each block has its slot at a place of its own: a period
    would be seen after a while. uniform: at least ceil(share x n) numbers in [0, 1).

    >>> control_slots(12, 0.25, np.array([0.0, 0.5, 0.9])).tolist()
    [0, 6, 11]
    """
    if share <= 0 or n < 1:
        return np.empty(0, dtype=np.int64)
    blocks = np.arange(min(int(np.ceil(share * n)), n))
    places = ((blocks + uniform[: len(blocks)]) / share).astype(np.int64)
    places = blocks + np.maximum.accumulate(places - blocks)  # where 1 / share is no integer, two may share a place
    return np.asarray(places[places < n])


def interleave(ranked: IntArray, drawn: IntArray, slots: IntArray) -> IntArray:
    """The queue: at a slot the first of `drawn` that has no place yet, elsewhere the first of `ranked` that has none.

    ranked, drawn: two orders (n,) of the same items, `drawn` uniformly random. Given all earlier places, the item in a
    slot is uniform over those without a place, since the relative order of these is all that `drawn` has not shown.
    No ranked item comes later than the slots before it make it, and none that is drawn loses its turn.

    >>> interleave(np.array([4, 2, 0, 1, 3]), np.array([4, 1, 3, 0, 2]), np.array([1, 3])).tolist()
    [4, 1, 2, 3, 0]
    """
    is_slot = np.zeros(len(ranked), dtype=bool)
    is_slot[slots] = True
    sources = (iter(ranked.tolist()), iter(drawn.tolist()))
    placed: set[int] = set()
    queue = []
    for drawing in is_slot.tolist():
        item = next(item for item in sources[drawing] if item not in placed)
        placed.add(item)
        queue.append(item)
    return np.array(queue, dtype=np.int64)


def with_control(ranking: Ranking, task_id: IntArray, plan: Plan, cycle: int, skipped: IntArray) -> Ranking:
    """The ranking with the plan's share of control slots, and how probable each slot's item was.

    task_id: (N,) of the pool. skipped: its positions that stay last; nobody is asked about them for the control arm.
    A queue without a model is random already: all of it counts as drawn.
    """
    n = len(ranking.order) - len(skipped)
    order = ranking.order
    slots: IntArray = np.arange(n)
    if ranking.phase != "random":
        seed = (plan.seed * CYCLES + cycle) ^ SALT
        slots = control_slots(n, plan.control, uniform_by_id(np.arange(n), ~seed))
        ranked = order[:n]
        drawn = ranked[np.argsort(uniform_by_id(task_id[ranked], seed), kind="stable")]
        order = np.concatenate([interleave(ranked, drawn, slots), order[n:]])
    propensity = np.full(len(order), np.nan)
    propensity[slots] = 1.0 / (n - slots)
    return replace(ranking, order=order, propensity=propensity)
