"""What every scorer must hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plugins.combination import checked
from plugins.conformance.faults import BrokenContractError, must, must_be_a_sentence, must_be_notes
from plugins.conformance.made_up import alike, broken_columns, evidence, label_sides, view_of
from plugins.conformance.memory import bytes_read, peak
from plugins.contract import FloatArray, PluginError, Scorer
from plugins.evidence import Evidence

ITEMS, FRAMES, PICTURES = 200_000, 60_000, 2_000  # what memory is measured on; videos and pictures cost more an item


def score(scorer: Scorer[Any], known: Evidence) -> FloatArray:
    """The values, through the same door as the loop, after the checks that every answer must pass."""
    scores = scorer.score(view_of(scorer, known))
    n = len(known)
    must(scores.values.shape == (n,), f"it gave values of shape {scores.values.shape} for {n} items")
    must(scores.values.dtype == np.float64, f"it gave values of type {scores.values.dtype}; give float64")
    must(np.isfinite(scores.values).all(), "it gave values that are not finite")
    for item in range(min(3, n)):
        must_be_a_sentence(scores.reason(item))
    must_be_notes(scores.notes)
    return scores.values


def scores_pools_of_any_size(scorer: Scorer[Any]) -> None:
    for n in (0, 1, 2, 57):
        for classes in (1, 2, 4):
            score(scorer, evidence(n, classes=classes))


def scores_whatever_is_labeled(scorer: Scorer[Any]) -> None:
    for n in (0, 1, 20):
        for known in label_sides(n):
            score(scorer, known)


def scores_are_repeatable_under_any_seed(scorer: Scorer[Any]) -> None:
    for seed in (0, 1, 2**63 + 5):
        once, twice = (score(scorer, evidence(30, seed=seed)) for _ in range(2))
        must(np.array_equal(once, twice), f"it gave two answers to the same evidence under seed {seed}")


def scores_read_both_precisions(scorer: Scorer[Any]) -> None:
    single, double = (score(scorer, evidence(50, dtype=dtype)) for dtype in (np.float32, np.float64))
    must(
        np.allclose(single, double, atol=1e-5 + 1e-3 * np.ptp(double)),
        f"float32 evidence changed its values by up to {np.abs(single - double).max():.3g}",
    )


def scores_ignore_the_pool_order(scorer: Scorer[Any]) -> None:
    order = np.random.default_rng(1).permutation(50)
    straight, shuffled = score(scorer, evidence(50)), score(scorer, evidence(50, order=order))
    must(np.array_equal(shuffled, straight[order]), "its values depend on the order of the pool; sort by task_id")


def scores_items_that_are_all_alike(scorer: Scorer[Any]) -> None:
    score(scorer, alike(30))


def scores_report_what_is_not_finite(scorer: Scorer[Any]) -> None:
    for column, known in broken_columns(scorer, 6):
        try:
            checked(scorer.name, scorer.score(view_of(scorer, known)), 6)
        except PluginError as error:
            must(scorer.name in str(error), f"its error on NaN in '{column}' does not name it: {error}")
        else:
            raise BrokenContractError(
                f"NaN in '{column}' went unnoticed; let it through to the value, or raise PluginError"
            )


def scores_in_bounded_memory(scorer: Scorer[Any]) -> None:
    n = PICTURES if "images" in scorer.needs else FRAMES if "video" in scorer.needs else ITEMS
    known = evidence(n, classes=10)
    score(scorer, evidence(5))  # what it imports and keeps is no part of the work
    read = bytes_read(scorer, known)
    used = peak(lambda: scorer.score(view_of(scorer, known)))
    must(used < 3 * read, f"it took {used / read:.1f} times the evidence that it reads; work by blocks of rows")


SCORER_CHECKS: tuple[Callable[[Scorer[Any]], None], ...] = (
    scores_pools_of_any_size,
    scores_whatever_is_labeled,
    scores_are_repeatable_under_any_seed,
    scores_read_both_precisions,
    scores_ignore_the_pool_order,
    scores_items_that_are_all_alike,
    scores_report_what_is_not_finite,
    scores_in_bounded_memory,
)
