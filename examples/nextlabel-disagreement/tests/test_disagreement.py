"""Disagreement passes the contract suite, and is what its formulas say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from nextlabel_disagreement import Disagreement, disagreement, nearest_labeled

from plugins.conformance import suite
from plugins.evidence import Evidence
from plugins.registry import available


@pytest.mark.parametrize("check", suite(Disagreement), ids=lambda check: check.__name__)
def test_contract(check: Callable[[], None]) -> None:
    check()


def test_it_is_installed() -> None:
    listing = available("scorer").get("disagreement")
    assert listing is not None, "entry points are read from installed packages: pip install this one first"
    assert listing.error is None


@pytest.mark.parametrize(("n", "labeled", "k"), [(0, 3, 2), (7, 2, 2), (30, 12, 5)])
def test_neighbours_are_the_literal_ones(n: int, labeled: int, k: int) -> None:
    rng = np.random.default_rng(n)
    points, known = rng.integers(4, size=(n, 2)) * 1.0, rng.integers(4, size=(labeled, 2)) * 1.0  # with equal distances
    literal = [sorted(range(labeled), key=lambda j: (float(((p - known[j]) ** 2).sum()), j))[:k] for p in points]
    assert nearest_labeled(points, known, k).tolist() == literal


def test_disagreement_is_the_literal_vote_entropy() -> None:
    votes = np.random.default_rng(0).integers(4, size=(40, 5))
    for row, value in zip(votes.tolist(), disagreement(votes, 4), strict=True):
        entropy = -sum(c / 5 * math.log(c / 5) for c in Counter(row).values())
        assert value == pytest.approx(entropy / math.log(5))


def test_the_border_between_two_groups_comes_first() -> None:
    evidence = Evidence(
        {
            "task_id": np.arange(3),
            "embeddings": np.array([[0.5], [5.0], [9.5]]),
            "labels": np.array([0, 0, 0, 1, 1, 1]),
            "labeled_embeddings": np.array([[0.0], [1.0], [4.4], [5.5], [9.0], [10.0]]),
            "counts": np.array([3, 3]),
        },
        classes=("cat", "dog"),
    )
    scores = Disagreement(Disagreement.Config(neighbours=2)).score(evidence)
    assert scores.values.tolist() == [0.0, 1.0, 0.0]
    assert scores.reason(0) == "its 2 nearest labeled neighbours: 2 cat"
    assert scores.reason(1) == "its 2 nearest labeled neighbours: 1 cat, 1 dog"
    few = Disagreement(Disagreement.Config(neighbours=50)).score(evidence)
    assert few.reason(2) == "its 6 nearest labeled neighbours: 3 cat, 3 dog", "no more vote than there are"
