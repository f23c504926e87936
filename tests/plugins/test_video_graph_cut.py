"""Both solvers of the cut against brute force over all labelings and against a literal maximum flow."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.video import graph_cut
from plugins.video.graph_cut import Solver, best_labels
from tests.plugins.video_reference import brute_force, energy, literal_cut

SOLVERS: tuple[Solver, ...] = ("pymaxflow", "scipy")


def solved(wants: list[bool], edges: list[tuple[int, int]], pairwise: int, ties: bool, solver: Solver) -> list[bool]:
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
    labels = best_labels(np.array(wants, dtype=bool), ends[:, 0], ends[:, 1], pairwise, ties, solver)
    return [bool(one) for one in labels]


@st.composite
def graphs(draw: st.DrawFn, most: int) -> tuple[list[bool], list[tuple[int, int]], int]:
    wants = draw(st.lists(st.booleans(), min_size=1, max_size=most))
    node = st.integers(0, len(wants) - 1)
    edges = draw(st.lists(st.tuples(node, node).filter(lambda pair: pair[0] < pair[1]), max_size=3 * most))
    return wants, edges, draw(st.integers(0, 3))


@given(graphs(9))
@settings(max_examples=80, deadline=None)
def test_labels_are_the_best_of_all_and_ties_go_to_their_side(
    graph: tuple[list[bool], list[tuple[int, int]], int],
) -> None:
    wants, edges, pairwise = graph
    least, best = brute_force(wants, edges, pairwise)
    most, fewest = max(best, key=sum), min(best, key=sum)
    for solver in SOLVERS:
        for ties, expected in ((True, most), (False, fewest)):
            found = solved(wants, edges, pairwise, ties, solver)
            assert energy(tuple(found), wants, edges, pairwise) == least
            assert found == list(expected)


@given(graphs(40))
@settings(max_examples=40, deadline=None)
def test_both_solvers_agree_with_a_literal_flow(graph: tuple[list[bool], list[tuple[int, int]], int]) -> None:
    wants, edges, pairwise = graph
    for ties in (True, False):
        expected = literal_cut(wants, edges, pairwise, ties)
        assert [solved(wants, edges, pairwise, ties, solver) for solver in SOLVERS] == [expected, expected]


def test_scipy_solves_where_pymaxflow_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(graph_cut, "find_spec", lambda name: None if name == "maxflow" else real(name))
    monkeypatch.setattr(graph_cut, "_pymaxflow", lambda *_: pytest.fail("PyMaxflow was called"))
    wants, ends = np.array([True, False, False]), np.array([0, 1])
    assert best_labels(wants, ends, ends + 1, 1, ties=True).tolist() == [True, False, False]


def test_a_weight_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pairwise weight is 0\.5"):
        best_labels(np.array([True]), np.empty(0, int), np.empty(0, int), 0.5, ties=True)  # type: ignore[arg-type]  # the point
    assert best_labels(np.empty(0, bool), np.empty(0, int), np.empty(0, int), 1, ties=True).tolist() == []
