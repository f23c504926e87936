"""Evidence: what is known about the N pool items, in columns that load when they are first read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Column = Array | Callable[[], Array]

COLUMNS: dict[str, str] = {
    "task_id": "(N,) Label Studio's task ids",
    "probabilities": "(N, C) class probabilities, rows sum to 1",
    "expected_probabilities": "(N, C) class probabilities, mean over dropout passes",
    "expected_entropy": "(N,) entropy of a dropout pass in nats, mean over passes",
    "embeddings": "(N, D) float32 features of the pool",
    "label_history": "(N, T) label predicted at each training epoch",
    "images": "(N, H, W, channels) uint8 small pictures of the pool",
    "video": "(N,) video of each item, as text",
    "frame": "(N,) frame number within its video",
    "size": "(N, 2) width and height of each image in px, as it is shown",
    "path": "(N,) file of each image, as text",
    "content": "(N,) SHA-256 of each image, as text",
    "detection_item": "(K,) position in the pool of each detected box",
    "detection_box": "(K, 4) corners x1, y1, x2, y2 of each detected box in px",
    "detection_score": "(K,) the detector's score of each box in [0, 1], down to a low threshold",
    "detection_label": "(K,) class index of each detected box",
    "detection_shown": "(K,) whether the score reaches the working threshold, so that people see the box",
    "detection_probabilities": "(K, C) class probabilities of each box, where the detector gives them",
    "truth_item": "(G,) position in the pool of each true box; only a simulation knows it",
    "truth_box": "(G, 4) corners of each true box in px; only a simulation knows it",
    "truth_label": "(G,) class index of each true box; only a simulation knows it",
    "truth": "(N,) true class index; only a simulation knows it",
    "labels": "(L,) class index of each labeled item",
    "labeled_embeddings": "(L, D) float32 features of the labeled items",
    "labeled_images": "(L, H, W, channels) uint8 small pictures of the labeled items",
    "labeled_video": "(L,) video of each labeled item, as text",
    "labeled_frame": "(L,) frame number of each labeled item within its video",
    "labeled_size": "(L, 2) width and height of each labeled image in px",
    "labeled_path": "(L,) file of each labeled image, as text",
    "labeled_content": "(L,) SHA-256 of each labeled image, as text",
    "labeled_detection_item": "(J,) position among the labeled items of each box detected there",
    "labeled_detection_box": "(J, 4) corners of each box detected on a labeled image in px",
    "labeled_detection_score": "(J,) the detector's score of each of these boxes",
    "labeled_detection_label": "(J,) class index of each of these boxes",
    "labeled_detection_shown": "(J,) whether the score of each of these boxes reaches the working threshold",
    "labeled_held": "(L,) whether the detector never learned from each labeled item, and errs there as usual",
    "labeled_box_item": "(B,) position among the labeled items of each box that people drew",
    "labeled_box": "(B, 4) corners of each box that people drew in px",
    "labeled_box_label": "(B,) class index of each box that people drew",
    "counts": "(C,) labels per class so far: items, or boxes where people draw boxes",
}


class MissingColumnError(LookupError):
    """A plugin asked for evidence that nobody has computed."""


@dataclass(frozen=True)
class _Source:
    columns: dict[str, Column]
    providers: Mapping[str, Collection[str]]


class Evidence:
    """N items in columns; see COLUMNS for names and shapes.

    columns: arrays or functions that return one. classes: the C class names. seed: drives every random choice.
    providers: learner name -> columns it can compute, for error messages. cache: a folder where plugins may keep what
    they compute from pixels, by content; None where nothing is kept.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        *,
        classes: tuple[str, ...],
        seed: int = 0,
        providers: Mapping[str, Collection[str]] | None = None,
        cache: Path | None = None,
    ) -> None:
        unknown = sorted(set(columns) - set(COLUMNS))
        if unknown:
            raise ValueError(f"Unknown evidence column '{unknown[0]}'. Known: {', '.join(COLUMNS)}.")
        self.classes = classes
        self.seed = seed
        self.cache = cache
        self._source = _Source(dict(columns), providers or {})
        self._plugin: str | None = None
        self._needs: frozenset[str] | None = None
        self.read: dict[str, tuple[int, ...]] = {}  # shape of each column that was read through this view

    def for_plugin(self, name: str, needs: Collection[str], optional: Collection[str] = ()) -> Evidence:
        """The same evidence, limited to what the plugin declares in `needs`, which must be there, and in `optional`.

        task_id and counts are always open.
        """
        view = Evidence({}, classes=self.classes, seed=self.seed, cache=self.cache)
        view._source, view._plugin, view._needs = self._source, name, frozenset({*needs, *optional})
        missing = sorted(set(needs) - set(self._source.columns))
        if missing:
            view._fail(missing[0])
        return view

    def has(self, column: str) -> bool:
        return column in self._source.columns

    def column(self, name: str) -> Array:
        """One column as a read-only array, or MissingColumnError naming plugin, column and who can provide it."""
        if self._needs is not None and name not in self._needs | {"task_id", "counts"}:
            raise MissingColumnError(
                f"Plugin '{self._plugin}' read '{name}', which it does not declare; add it to its `needs`."
            )
        if name not in self._source.columns:
            self._fail(name)
        value = self._source.columns[name]
        if not isinstance(value, np.ndarray):
            value = np.asarray(value())
        if value.flags.writeable:
            value = value.view()
            value.flags.writeable = False
        self._source.columns[name] = value
        self.read[name] = value.shape
        return value

    def _fail(self, name: str) -> None:
        able = sorted(learner for learner, columns in self._source.providers.items() if name in columns)
        remedy = f"Learners that provide it: {', '.join(able)}." if able else "No installed learner provides it."
        if name.startswith("truth"):
            remedy = "Only a simulation knows it; take the plugin out of the plan."
        who = f"Plugin '{self._plugin}'" if self._plugin else "The caller"
        raise MissingColumnError(f"{who} needs the evidence column '{name}', which this cycle does not have. {remedy}")

    def __len__(self) -> int:
        return len(self._source.columns["task_id"])  # type: ignore[arg-type]  # task_id is always an array

    def __getattr__(self, name: str) -> Array:
        """Every column is an attribute too: `evidence.probabilities`."""
        if name not in COLUMNS:
            raise AttributeError(f"Evidence has no column '{name}'. Known: {', '.join(COLUMNS)}.")
        return self.column(name)

    @cached_property
    def jitter(self) -> Array:
        """(N,) uniform in [0, 1), a function of seed and task id alone: ties break by it, never by position."""
        return uniform_by_id(self.task_id, self.seed)

    def top_classes(self, item: int, k: int) -> str:
        """The k likeliest classes of one item: 'cat 0.51, dog 0.44'."""
        row = self.probabilities[item]
        best = np.argsort(-row, kind="stable")[:k]
        return ", ".join(f"{self.classes[c]} {row[c]:.2f}" for c in best)


def uniform_by_id(ids: Array, seed: int) -> Array:
    """(N,) float64 in [0, 1): splitmix64 (Steele et al. 2014) of id and seed, the same for an id in any pool order.

    >>> a = uniform_by_id(np.array([1, 2, 3]), seed=0); b = uniform_by_id(np.array([3, 1]), seed=0)
    >>> bool(a[2] == b[0]) and bool(a[0] == b[1])
    True
    """
    with np.errstate(over="ignore"):
        state = np.uint64(seed & 0xFFFFFFFFFFFFFFFF) * np.uint64(0xD1342543DE82EF95)
        z = (np.asarray(ids).astype(np.uint64) + state) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return np.asarray((z >> np.uint64(11)).astype(np.float64) / float(1 << 53))
