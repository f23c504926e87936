"""Embeddings of pool and labeled items as this family of selectors reads them: checked, in an order of their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray, PluginError
from plugins.evidence import Evidence


def row_keys(points: FloatArray) -> NDArray[np.void]:
    """(n,) keys of (n, D) rows, D > 0: equal rows have equal keys, and keys can be sorted."""
    rows = np.ascontiguousarray(points + 0)  # -0.0 + 0 is 0.0
    return np.asarray(rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel())


def labeled_and_pool(evidence: Evidence, by_id: IntArray, selector: str) -> FloatArray:
    """(L + N, D) float32 or float64: labeled items in an order of their own, then the pool in the order `by_id`.

    So what is computed from the rows depends on the items alone, never on where a pool happens to list them.
    PluginError names `selector` when widths differ or a value is not finite.
    """
    pool, labeled = evidence.embeddings, evidence.labeled_embeddings
    if labeled.ndim != 2 or pool.ndim != 2 or (len(labeled) and labeled.shape[1] != pool.shape[1]):
        raise PluginError(
            f"Selector '{selector}' got embeddings of shape {pool.shape} and labeled embeddings of shape "
            f"{labeled.shape}; both need the same width, so let one learner make them."
        )
    kind = np.promote_types(pool.dtype, np.float32)
    points = np.empty((len(labeled) + len(pool), pool.shape[1]), dtype=kind)
    points[len(labeled) :] = pool[by_id]
    if len(labeled):
        order = np.argsort(row_keys(labeled), kind="stable") if pool.shape[1] else np.arange(len(labeled))
        points[: len(labeled)] = labeled[order]
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise PluginError(
            f"Selector '{selector}' got embeddings that are not finite for {bad.size} of {len(points)} items; "
            "look at the learner that made them."
        )
    return points
