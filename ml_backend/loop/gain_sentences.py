"""The gain in plain words, for the command line and the REST interface."""

from __future__ import annotations

from typing import Any

from ml_backend.learners.contract import Accuracy
from ml_backend.loop.gain import Gain
from ml_backend.loop.savings import ENOUGH


def sentences(gain: Gain) -> list[str]:
    """Everything a gain says, headline first."""
    said = []
    if gain.remaining is None or gain.cycles is None:
        said.append(
            "The accuracy on what is still unlabeled is unknown: no control item that a model predicted is answered."
        )
    else:
        first, last = gain.cycles
        queues = f"queue of cycle {first}" if first == last else f"queues of cycles {first} to {last}"
        said.append(
            f"On what is still unlabeled the model is right in {_percent(gain.remaining)}; "
            f"{gain.remaining.n} control answers, {queues}."
        )
    if gain.collection is not None:
        said.append(f"On all items, labeled or not, it is right in {_percent(gain.collection)}.")
    said.append(saved_sentence(gain.savings, gain.answered, gain.share))
    silent = gain.skipped + gain.unusable
    if silent:
        said.append(
            f"{silent} of {gain.answered + silent} control items got no usable answer ({gain.skipped} skipped); "
            "if these are the hard ones, the accuracies flatter."
        )
    if gain.out_of_turn:
        said.append(f"{gain.out_of_turn} control items were labeled out of the queue's order, so they do not count.")
    if gain.shown and gain.measured:
        said.append("Annotators see the model's answer and may lean to it; hide predictions for a sterner measure.")
    return said


def _percent(accuracy: Accuracy) -> str:
    return f"{accuracy.value:.1%} of cases (between {accuracy.low:.1%} and {accuracy.high:.1%})"


def saved_sentence(savings: dict[str, Any] | None, answered: int, share: float) -> str:
    """How many labels were saved, in plain words.

    >>> saved_sentence({"saved": {"value": 50.2, "low": 20.4, "high": 90.1}, "draws": 31, "labels": 90}, 31, 0.05)
    'Between 20 and 90 labels saved, compared with random labeling; 31 control answers so far.'
    >>> saved_sentence({"saved": {"value": None, "low": -5.0, "high": None}, "draws": 31, "labels": 90}, 31, 0.05)
    'Between 5 labels lost and more saved than can be told yet, compared with random labeling; 31 control answers so
    far.'
    >>> saved_sentence(None, 12, 0.05)
    'Labels saved: not known yet; 12 of the 30 control answers that it takes.'
    """
    if savings is None:
        if share == 0 and answered < ENOUGH:
            return "Labels saved: not measured, since the plan's control share is 0."
        if answered < ENOUGH:
            return f"Labels saved: not known yet; {answered} of the {ENOUGH} control answers that it takes."
        return "Labels saved: not compared yet; it is done after a training with the learner 'frozen'."
    low, high = savings["saved"]["low"], savings["saved"]["high"]
    least = _labels(low)
    if high is None:
        span = f"Between {least} and more saved than can be told yet" if low is not None and low < 0 else None
        span = span or (f"At least {least} saved" if low is not None else "More labels saved than can be told yet")
    elif low is not None and low < 0:
        span = f"Between {least} and {_labels(high)}{' saved' if high >= 0 else ''}"
    else:
        span = f"Between {round(low)} and {round(high)} labels saved"
    return f"{span}, compared with random labeling; {savings['draws']} control answers so far."


def _labels(count: float | None) -> str:
    if count is None:
        return ""
    return f"{-round(count)} labels lost" if count < 0 else f"{round(count)} labels"


def curve_rows(savings: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(labels, accuracy, interval) of the measured points of the random curve, then of today's labels.

    >>> point = {"value": 0.9, "low": 0.8, "high": 0.95}
    >>> curve_rows({"curve": {"12": point}, "labels": 90, "accuracy": point})
    [('12 at random', '90.0%', '80.0% to 95.0%'), ('90 in our order', '90.0%', '80.0% to 95.0%')]
    """
    points = [(f"{n} at random", point) for n, point in savings["curve"].items()]
    points.append((f"{savings['labels']} in our order", savings["accuracy"]))
    return [(who, f"{p['value']:.1%}", f"{p['low']:.1%} to {p['high']:.1%}") for who, p in points]
