"""What a prediction shows: the class, or the boxes, that the model gives an item; kept with the ranking, by rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from ml_backend.loop.learning import Learned
from ml_backend.loop.video_predicted import video_result
from ml_backend.loop.video_ranges import range_result
from ml_backend.store.arrays import Arrays
from ml_backend.studio.labels import ImageClassification, check_prediction, choice_result
from ml_backend.studio.question import Question
from ml_backend.studio.regions.answers import counted
from ml_backend.studio.regions.boxes import box_results
from ml_backend.studio.regions.checks import check_regions_prediction
from ml_backend.studio.regions.config import BoxesConfig, TimelineConfig, TracksConfig
from plugins.contract import IntArray

Json = dict[str, Any]


def predicted_arrays(learned: Learned, order: IntArray) -> Arrays:
    """Of a ranking, in its order: probabilities (N, C); or the shown boxes, those of rank r from box_start[r] on."""
    if learned.probabilities is not None:
        return {"probabilities": np.asarray(learned.probabilities)[order]}
    if not learned.evidence.has("detection_score"):
        return {}
    evidence = learned.evidence
    shown = np.flatnonzero(evidence.detection_shown)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    at = rank[evidence.detection_item[shown]]
    by_rank = np.lexsort((-evidence.detection_score[shown], at))
    rows = shown[by_rank]
    return {
        "box_start": np.searchsorted(at[by_rank], np.arange(len(order) + 1)),
        "box": np.asarray(evidence.detection_box[rows], dtype=np.float32),
        "box_score": np.asarray(evidence.detection_score[rows], dtype=np.float32),
        "box_label": np.asarray(evidence.detection_label[rows], dtype=np.int32),
        "size": np.asarray(evidence.size)[order],
        "box_classes": np.array(evidence.classes),
    }


def predicted_result(config: Question, arrays: Arrays, rank: int) -> list[Json]:
    """The regions of the prediction for a rank; none without a model, or while its classes are not the config's."""
    if isinstance(config, TracksConfig):
        return video_result(config, arrays, rank)
    if isinstance(config, TimelineConfig):
        return range_result(config, arrays, rank)
    if isinstance(config, BoxesConfig):
        if "box_start" not in arrays or tuple(arrays["box_classes"].tolist()) != config.classes:
            return []
        rows = slice(int(arrays["box_start"][rank]), int(arrays["box_start"][rank + 1]))
        width, height = (int(side) for side in arrays["size"][rank])
        scores = np.clip(arrays["box_score"][rows].astype(np.float64), 0, 1)
        return box_results(config, arrays["box"][rows], arrays["box_label"][rows], scores, width, height)
    probabilities = arrays.get("probabilities")
    if probabilities is None or probabilities.shape[1] != len(config.classes):
        return []
    best = int(probabilities[rank].argmax())
    return choice_result(config, config.classes[best], min(1.0, max(0.0, float(probabilities[rank, best]))))


def check_row(config: Question, row: Json) -> None:
    """Raises ValueError if a row of a bulk import is wrong."""
    if isinstance(config, ImageClassification):
        check_prediction(config, row)
    else:
        check_regions_prediction(config, row)


def told(config: Question, result: list[Json]) -> tuple[str | None, float | None]:
    """What the prediction says in words, and how sure its least sure region is: ('2 Car, 1 Person', 0.31)."""
    result = [region for region in result if region["from_name"] == config.from_name]
    if not result:
        return None, None
    sure = min((region["score"] for region in result if "score" in region), default=None)
    if isinstance(config, ImageClassification):
        return result[0]["value"]["choices"][0], sure
    return counted(region["value"][config.label_key][0] for region in result), sure
