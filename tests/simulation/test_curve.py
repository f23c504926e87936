"""What is read off learning curves, against the plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.curve import Curve, areas, labels_to_reach


def test_area_is_the_mean_over_labels_not_over_points() -> None:
    curve = Curve(np.array([20, 40, 80]), np.array([[0.5, 0.7, 0.9], [0.5, 0.5, 0.5]]))
    assert areas(curve) == pytest.approx([(20 * 0.6 + 40 * 0.8) / 60, 0.5])
    assert areas(Curve(np.array([20]), np.array([[0.7]]))) == pytest.approx([0.7])


def test_labels_to_reach_lie_on_the_line_between_two_points() -> None:
    labels, accuracies = [20, 40, 80], np.array([0.5, 0.7, 0.9])
    assert labels_to_reach(labels, accuracies, 0.7) == 40
    assert labels_to_reach(labels, accuracies, 0.8) == 60
    assert labels_to_reach(labels, accuracies, 0.501) == 21
    assert labels_to_reach(labels, accuracies, 0.4) == 20
    assert labels_to_reach(labels, accuracies, 0.95) is None


def test_a_curve_that_falls_again_counts_where_it_first_arrived() -> None:
    assert labels_to_reach([1, 2, 3, 4], np.array([0.1, 0.5, 0.3, 0.6]), 0.5) == 2
    assert labels_to_reach([10, 20], np.array([0.5, 0.5]), 0.5) == 10


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0, 1))
def test_labels_to_reach_is_monotone_in_the_goal(accuracies: list[float], goal: float) -> None:
    labels = list(range(10, 10 + 10 * len(accuracies), 10))
    easier = labels_to_reach(labels, np.array(accuracies), goal / 2)
    harder = labels_to_reach(labels, np.array(accuracies), goal)
    if harder is not None:
        assert easier is not None
        assert labels[0] <= easier <= harder <= labels[-1]
