"""The oracle of a simulation."""

from __future__ import annotations

import numpy as np
import pytest

from plugins.contract import PluginError
from plugins.evidence import Evidence
from plugins.registry import make


def test_mistakes_come_first_and_reasons_name_both_classes() -> None:
    rng = np.random.default_rng(0)
    probabilities, truth = rng.dirichlet(np.ones(3), size=40), rng.integers(3, size=40)
    columns = {"task_id": np.arange(40), "probabilities": probabilities, "truth": truth}
    scores = make("scorer", "oracle").score(Evidence(columns, classes=("cat", "dog", "eel")))
    literal = [float(row.index(max(row)) != t) for row, t in zip(probabilities.tolist(), truth.tolist(), strict=True)]
    assert scores.values.tolist() == literal
    sentences = {scores.reason(i) for i in range(40)}
    assert "predicted cat, but it is dog" in sentences
    assert "predicted eel, and it is eel" in sentences


def test_truth_must_fit() -> None:
    columns = {"task_id": np.arange(2), "probabilities": np.eye(2), "truth": np.zeros((2, 1), dtype=int)}
    with pytest.raises(PluginError, match=r"truth of shape \(2, 1\)"):
        make("scorer", "oracle").score(Evidence(columns, classes=("cat", "dog")))
