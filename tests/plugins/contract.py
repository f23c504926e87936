"""What every scorer and selector must hold, ours or a stranger's.

Each check takes a ready plugin and raises BrokenContractError with one sentence; SCORER_CHECKS, SELECTOR_CHECKS and
PLUGIN_CHECKS (on the class) list them, and `run` applies one. Nothing here depends on a test runner.
"""

from __future__ import annotations

import re
import sys
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.combination import checked
from plugins.contract import FloatArray, Plugin, PluginError, Scorer, Selection, Selector
from plugins.evidence import COLUMNS, Evidence
from plugins.registry import available, make

CLASSES = ("cat", "dog", "eel", "fox")
LABELED = ("labels", "labeled_embeddings", "labeled_images", "counts")  # columns that are not over the pool
WIDTH = 6  # of embeddings
SIDE = 12  # px
CHEAP: dict[str, dict[str, Any]] = {"vaal": {"steps": 2, "batch": 8, "latent": 4}}  # settings where defaults take long
PICTURES = 2_000  # items: what a plugin that reads pictures is measured on
LOUD = re.compile(  # a unit, or what happens: one of these stands in every number's description
    r"%|\b(px|nats?|seconds?|ms|bytes|items?|labels?|images?|pictures?|numbers?|iterations?|steps?|epochs?|share|per|"
    r"times|no unit|more|fewer|less|larger|smaller|longer|shorter|higher|lower|above|below|better|worse|slower|faster|"
    r"off|costs?)\b"
)


class BrokenContractError(AssertionError):
    """A plugin does not hold the contract; the message says what it did."""


def must(condition: object, sentence: str) -> None:
    if not condition:
        raise BrokenContractError(sentence)


def evidence(
    n: int,
    *,
    classes: int = 4,
    labeled: int = 5,
    seed: int = 0,
    data: int = 0,
    dtype: type[np.floating[Any]] = np.float32,
    order: NDArray[np.int64] | None = None,
    **replaced: NDArray[Any],
) -> Evidence:
    """Made-up evidence on n items, every column read-only; `order` shuffles the items, never what is known of each.

    data: which items; seed: the project's. replaced: columns given as they are. `counts` follows from `labels`.
    """
    rng = np.random.default_rng(data)
    known: dict[str, NDArray[Any]] = {
        "task_id": rng.permutation(10 * n)[:n] + 1,
        "probabilities": rng.dirichlet(np.full(classes, 0.5), size=n).astype(dtype),
        "embeddings": rng.normal(size=(n, WIDTH)).astype(dtype),
        "label_history": rng.integers(classes, size=(n, 12)),
        "labels": rng.integers(classes, size=labeled),
        "labeled_embeddings": rng.normal(size=(labeled, WIDTH)).astype(dtype),
        "truth": rng.integers(classes, size=n),
        "images": rng.integers(256, size=(n, SIDE, SIDE, 1), dtype=np.uint8),
        "labeled_images": rng.integers(256, size=(labeled, SIDE, SIDE, 1), dtype=np.uint8),
    }
    passes = rng.dirichlet(np.full(classes, 0.5), size=(3, n))
    known["expected_probabilities"] = passes.mean(axis=0).astype(dtype)
    known["expected_entropy"] = -(passes * np.log(passes + 1e-300)).sum(axis=2).mean(axis=0).astype(dtype)
    known |= replaced
    known.setdefault("counts", np.bincount(known["labels"], minlength=classes))
    if order is not None:
        known |= {name: known[name][order] for name in known if name not in LABELED}
    for array in known.values():
        array.flags.writeable = False
    names = tuple(f"{CLASSES[c % 4]}{c // 4 or ''}" for c in range(classes))
    return Evidence(known, classes=names, seed=seed)


def score(scorer: Scorer[Any], known: Evidence) -> FloatArray:
    """The values, through the same door as the loop, after the checks that every answer must pass."""
    scores = scorer.score(known.for_plugin(scorer.name, scorer.needs))
    n = len(known)
    must(scores.values.shape == (n,), f"it gave values of shape {scores.values.shape} for {n} items")
    must(scores.values.dtype == np.float64, f"it gave values of type {scores.values.dtype}; give float64")
    must(np.isfinite(scores.values).all(), "it gave values that are not finite")
    for item in range(min(3, n)):
        _check_sentence(scores.reason(item))
    for note in scores.notes:
        must(note.endswith("."), f"its note {note!r} does not end with a full stop")
    return scores.values


def _check_sentence(sentence: str) -> None:
    fine = isinstance(sentence, str) and 0 < len(sentence) < 200 and "\n" not in sentence
    must(fine, f"its reason {sentence!r} is not one line of at most 200 characters")


def select(selector: Selector[Any], known: Evidence, values: FloatArray, budget: int) -> Selection:
    """The selection, after the checks that every answer must pass."""
    chosen = selector.select(known.for_plugin(selector.name, selector.needs), values, budget)
    order, n = chosen.order, len(known)
    must(order.shape == (min(budget, n),), f"it gave {order.shape} positions of {n} for a budget of {budget}")
    must(order.dtype.kind == "i", f"it gave positions of type {order.dtype}; give whole numbers")
    must(len(set(order.tolist())) == len(order), "it gave a position twice")
    must(not len(order) or (order.min() >= 0 and order.max() < n), "it gave a position outside the pool")
    if chosen.reason is not None:
        for item in order[:3].tolist():
            _check_sentence(chosen.reason(item))
    for note in chosen.notes:
        must(note.endswith("."), f"its note {note!r} does not end with a full stop")
    return chosen


def label_sides(n: int) -> Iterator[Evidence]:
    """Evidence on n items with no label, one label, one class, classes that nobody has seen, and each class once."""
    for labels in ([], [2], [1, 1, 1, 1], [0, 0, 3], [0, 1, 2, 3]):
        yield evidence(n, labeled=len(labels), labels=np.array(labels, dtype=np.int64))


def broken_columns(plugin: Plugin[Any], n: int) -> Iterator[tuple[str, Evidence]]:
    """Name of each column of real numbers that the plugin reads, and evidence in which one of its numbers is NaN."""
    whole = evidence(n)
    for name in sorted(plugin.needs):
        column = whole.column(name)
        if column.dtype.kind == "f":
            spoilt = column.copy()
            spoilt[(2, *(1 for _ in spoilt.shape[1:]))] = np.nan
            replaced: dict[str, Any] = {name: spoilt}
            yield name, evidence(n, **replaced)


# --- scorers


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
            checked(scorer.name, scorer.score(known.for_plugin(scorer.name, scorer.needs)), 6)
        except PluginError as error:
            must(scorer.name in str(error), f"its error on NaN in '{column}' does not name it: {error}")
        else:
            raise BrokenContractError(
                f"NaN in '{column}' went unnoticed; let it through to the value, or raise PluginError"
            )


def scores_in_bounded_memory(scorer: Scorer[Any]) -> None:
    known = evidence(PICTURES if "images" in scorer.needs else 200_000, classes=10)
    score(scorer, evidence(5))  # what it imports and keeps is no part of the work
    read = bytes_read(scorer, known)
    used = peak(lambda: scorer.score(known.for_plugin(scorer.name, scorer.needs)))
    must(used < 3 * read, f"it took {used / read:.1f} times the evidence that it reads; work by blocks of rows")


# --- selectors


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
    known = evidence(5).for_plugin(selector.name, selector.needs)
    try:
        selector.select(known, np.array([1.0, np.nan, 0.0, 0.0, np.inf]), 2)
    except PluginError as error:
        must("not finite" in str(error), f"its error on values that are not finite does not say so: {error}")
    else:
        raise BrokenContractError("values that are not finite went unnoticed; call `checked_values`")


def selects_from_finite_evidence_only(selector: Selector[Any]) -> None:
    for column, known in broken_columns(selector, 6):
        try:
            selector.select(known.for_plugin(selector.name, selector.needs), np.linspace(0, 1, 6), 3)
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
    used = peak(lambda: selector.select(known.for_plugin(selector.name, selector.needs), values, 20))
    must(used < 8 * read, f"it took {used / read:.1f} times the evidence that it reads; work by blocks of rows")


# --- every plugin


def says_what_it_is(plugin: type[Plugin[Any]]) -> None:
    for attribute in ("name", "title", "summary", "reference", "__doc__"):
        must(getattr(plugin, attribute), f"`{attribute}` is empty")
    must(re.fullmatch(r"[a-z][a-z0-9_]*", plugin.name), f"the name '{plugin.name}' is not lower_case")
    must(plugin.summary.endswith("."), "its summary does not end with a full stop")
    must(sys.modules[plugin.__module__].__doc__, f"its module {plugin.__module__} has no docstring")
    unknown = sorted(set(plugin.needs) - set(COLUMNS))
    must(not unknown, f"it needs '{''.join(unknown[:1])}', which is no evidence column; known: {', '.join(COLUMNS)}")


def documents_its_settings(plugin: type[Plugin[Any]]) -> None:
    for name, field in plugin.Config.model_json_schema().get("properties", {}).items():
        description = field.get("description", "")
        must(description.endswith("."), f"setting `{name}` has no description that ends with a full stop")
        for kind in field.get("anyOf", [field]):
            if kind.get("type") in ("integer", "number"):
                low, high = ({bound, f"exclusive{bound.capitalize()}"} for bound in ("minimum", "maximum"))
                must(low & set(kind) and high & set(kind), f"setting `{name}` has no lower or no upper bound")
                must(
                    LOUD.search(description.lower()), f"the description of `{name}` names neither unit nor consequence"
                )


def works_by_default(plugin: type[Plugin[Any]]) -> None:
    must(plugin().config == plugin.Config(), "it does not keep the settings that it was made with")


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
PLUGIN_CHECKS: tuple[Callable[[type[Plugin[Any]]], None], ...] = (
    says_what_it_is,
    documents_its_settings,
    works_by_default,
)


def run(check: Callable[[Any], None], plugin: Any) -> None:
    """One check on one plugin; warnings count as faults. BrokenContractError names the plugin."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check(plugin)
    except BrokenContractError as broken:
        raise BrokenContractError(f"'{plugin.name}' does not pass {check.__name__}: {broken}.") from None


def alike(n: int, seed: int = 0) -> Evidence:
    """n items that differ in their task id alone."""
    one = evidence(1)
    columns = [name for name in COLUMNS if name not in LABELED and name != "task_id"]
    same: dict[str, Any] = {name: np.repeat(one.column(name), n, axis=0) for name in columns}
    return evidence(n, seed=seed, **same)


def bytes_read(plugin: Plugin[Any], known: Evidence) -> int:
    """Bytes of the columns that a plugin needs, and of one value per item."""
    return sum(known.column(name).nbytes for name in {*plugin.needs, "task_id"}) + 8 * len(known)


def peak(work: Callable[[], object]) -> int:
    """Bytes at the highest point of `work()`, of what Python and NumPy hold."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def scorers() -> list[Scorer[Any]]:
    return [make("scorer", name, CHEAP.get(name)) for name in available("scorer")]


def selectors() -> list[Selector[Any]]:
    return [make("selector", name, CHEAP.get(name)) for name in available("selector")]


def everything() -> list[type[Plugin[Any]]]:
    return [
        listing.cls for kind in ("scorer", "selector", "learner") for listing in available(kind).values() if listing.cls
    ]
