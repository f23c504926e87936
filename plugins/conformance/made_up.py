"""Made-up evidence that a plugin is tried on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.conformance.made_up_boxes import boxes, labeled_boxes
from plugins.contract import Plugin
from plugins.evidence import COLUMNS, Column, Evidence

CLASSES = ("cat", "dog", "eel", "fox")
WIDTH = 6  # of embeddings
SIDE = 12  # px


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
    known |= _frames(n, "", 0) | _frames(labeled, "labeled_", 1)
    known |= replaced
    known.setdefault("counts", np.bincount(known["labels"], minlength=classes))
    if order is not None:
        known |= {name: known[name][order] for name in known if over_the_pool(name)}
    for array in known.values():
        array.flags.writeable = False
    names = tuple(f"{CLASSES[c % 4]}{c // 4 or ''}" for c in range(classes))
    flat: dict[str, Column] = {**boxes(n, classes, data, dtype, order), **labeled_boxes(labeled, classes, data, dtype)}
    return Evidence({**flat, **known}, classes=names, seed=seed)


def over_the_pool(column: str) -> bool:
    """Whether a column has one row per pool item.

    >>> [over_the_pool(name) for name in ("label_history", "labels", "detection_box", "truth", "truth_box")]
    [True, False, False, True, False]
    """
    return COLUMNS[column].startswith("(N")


def _frames(n: int, prefix: str, first: int) -> dict[str, NDArray[Any]]:
    """Items as frames of three videos; the pool's numbers are even, the labeled ones odd, so that none is twice."""
    item = np.arange(n)  # as every column, a property of the item
    side = f"{prefix}made-up"
    return {
        f"{prefix}video": np.array(["road", "yard", "pier"])[item % 3],
        f"{prefix}frame": 2 * (item // 3) + first,
        f"{prefix}size": np.tile(np.array([640, 480]), (n, 1)),
        f"{prefix}path": np.array([f"{side}/{i}.png" for i in item], dtype=np.str_),
        f"{prefix}content": np.array([f"{side}-{i}" for i in item], dtype=np.str_),
    }


def view_of(plugin: Plugin[Any], known: Evidence) -> Evidence:
    """The evidence as the loop lends it to a plugin."""
    return known.for_plugin(plugin.name, plugin.needs, plugin.optional)


def alike(n: int, seed: int = 0) -> Evidence:
    """n items that differ in their task id alone."""
    one = evidence(1)
    same: dict[str, Any] = {}
    for name in COLUMNS:
        column = one.column(name)
        if over_the_pool(name) and name != "task_id":
            same[name] = np.repeat(column, n, axis=0)
        elif name.endswith("_item") and not name.startswith("labeled"):
            same[name] = np.repeat(np.arange(n), len(column))
        elif name.startswith(("detection", "truth_")):
            same[name] = np.tile(column, (n, *(1 for _ in column.shape[1:])))
    return evidence(n, seed=seed, **same)


def label_sides(n: int) -> Iterator[Evidence]:
    """Evidence on n items with no label, one label, one class, classes that nobody has seen, and each class once."""
    for labels in ([], [2], [1, 1, 1, 1], [0, 0, 3], [0, 1, 2, 3]):
        yield evidence(n, labeled=len(labels), labels=np.array(labels, dtype=np.int64))


def broken_columns(plugin: Plugin[Any], n: int) -> Iterator[tuple[str, Evidence]]:
    """Name of each column of real numbers that the plugin reads, and evidence in which one of its numbers is NaN."""
    whole = evidence(n)
    for name in sorted({*plugin.needs, *plugin.optional}):
        column = whole.column(name)
        if column.dtype.kind == "f":
            spoilt = column.copy()
            spoilt[(2, *(1 for _ in spoilt.shape[1:]))] = np.nan
            replaced: dict[str, Any] = {name: spoilt}
            yield name, evidence(n, **replaced)
