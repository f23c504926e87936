"""Label dispersion: ask about the items on which the network keeps changing its mind while it trains."""

from __future__ import annotations

import itertools
import math

import numpy as np
from pydantic import Field

from plugins.contract import FloatArray, IntArray, PluginConfig, PluginError, Scorer, Scores
from plugins.evidence import Array, Evidence
from plugins.uncertainty.distributions import by_rows
from plugins.uncertainty.margin import margin

BLOCK = 16_384  # rows; 20 epochs of them stay in the processor's cache
SHOWN = 5  # answers that a reason lists
LONGEST = 24  # characters of a class name in a reason
BATCHES = 20  # items per class in two of the largest sensible batches (method: 10 per class each)


class DispersionConfig(PluginConfig):
    """Which of the recorded epochs are counted."""

    warmup: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="Share of the first epochs left out. For networks 0.25 to 0.5 helps, never more: 0.75 leaves 97 % "
        "of the pool at zero. Keep 0 for a frozen backbone.",
    )
    last: int | None = Field(
        None,
        ge=1,
        le=65_535,
        description="Counts only this many of the last epochs; fewer follow the present model closely and leave more "
        "items at zero. All by default.",
    )
    every: int = Field(
        1,
        ge=1,
        le=1_000,
        description="Counts one epoch in this many, the last one always; more costs less time and leaves more items at "
        "zero.",
    )


def dispersion(label_history: Array) -> FloatArray:
    """1 - f / T of each item, f = how often its most frequent predicted label occurred (thesis Eq. 3.1-3.2).

    label_history: (N, T) integers. Returns (N,) float64 between 0 (never changed) and 1 - 1/T (never the same label
    twice); 0 where T = 0. Sorts each row, so that time and memory do not grow with the number of classes.

    >>> dispersion(np.array([[3, 8, 3, 5], [3, 3, 3, 3]])).tolist()
    [0.5, 0.0]
    """
    n, epochs = label_history.shape
    if epochs == 0:
        return np.zeros(n)
    frequent = np.empty(n, dtype=np.int64)
    for start in range(0, n, BLOCK):
        frequent[start : start + BLOCK] = _most_frequent(label_history[start : start + BLOCK])
    return np.asarray(1.0 - frequent / epochs)


def _most_frequent(block: Array) -> IntArray:
    """(n,) length of the longest run in each sorted row of (n, T), T > 0."""
    wide = block.astype(np.int16) if block.dtype.itemsize == 1 else block  # NumPy sorts 16 bits twice as fast as 8
    ordered = np.ascontiguousarray(np.sort(wide, axis=1).T)
    run = np.ones(len(block), dtype=np.int32)
    longest = run.copy()
    for before, now in itertools.pairwise(ordered):
        run *= before == now
        run += 1
        np.maximum(longest, run, out=longest)
    return longest


def share_of_zeros(dispersions: FloatArray) -> float:
    """Share of (N,) dispersions that are 0: items that it cannot tell apart. 0 for an empty pool.

    >>> share_of_zeros(np.array([0.0, 0.25, 0.0, 0.0]))
    0.75
    """
    return float(np.mean(dispersions == 0)) if len(dispersions) else 0.0


def with_margin(dispersions: FloatArray, margins: FloatArray, epochs: int) -> FloatArray:
    """(N,): dispersion plus a part of the margin that is smaller than one count, 1/T: it decides ties and nothing else.

    dispersions: (N,) multiples of 1/T, T = epochs. margins: (N,) from 0 (certain) to 1 (a tie). With no epoch: margins.

    >>> with_margin(np.array([0.5, 0.5, 0.0]), np.array([0.2, 0.4, 1.0]), 4).round(2).tolist()
    [0.54, 0.58, 0.2]
    """
    return np.asarray(dispersions + np.clip(margins, 0.0, 1.0) / (epochs + 1))


def counted(epochs: int, config: DispersionConfig) -> slice:
    """Which of T = epochs are counted: after the warm-up, among the last ones, one in `every`, the last one always.

    >>> list(range(10))[counted(10, DispersionConfig(warmup=0.25, every=3))]
    [3, 6, 9]
    """
    start = math.floor(config.warmup * epochs + 1e-9)  # 0.29 * 100 is 28.999...
    if config.last is not None:
        start = max(start, epochs - config.last)
    return slice(start + (epochs - 1 - start) % config.every if epochs else 0, epochs, config.every)


def explain(history: Array, classes: tuple[str, ...]) -> str:
    """One sentence on one item's (T,) labels; the number is T - f, how often it left its most frequent answer.

    >>> explain(np.array([0, 1, 1, 0, 2, 1, 1]), ("3", "8", "5"))
    'changed its mind in 3 of 7 epochs: 3, 8, 3, 5, 8'
    >>> explain(np.array([1, 1, 1]), ("3", "8", "5"))
    'predicted 8 in all 3 epochs'
    """
    epochs = len(history)
    if epochs == 0:
        return "no epoch of its training was recorded"
    labels, counts = np.unique(history, return_counts=True)
    if len(labels) == 1:
        return f"predicted {_short(classes[labels[0]])} in {f'all {epochs} epochs' if epochs > 1 else 'the one epoch'}"
    answers = history[np.flatnonzero(np.diff(history.astype(np.int64), prepend=-1))]  # each run of an answer once
    shown = [_short(classes[answer]) for answer in answers[:SHOWN]] + ["..."] * (len(answers) > SHOWN)
    return f"changed its mind in {epochs - counts.max()} of {epochs} epochs: {', '.join(shown)}"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..."


def remarks(dispersions: FloatArray, epochs: int, classes: int) -> tuple[str, ...]:
    """What the person who chose dispersion must know about a pool: how many items it cannot tell apart.

    dispersions: (N,) without the tie-break.
    """
    if epochs == 0:
        return ("Dispersion has no recorded epoch; the pool stands in order of margin.",)
    share, above = share_of_zeros(dispersions), int(np.count_nonzero(dispersions))
    if share <= 0.5 or above >= BATCHES * classes:
        return (f"Dispersion is zero for {math.floor(100 * share)} % of the pool.",)
    return (
        f"Dispersion is zero for {math.floor(100 * share)} % of the pool: only {above} of {len(dispersions)} items are "
        "above zero, and the others stand in order of margin; make batches at most half that large, or count more "
        "epochs (warmup, last, every).",
    )


class Dispersion(Scorer[DispersionConfig]):
    """values: label dispersion over the counted epochs, ties broken by margin."""

    name, title = "dispersion", "Label dispersion"
    summary = "Items whose predicted label kept changing during training come first; needs no extra inference."
    reference = "Zolfaghari Bengar et al. 2021 (CAIP); thesis Eq. 3.1-3.2"
    needs = frozenset({"label_history", "probabilities"})

    def score(self, evidence: Evidence) -> Scores:
        history, classes = evidence.label_history, evidence.classes
        if history.ndim != 2 or history.dtype.kind not in "iu":
            raise PluginError(
                f"Scorer 'dispersion' got a label history of shape {history.shape} and type {history.dtype}; give "
                "(N, T) class indices."
            )
        history = history[:, counted(history.shape[1], self.config)]
        epochs = history.shape[1]
        raw = dispersion(history)
        notes = remarks(raw, epochs, len(classes)) if len(raw) else ()
        values = with_margin(raw, by_rows(margin, evidence.probabilities), epochs)
        return Scores(values, reason=lambda i: explain(history[i], classes), notes=notes)
