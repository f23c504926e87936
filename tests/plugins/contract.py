"""What every scorer and selector must hold, ours or a stranger's: run over the whole registry by test_contract.py."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, Plugin, Scorer, Selection, Selector
from plugins.evidence import Evidence
from plugins.registry import available, make

CLASSES = ("cat", "dog", "eel", "fox")


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
    """Made-up evidence on n items; `order` shuffles the items, never what is known about each."""
    rng = np.random.default_rng(data)
    columns: dict[str, NDArray[Any]] = {
        "task_id": rng.permutation(10 * n)[:n] + 1,
        "probabilities": rng.dirichlet(np.full(classes, 0.5), size=n).astype(dtype),
        "embeddings": rng.normal(size=(n, 6)).astype(dtype),
        "label_history": rng.integers(classes, size=(n, 12)),
    }
    columns |= {name: array for name, array in replaced.items() if name in columns}
    if order is not None:
        columns = {name: array[order] for name, array in columns.items()}
    columns["labels"] = rng.integers(classes, size=labeled)
    columns["labeled_embeddings"] = rng.normal(size=(labeled, 6)).astype(dtype)
    columns["counts"] = np.bincount(columns["labels"], minlength=classes)
    columns |= {name: array for name, array in replaced.items() if name.startswith("labeled")}
    for array in columns.values():
        array.flags.writeable = False
    names = tuple(f"{CLASSES[c % 4]}{c // 4 or ''}" for c in range(classes))
    return Evidence(columns, classes=names, seed=seed)


def score(scorer: Scorer[Any], known: Evidence) -> FloatArray:
    """The values, through the same door as the loop, after the checks that every answer must pass."""
    scores = scorer.score(known.for_plugin(scorer.name, scorer.needs))
    assert scores.values.shape == (len(known),)
    assert scores.values.dtype == np.float64
    for item in range(min(3, len(known))):
        sentence = scores.reason(item)
        assert sentence
        assert "\n" not in sentence
        assert len(sentence) < 200
    return scores.values


def select(selector: Selector[Any], known: Evidence, values: NDArray[np.float64], budget: int) -> Selection:
    """The selection, after the checks that every answer must pass."""
    chosen = selector.select(known.for_plugin(selector.name, selector.needs), values, budget)
    order = chosen.order
    assert order.shape == (min(budget, len(known)),)
    assert order.dtype.kind == "i"
    assert len(set(order.tolist())) == len(order)
    assert not len(order) or (order.min() >= 0 and order.max() < len(known))
    if chosen.reason is not None and len(order):
        assert chosen.reason(int(order[0]))
    return chosen


def scorers() -> list[Scorer[Any]]:
    return [make("scorer", name) for name in available("scorer")]


def selectors() -> list[Selector[Any]]:
    return [make("selector", name) for name in available("selector")]


def everything() -> list[type[Plugin[Any]]]:
    return [
        listing.cls for kind in ("scorer", "selector", "learner") for listing in available(kind).values() if listing.cls
    ]


def peak(work: Any) -> int:
    """Bytes at the highest point of `work()`."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
