"""The exact labelling of a graph in which neighbours like to agree, as a minimum cut.

PyMaxflow (GPL-3.0) solves it if it is installed, `scipy.sparse.csgraph.maximum_flow` if not; both are exact and,
since the side of ties is fixed, give the same labels.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from plugins.contract import IntArray

Solver = Literal["pymaxflow", "scipy"]


def best_labels(
    wants: NDArray[np.bool_], a: IntArray, b: IntArray, pairwise: int, ties: bool, solver: Solver | None = None
) -> NDArray[np.bool_]:
    """x (n,) that minimises sum_i [x_i != wants_i] + pairwise * sum_e [x_a(e) != x_b(e)] (thesis Eq. 2.1-2.4).

    wants: (n,) label that costs node i nothing. a, b: (E,) nodes of each edge. pairwise: whole number >= 0. ties: of
    all best labelings the one with the most True, or if False the most False (there is one such for either).
    solver: None takes PyMaxflow if it is installed.

    >>> best_labels(np.array([True, False, False]), np.array([0, 1]), np.array([1, 2]), 1, ties=False, solver="scipy")
    array([False, False, False])
    >>> best_labels(np.array([True, False]), np.array([0]), np.array([1]), 1, ties=True, solver="scipy")
    array([ True,  True])
    """
    if pairwise < 0 or pairwise != int(pairwise):
        raise ValueError(f"The pairwise weight is {pairwise}; give a whole number, 0 or more.")
    if solver is None:
        solver = "pymaxflow" if find_spec("maxflow") else "scipy"
    cut = _pymaxflow if solver == "pymaxflow" else _scipy
    towards = wants if ties else ~wants  # the source's side takes what either side could have
    kept = cut(towards, a, b, int(pairwise)) if len(wants) else np.empty(0, dtype=bool)
    return kept if ties else ~kept


def _pymaxflow(source: NDArray[np.bool_], a: IntArray, b: IntArray, pairwise: int) -> NDArray[np.bool_]:
    """(n,) the largest source side of a minimum cut; GPL code is called here alone."""
    import maxflow  # type: ignore[import-untyped]  # it has no stubs

    graph = maxflow.GraphInt(len(source), len(a))
    nodes = graph.add_grid_nodes(len(source))
    graph.add_grid_tedges(nodes, source.astype(np.int64), (~source).astype(np.int64))
    weight = np.full(len(a), pairwise, dtype=np.int64)
    graph.add_edges(a, b, weight, weight)
    graph.maxflow()
    return np.asarray(~graph.get_grid_segments(nodes))  # a node that neither side needs counts as the source's


def _scipy(source: NDArray[np.bool_], a: IntArray, b: IntArray, pairwise: int) -> NDArray[np.bool_]:
    """(n,) the same by a flow of SciPy's: what cannot reach the sink along unsaturated edges is the source's."""
    n = len(source)
    start, end = n, n + 1
    ones, zeros = np.flatnonzero(source), np.flatnonzero(~source)
    rows = np.concatenate([np.full(len(ones), start), zeros, a, b])
    columns = np.concatenate([ones, np.full(len(zeros), end), b, a])
    units = np.concatenate([np.ones(n, dtype=np.int32), np.full(2 * len(a), pairwise, dtype=np.int32)])
    capacity = coo_array((units, (rows, columns)), shape=(n + 2, n + 2)).tocsr()
    left = (capacity - maximum_flow(capacity, start, end).flow).tocsr()
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    kept = np.ones(n + 2, dtype=bool)
    kept[breadth_first_order(left.T.tocsr(), end, directed=True, return_predecessors=False)] = False
    return kept[:n]
