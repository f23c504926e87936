"""What every selector must hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plugins.conformance.faults import BrokenContractError, must, must_be_a_sentence, must_be_notes
from plugins.conformance.made_up import WIDTH, alike, broken_columns, evidence, label_sides, view_of
from plugins.conformance.memory import bytes_read, peak
from plugins.contract import FloatArray, PluginError, Selection, Selector
from plugins.evidence import Evidence


def select(selector: Selector[Any], known: Evidence, values: FloatArray, budget: int) -> Selection:
    """The selection, after the checks that every answer must pass."""
    chosen = selector.select(view_of(selector, known), values, budget)
    order, n = chosen.order, len(known)
    must(order.shape == (min(budget, n),), f"it gave {order.shape} positions of {n} for a budget of {budget}")
    must(order.dtype.kind == "i", f"it gave positions of type {order.dtype}; give whole numbers")
    must(len(set(order.tolist())) == len(order), "it gave a position twice")
    must(not len(order) or (order.min() >= 0 and order.max() < n), "it gave a position outside the pool")
    if chosen.reason is not None:
        for item in order[:3].tolist():
            must_be_a_sentence(chosen.reason(item))
    must_be_notes(chosen.notes)
    return chosen


def selects_as_many_as_there_are(selector: Selector[Any]) -> None:
    rng = np.random.default_rng(2)
    for n in (0, 1, 40):
        for budget in (0, 1, 7, 40, 99):
            select(selector, evidence(n), rng.random(n), budget)


def selects_whatever_is_labeled(selector: Selector[Any]) -> None:
    for n in (0, 1, 20):
        for known in label_sides(n):
            select(selector, known, np.linspace(0, 1, n), 7)


def selects_for_any_number_of_classes_and_precision(selector: Selector[Any]) -> None:
    for classes in (1, 2, 9):
        for dtype in (np.float32, np.float64):
            select(selector, evidence(30, classes=classes, dtype=dtype), np.linspace(0, 1, 30, dtype=dtype), 7)


def selects_among_items_that_are_all_alike(selector: Selector[Any]) -> None:
    select(selector, alike(30), np.zeros(30), 12)
    near = np.concatenate([np.ones((28, WIDTH)), np.zeros((2, WIDTH))]).astype(np.float32)
    select(selector, evidence(30, embeddings=near), np.zeros(30), 12)


def selects_repeatably_whatever_the_pool_order(selector: Selector[Any]) -> None:
    order = np.random.default_rng(4).permutation(60)
    straight, shuffled = evidence(60), evidence(60, order=order)
    for values in (np.zeros(60), np.random.default_rng(3).random(60)):
        first = select(selector, straight, values, 15).order
        again = select(selector, straight, values, 15).order
        other = select(selector, shuffled, values[order], 15).order
        must(np.array_equal(first, again), "it gave two answers to the same evidence")
        same = np.array_equal(straight.task_id[first], shuffled.task_id[other])
        must(same, "its choice depends on the order of the pool; sort by task_id, break ties by evidence.jitter")


def selects_among_ties_by_the_seed(selector: Selector[Any]) -> None:
    orders = {tuple(select(selector, alike(60, seed=seed), np.zeros(60), 15).order.tolist()) for seed in range(5)}
    must(len(orders) > 1, "it breaks ties the same way under every seed; break them by evidence.jitter")


def selects_by_finite_values_only(selector: Selector[Any]) -> None:
    known = view_of(selector, evidence(5))
    try:
        selector.select(known, np.array([1.0, np.nan, 0.0, 0.0, np.inf]), 2)
    except PluginError as error:
        must("not finite" in str(error), f"its error on values that are not finite does not say so: {error}")
    else:
        raise BrokenContractError("values that are not finite went unnoticed; call `checked_values`")


def selects_from_finite_evidence_only(selector: Selector[Any]) -> None:
    for column, known in broken_columns(selector, 6):
        try:
            selector.select(view_of(selector, known), np.linspace(0, 1, 6), 3)
        except PluginError as error:
            must(selector.name in str(error), f"its error on NaN in '{column}' does not name it: {error}")
        else:
            raise BrokenContractError(f"NaN in '{column}' went unnoticed; raise PluginError")


def selects_in_bounded_memory(selector: Selector[Any]) -> None:
    n, rng = 20_000, np.random.default_rng(5)
    points = rng.normal(size=(n, 64)).astype(np.float32)
    known = evidence(n, embeddings=points, labeled=0, labeled_embeddings=np.empty((0, 64), dtype=np.float32))
    select(selector, evidence(50), np.zeros(50), 5)
    values = rng.random(n)
    read = max(bytes_read(selector, known), points.nbytes)
    used = peak(lambda: selector.select(view_of(selector, known), values, 20))
    must(used < 8 * read, f"it took {used / read:.1f} times the evidence that it reads; work by blocks of rows")


SELECTOR_CHECKS: tuple[Callable[[Selector[Any]], None], ...] = (
    selects_as_many_as_there_are,
    selects_whatever_is_labeled,
    selects_for_any_number_of_classes_and_precision,
    selects_among_items_that_are_all_alike,
    selects_repeatably_whatever_the_pool_order,
    selects_among_ties_by_the_seed,
    selects_by_finite_values_only,
    selects_from_finite_evidence_only,
    selects_in_bounded_memory,
)
