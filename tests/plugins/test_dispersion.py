"""Label dispersion, in one go and one epoch at a time, against counting by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from plugins.conformance.memory import peak
from plugins.contract import PluginError
from plugins.evidence import Evidence
from plugins.registry import make
from plugins.uncertainty import dispersion as module
from plugins.uncertainty.dispersion import DispersionConfig, counted, dispersion, explain, share_of_zeros, with_margin
from plugins.uncertainty.dispersion_counter import DispersionCounter
from plugins.uncertainty.margin import margin

histories = arrays.arrays(
    st.sampled_from([np.uint8, np.int16, np.int64]),
    st.tuples(st.integers(0, 9), st.integers(0, 12)),
    elements=st.integers(0, 5) | st.integers(100, 127),
)


def literal(history: NDArray[np.integer[Any]]) -> list[float]:
    """Eq. 3.1-3.2, one item and one count at a time."""
    values = []
    for row in history.tolist():
        frequent = max(Counter(row).values(), default=0)
        values.append(1 - frequent / len(row) if row else 0.0)
    return values


def known(
    history: NDArray[np.integer[Any]], probabilities: NDArray[np.float64] | None = None, classes: int = 4
) -> Evidence:
    n = len(history)
    if probabilities is None:
        probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), size=n)
    columns = {"task_id": np.arange(n), "label_history": history, "probabilities": probabilities}
    return Evidence(columns, classes=tuple(str(c) for c in range(classes)))


@given(histories)
def test_dispersion_equals_its_formula(history: NDArray[np.integer[Any]]) -> None:
    assert dispersion(history).tolist() == literal(history)


@given(histories)
def test_the_counter_agrees_after_every_epoch(history: NDArray[np.integer[Any]]) -> None:
    counter = DispersionCounter(len(history))
    assert counter.values().tolist() == [0.0] * len(history)
    for epoch, labels in enumerate(history.T, start=1):
        counter.add(labels)
        assert counter.epochs == epoch
        assert np.array_equal(counter.values(), dispersion(history[:, :epoch]))


def test_labels_beyond_the_first_types_and_many_epochs_are_counted() -> None:
    history = np.array([[3, 70_000, 3, 2**40, 3] * 60, [1] * 300])
    counter = DispersionCounter(2)
    for labels in history.T:
        counter.add(labels)
    assert counter.values().tolist() == dispersion(history).tolist() == [1 - 180 / 300, 0.0]


def test_the_counter_holds_what_items_wavered_between_and_no_class_table() -> None:
    n, rng = 20_000, np.random.default_rng(0)
    truth = rng.integers(30_000, size=n)
    counter = DispersionCounter(n)

    def train() -> None:
        for _ in range(30):
            other = rng.random(n) < 0.05
            counter.add(np.where(other, (truth + 1) % 30_000, truth))

    assert peak(train) < 60 * n  # a table of all 30 000 classes would take 600 MB, 30 000 bytes an item
    assert share_of_zeros(counter.values()) == pytest.approx(0.95**30, abs=0.02)


def test_the_counter_refuses_other_shapes_and_types() -> None:
    counter = DispersionCounter(3)
    wrongs: tuple[NDArray[Any], ...] = (np.arange(4), np.zeros(3), np.zeros((3, 1), dtype=int))
    for wrong in wrongs:
        with pytest.raises(ValueError, match="counter of 3 items; give one class index per item"):
            counter.add(wrong)
    counter.epochs = 65_535
    with pytest.raises(ValueError, match="full after 65535 epochs"):
        counter.add(np.arange(3))


@given(histories, st.integers(0, 2**32 - 1))
def test_margin_breaks_ties_and_never_changes_the_order_by_dispersion(
    history: NDArray[np.integer[Any]], seed: int
) -> None:
    n, epochs = history.shape
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(3, 0.3), size=n)
    probabilities[rng.random(n) < 0.3] = (0.5, 0.5, 0.0)  # margin of exactly 1
    raw, margins = dispersion(history), margin(probabilities)
    values = make("scorer", "dispersion").score(known(history, probabilities, classes=128)).values
    for i in range(n):
        for j in range(n):
            if raw[i] != raw[j]:
                assert (values[i] > values[j]) == (raw[i] > raw[j])
            elif margins[i] != margins[j]:
                assert (values[i] > values[j]) == (margins[i] > margins[j])
            assert abs(values[i] - raw[i]) < 1 / epochs if epochs else values[i] == margins[i]


def test_the_tie_break_survives_the_longest_training() -> None:
    epochs = 65_535
    lower, higher = with_margin(np.array([1 - 2 / epochs, 1 - 1 / epochs]), np.array([1.0, 0.0]), epochs)
    assert lower < higher


@given(st.integers(0, 200), st.floats(0, 0.9), st.none() | st.integers(1, 50), st.integers(1, 20))
def test_counted_epochs_keep_the_last_and_never_run_out(
    epochs: int, warmup: float, last: int | None, every: int
) -> None:
    positions = list(range(epochs))[counted(epochs, DispersionConfig(warmup=warmup, last=last, every=every))]
    kept = [t for t in range(epochs) if t >= int(warmup * epochs + 1e-9) and (last is None or t >= epochs - last)]
    assert positions == [t for t in kept if (epochs - 1 - t) % every == 0]
    assert not epochs or positions[-1] == epochs - 1


def test_settings_choose_the_epochs() -> None:
    history = np.array([[0, 1, 2, 3, 3, 3, 3, 1]])
    values = {
        str(config): make("scorer", "dispersion", config).score(known(history, np.array([[1.0, 0, 0, 0]]))).values[0]
        for config in ({}, {"warmup": 0.5}, {"last": 2}, {"every": 4})
    }
    assert values == {"{}": 0.5, "{'warmup': 0.5}": 0.25, "{'last': 2}": 0.5, "{'every': 4}": 0.5}
    for wrong in ({"warmup": 0.91}, {"last": 0}, {"every": 0}):
        with pytest.raises(PluginError):
            make("scorer", "dispersion", wrong)


def test_reasons_name_the_answers() -> None:
    history = np.array([[3, 3, 8, 8, 3, 5, 5, 9, 3, 3], [3] * 10])
    reason = make("scorer", "dispersion").score(known(history, classes=10)).reason
    assert reason(0) == "changed its mind in 5 of 10 epochs: 3, 8, 3, 5, 9, ..."
    assert reason(1) == "predicted 3 in all 10 epochs"
    assert explain(np.array([0]), ("cat",)) == "predicted cat in the one epoch"
    assert explain(np.array([], dtype=int), ("cat",)) == "no epoch of its training was recorded"
    assert explain(np.array([0, 0]), ("a" * 30,)) == f"predicted {'a' * 21}... in all 2 epochs"


def test_notes_say_how_many_items_it_cannot_tell_apart() -> None:
    still, moving = np.zeros((83, 4), dtype=int), np.tile([0, 1, 2, 1], (17, 1))
    history = np.concatenate([still, moving])
    (note,) = make("scorer", "dispersion").score(known(history)).notes
    assert note.startswith("Dispersion is zero for 83 % of the pool: only 17 of 100 items are above zero")
    (note,) = make("scorer", "dispersion").score(known(np.tile(history, (10, 1)))).notes
    assert note == "Dispersion is zero for 83 % of the pool."
    (note,) = make("scorer", "dispersion").score(known(np.zeros((5, 0), dtype=int))).notes
    assert "no recorded epoch" in note


def test_labels_must_be_whole_numbers() -> None:
    with pytest.raises(PluginError, match=r"shape \(3, 2\) and type float64; give \(N, T\) class indices"):
        make("scorer", "dispersion").score(known(np.zeros((3, 2))))  # type: ignore[arg-type]  # that is the point


def test_blocks_of_rows_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    history = np.random.default_rng(0).integers(4, size=(50, 9))
    whole = dispersion(history)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert np.array_equal(dispersion(history), whole)
