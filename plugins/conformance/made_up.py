"""Made-up evidence that a plugin is tried on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.contract import Plugin
from plugins.evidence import COLUMNS, Evidence

CLASSES = ("cat", "dog", "eel", "fox")
LABELED = ("labels", "labeled_embeddings", "labeled_images", "counts")  # columns that are not over the pool
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
    known["video"] = np.arange(n) % 3 + 40  # as every column, a property of the item
    known["frame"] = 2 * (np.arange(n) // 3)
    known |= replaced
    known.setdefault("counts", np.bincount(known["labels"], minlength=classes))
    if order is not None:
        known |= {name: known[name][order] for name in known if name not in LABELED}
    for array in known.values():
        array.flags.writeable = False
    names = tuple(f"{CLASSES[c % 4]}{c // 4 or ''}" for c in range(classes))
    return Evidence(known, classes=names, seed=seed)


def alike(n: int, seed: int = 0) -> Evidence:
    """n items that differ in their task id alone."""
    one = evidence(1)
    columns = [name for name in COLUMNS if name not in LABELED and name != "task_id"]
    same: dict[str, Any] = {name: np.repeat(one.column(name), n, axis=0) for name in columns}
    return evidence(n, seed=seed, **same)


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
