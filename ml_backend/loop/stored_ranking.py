"""A published ranking as the array store keeps it: the whole order, not its written head alone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.loop.house import House
from ml_backend.loop.predicted import predicted_result, told
from ml_backend.loop.publish import PERCENTILE, PROPENSITY, VALUE, WEIGHT, ranking_key
from ml_backend.loop.video_predicted import VIDEO_ARRAYS
from ml_backend.loop.video_ranges import RANGE_ARRAYS
from ml_backend.store.arrays import Arrays
from ml_backend.studio.question import Question
from plugins.contract import FloatArray, IntArray

COVER = "cover"  # (V,) number of the most doubtful frame of each whole video
BOXES = ("box_start", "box", "box_score", "box_label", "box_classes", "size", *VIDEO_ARRAYS, *RANGE_ARRAYS, COVER)
KEPT = 4  # rankings in memory; one of 100 000 tasks and two scorers takes some 8 MB


@dataclass(frozen=True)
class ScorerPart:
    """What one scorer said of every item, by rank. values, percentiles: (N,)."""

    weight: float
    values: FloatArray
    percentiles: FloatArray


@dataclass(frozen=True)
class StoredRanking:
    """task_id (N,) by rank. predicted (N,): class index, and confidence (N,); None without a model or with boxes.

    shown: the arrays of predicted boxes (`predicted.predicted_arrays`), empty where there are none. propensity (N,):
    nan where the item was not drawn for the control arm; None in rankings of before there was one.
    """

    task_id: IntArray
    predicted: IntArray | None = None
    confidence: FloatArray | None = None
    propensity: FloatArray | None = None
    shown: Arrays = field(default_factory=dict)
    scorers: dict[str, ScorerPart] = field(default_factory=dict)

    @cached_property
    def ranks(self) -> dict[int, int]:
        """task id -> rank."""
        return {task: rank for rank, task in enumerate(self.task_id.tolist())}

    def drawn(self, rank: int) -> float | None:
        """The propensity of a control item."""
        return None if self.propensity is None or np.isnan(self.propensity[rank]) else float(self.propensity[rank])

    def says(self, question: Question, rank: int) -> tuple[str | None, float | None]:
        """What the prediction at a rank says in words, and how sure it is of its least sure part."""
        if self.predicted is None or self.confidence is None:
            return told(question, predicted_result(question, self.shown, rank))
        best = int(self.predicted[rank])
        return (question.classes[best] if best < len(question.classes) else None), float(self.confidence[rank])

    def detail(self, rank: int) -> dict[str, dict[str, Any]]:
        """Each scorer's value, percentile and weight at a rank; sentences are kept for written items alone."""
        return {
            name: {
                "value": float(part.values[rank]),
                "percentile": float(part.percentiles[rank]),
                "weight": part.weight,
                "reason": "",
            }
            for name, part in self.scorers.items()
        }


def stored_ranking(arrays: Arrays) -> StoredRanking:
    """From the arrays that `publish` wrote; probabilities shrink to the likeliest class."""
    names = [name.removeprefix(VALUE) for name in arrays if name.startswith(VALUE)]
    probabilities: NDArray[Any] | None = arrays.get("probabilities")
    return StoredRanking(
        task_id=np.asarray(arrays["task_id"]),
        predicted=None if probabilities is None else probabilities.argmax(axis=1),
        confidence=None if probabilities is None else probabilities.max(axis=1, initial=0.0),
        propensity=arrays.get(PROPENSITY),
        shown={name: arrays[name] for name in BOXES if name in arrays},
        scorers={
            name: ScorerPart(float(arrays[WEIGHT + name]), arrays[VALUE + name], arrays[PERCENTILE + name])
            for name in names
        },
    )


class StoredRankings:
    """Reads each ranking once: a version never changes. Thread-safe."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._kept: OrderedDict[tuple[int, str], StoredRanking] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, project_id: int, model_version: str | None) -> StoredRanking | None:
        """The ranking of a version; None where there is none or the array store has lost it."""
        if model_version is None:
            return None
        key = (project_id, model_version)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        arrays = self._house.arrays.read(ranking_key(project_id, model_version))
        if arrays is None:
            return None
        ranking = stored_ranking(arrays)
        with self._lock:
            self._kept[key] = ranking
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return ranking
