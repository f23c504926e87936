"""Made-up boxes that a plugin is tried on; they are made when they are first read, since most plugins read none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.evidence import Column

Columns = dict[str, NDArray[Any]]
MOST = 5  # boxes detected on an image
DRIFT = np.array([3.0, 1.0])  # px an item, so that boxes of one place hold together over frames
AT_LEAST = 3  # boxes that a few images have together


def boxes(
    n: int, classes: int, data: int, dtype: type[np.floating[Any]], order: NDArray[np.int64] | None
) -> dict[str, Column]:
    """detection_* and truth_* columns of n pool items; `order` shuffles the items, never the boxes that each has."""

    @cache
    def made() -> Columns:
        rng = np.random.default_rng([data, n, 1])
        found = _detections(rng, n, classes, dtype)
        known = {f"detection_{name}": column for name, column in found.items()}
        for_truth = rng.random(len(found["item"])) < 0.8
        known |= {f"truth_{name}": found[name][for_truth] for name in ("item", "box", "label")}
        known["truth_box"] = known["truth_box"] + rng.normal(0, 2, known["truth_box"].shape).astype(dtype)
        if order is not None:
            place = np.argsort(order)
            known |= _by_item(known, "detection_", place) | _by_item(known, "truth_", place)
        return _read_only(known)

    names = ("item", "box", "score", "label", "shown", "probabilities")
    columns = [*(f"detection_{name}" for name in names), "truth_item", "truth_box", "truth_label"]
    return {name: _column(made, name) for name in columns}


def labeled_boxes(n: int, classes: int, data: int, dtype: type[np.floating[Any]]) -> dict[str, Column]:
    """labeled_detection_*, labeled_box* and labeled_held columns of n labeled items."""

    @cache
    def made() -> Columns:
        rng = np.random.default_rng([data, n, 2])
        found = _detections(rng, n, classes, dtype)
        known = {f"labeled_detection_{name}": column for name, column in found.items()}
        known |= {
            "labeled_box_item": found["item"][::2],
            "labeled_box": found["box"][::2] + rng.normal(0, 2, found["box"][::2].shape).astype(dtype),
            "labeled_box_label": found["label"][::2],
            "labeled_held": np.arange(n) % 2 == 0,
        }
        return _read_only(known)

    names = ("item", "box", "score", "label", "shown")
    columns = [
        *(f"labeled_detection_{name}" for name in names),
        "labeled_box_item",
        "labeled_box",
        "labeled_box_label",
        "labeled_held",
    ]
    return {name: _column(made, name) for name in columns}


def _detections(rng: np.random.Generator, n: int, classes: int, dtype: type[np.floating[Any]]) -> Columns:
    """Up to MOST boxes an item, sorted by item and then by falling score; some items have none."""
    count = rng.integers(0, MOST + 1, size=n)
    count[: 2 * AT_LEAST : 2] = np.maximum(count[: 2 * AT_LEAST : 2], AT_LEAST)
    item = np.repeat(np.arange(n), count)
    place = rng.uniform(0, 300, (MOST, 2))[rng.integers(MOST, size=len(item))]
    low = place + DRIFT * (item // 3 % 20)[:, None] + rng.normal(0, 2, (len(item), 2))
    score = rng.random(len(item)).astype(dtype)
    by_score = np.lexsort((-score, item))
    p = rng.standard_exponential((len(item), classes)).astype(dtype) + dtype(1e-3)
    return {
        "item": item,
        "box": np.concatenate([low, low + rng.uniform(20, 60, (len(item), 2))], axis=1).astype(dtype),
        "score": score[by_score],
        "label": rng.integers(classes, size=len(item)),
        "shown": score[by_score] >= 0.5,
        "probabilities": p / p.sum(axis=1, keepdims=True),
    }


def _by_item(known: Columns, prefix: str, place: NDArray[np.int64]) -> Columns:
    """Columns of boxes after their items moved to `place`, sorted by item again; boxes of an item keep their order."""
    item = place[known[f"{prefix}item"]]
    rows = np.argsort(item, kind="stable")
    moved = {name: column[rows] for name, column in known.items() if name.startswith(prefix)}
    return {**moved, f"{prefix}item": item[rows]}


def _read_only(known: Columns) -> Columns:
    for array in known.values():
        array.flags.writeable = False
    return known


def _column(made: Callable[[], Columns], name: str) -> Callable[[], NDArray[Any]]:
    return lambda: made()[name]
