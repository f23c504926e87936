"""Evidence: columns that load once, when read, and errors that name who lacks what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.evidence import COLUMNS, Evidence, MissingColumnError, uniform_by_id

PROVIDERS = {"frozen": {"probabilities", "embeddings"}, "finetune": {"probabilities"}}


def test_missing_column_names_plugin_column_and_providers() -> None:
    some = Evidence({"task_id": np.arange(3)}, classes=("a",), providers=PROVIDERS)
    with pytest.raises(
        MissingColumnError, match=r"Plugin 'margin' needs the evidence column 'probabilities'.*finetune, frozen\."
    ):
        some.for_plugin("margin", {"probabilities"})
    with pytest.raises(MissingColumnError, match=r"The caller needs .*No installed learner provides it"):
        some.column("label_history")


def test_missing_truth_says_that_only_a_simulation_knows_it() -> None:
    some = Evidence({"task_id": np.arange(3)}, classes=("a",), providers=PROVIDERS)
    for column in ("truth", "truth_box"):
        with pytest.raises(
            MissingColumnError, match=f"'oracle' needs the evidence column '{column}'.*Only a simulation"
        ):
            some.for_plugin("oracle", {column})


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_has_an_accessor(name: str) -> None:
    column = np.arange(3)
    assert np.array_equal(getattr(Evidence({"task_id": np.arange(3), name: column}, classes=("a",)), name), column)


def test_a_plugin_reads_only_what_it_declares() -> None:
    columns = {"task_id": np.arange(3), "probabilities": np.ones((3, 1)), "counts": np.array([2])}
    view = Evidence(columns, classes=("a",)).for_plugin("shy", set())
    assert view.task_id.tolist() == [0, 1, 2]
    assert view.counts.tolist() == [2]
    with pytest.raises(MissingColumnError, match="'shy' read 'probabilities', which it does not declare"):
        _ = view.probabilities


def test_an_optional_column_is_read_where_it_is_there() -> None:
    columns = {"task_id": np.arange(3), "size": np.ones((3, 2)), "path": np.array(["a", "b", "c"])}
    view = Evidence(columns, classes=()).for_plugin("curious", {"path"}, {"size", "content"})
    assert view.path.tolist() == ["a", "b", "c"]
    assert (view.has("size"), view.has("content")) == (True, False)
    assert view.size.shape == (3, 2)
    with pytest.raises(MissingColumnError, match="'curious' needs the evidence column 'content'"):
        _ = view.content


def test_columns_load_once_and_only_when_read() -> None:
    loads: list[str] = []

    def load() -> NDArray[np.float64]:
        loads.append("probabilities")
        return np.full((3, 2), 0.5)

    some = Evidence({"task_id": np.arange(3), "probabilities": load}, classes=("a", "b"))
    view = some.for_plugin("margin", {"probabilities"})
    assert not loads
    first = view.probabilities
    assert first is some.probabilities
    assert loads == ["probabilities"]


def test_columns_are_read_only() -> None:
    some = Evidence({"task_id": np.arange(3)}, classes=())
    with pytest.raises(ValueError, match="read-only"):
        some.task_id[0] = 7


def test_unknown_column_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown evidence column 'probs'"):
        Evidence({"task_id": np.arange(1), "probs": np.arange(1)}, classes=())


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=30, unique=True), st.integers(0, 2**64 - 1))
def test_jitter_belongs_to_the_id_not_to_the_position(ids: list[int], seed: int) -> None:
    straight = dict(zip(ids, uniform_by_id(np.array(ids), seed).tolist(), strict=True))
    backwards = dict(zip(ids[::-1], uniform_by_id(np.array(ids[::-1]), seed).tolist(), strict=True))
    assert straight == backwards
    assert all(0 <= value < 1 for value in straight.values())
