"""Mean average precision of detections on images that people labeled, by COCO's own code, with a bootstrap interval."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.learners.detector import Found, LabeledBoxes, Precision

ROUNDS = 1000  # resamplings of the images
PER_IMAGE = 100  # COCO counts the best 100 boxes of a class and image
CELLS = 4_000_000  # resamplings x detections that are counted at a time
RECALLS = np.linspace(0, 1, 101)
TINY = 1e-12  # 7 of 25 is a recall of .28, whatever the last bit says


@dataclass(frozen=True, eq=False)
class Matches:
    """One class at IoU .5. hit, image: (D,) of its detections by falling score; boxes: (n,) true ones on each image."""

    hit: NDArray[np.bool_]
    image: NDArray[np.int64]
    boxes: NDArray[np.int64]


def precision(
    found: Found, truth: LabeledBoxes, images: int, classes: tuple[str, ...], *, seed: int = 0
) -> Precision | None:
    """COCO's mAP (Lin et al. 2014, and pycocotools) on n images; None where no box was drawn on them.

    The interval holds the middle 95 % of `ROUNDS` resamplings of the images, and always the figure itself.
    """
    if not len(truth.item):
        return None
    evaluated = _evaluated(found, truth, images, len(classes))
    curves: NDArray[np.float64] = evaluated.eval["precision"][..., 0, 0]  # (10 IoUs, 101 recalls, C), -1 without boxes
    drawn = np.flatnonzero(curves[0, 0] > -1)
    half = curves[0].mean(axis=0)
    map50 = float(half[drawn].mean())
    low, high = interval([_matches(evaluated, int(c), images) for c in drawn], images, seed)
    return Precision(
        map50=map50,
        low=min(low, map50),
        high=max(high, map50),
        map50_95=float(curves[..., drawn].mean()),
        per_class={classes[c]: float(half[c]) for c in drawn},
        images=images,
        boxes=len(truth.item),
    )


def interval(matches: list[Matches], images: int, seed: int, rounds: int = ROUNDS) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles of mAP at IoU .5 over resampled images; matches: of the classes with boxes.

    Matching happens within an image, so an image drawn twice brings its matches twice and nothing is matched anew.
    """
    rng = np.random.default_rng(seed)
    step = max(1, CELLS // max(1, *(len(one.hit) for one in matches)))
    means: list[NDArray[np.float64]] = []
    for start in range(0, rounds, step):
        times = rng.multinomial(images, np.full(images, 1 / images), size=min(step, rounds - start))
        of_class = np.stack([resampled(one, times) for one in matches])
        known = ~np.isnan(of_class)
        some = known.any(axis=0)
        means.append(np.where(known, of_class, 0).sum(axis=0)[some] / known.sum(axis=0)[some])
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def resampled(matches: Matches, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """(R,) average precision of one class where image i counts times[r, i] times; NaN where no true box is left.

    times: (R, n). The curve is taken at the hits alone: between them precision only falls.
    """
    positives = times @ matches.boxes
    result = np.where(positives > 0, 0.0, np.nan)
    if not matches.hit.any():
        return result
    weights = times[:, matches.image]
    seen = np.cumsum(weights, axis=1)[:, matches.hit]
    right = np.cumsum(weights[:, matches.hit], axis=1)
    best = np.maximum.accumulate((right / np.maximum(seen, 1))[:, ::-1], axis=1)[:, ::-1]
    for r in np.flatnonzero(positives > 0):
        first = np.searchsorted(right[r] / positives[r], RECALLS - TINY, side="left")
        result[r] = best[r][first[first < best.shape[1]]].sum() / len(RECALLS)
    return result


def _evaluated(found: Found, truth: LabeledBoxes, images: int, classes: int) -> Any:
    """COCOeval after its `accumulate`, over all box sizes at once."""
    from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]  # it has no stubs

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        evaluation = COCOeval(
            _coco(truth.item, truth.box, truth.label, None, images, classes),
            _coco(found.item, found.box, found.label, found.score, images, classes),
            "bbox",
        )
        evaluation.params.maxDets = [PER_IMAGE]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e15]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _coco(item: Any, box: Any, label: Any, score: Any, images: int, classes: int) -> Any:
    """Boxes as pycocotools takes them; its ids count from 1, since it reads 0 as 'no match'."""
    from pycocotools.coco import COCO  # type: ignore[import-untyped]  # it has no stubs

    boxes = np.asarray(box, dtype=np.float64).reshape(-1, 4)
    sizes = boxes[:, 2:] - boxes[:, :2]
    rows = zip(item, label, np.hstack([boxes[:, :2], sizes]).tolist(), sizes.prod(axis=1).tolist(), strict=True)
    annotations: list[dict[str, Any]] = [
        {"id": k + 1, "image_id": int(i), "category_id": int(c), "bbox": bbox, "area": area, "iscrowd": 0}
        for k, (i, c, bbox, area) in enumerate(rows)
    ]
    if score is not None:
        for annotation, value in zip(annotations, np.asarray(score).tolist(), strict=True):
            annotation["score"] = value
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i} for i in range(images)],
        "categories": [{"id": c} for c in range(classes)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _matches(evaluated: Any, label: int, images: int) -> Matches:
    """What COCOeval matched of one class; it keeps its images in the order class by class."""
    records = evaluated.evalImgs[label * images : (label + 1) * images]
    boxes = np.zeros(images, dtype=np.int64)
    scores, hits, owners = [np.zeros(0)], [np.zeros(0, dtype=bool)], [np.zeros(0, dtype=np.int64)]
    for image, record in enumerate(records):
        if record is not None:
            boxes[image] = len(record["gtIds"])
            scores.append(np.asarray(record["dtScores"], dtype=np.float64))
            hits.append(np.asarray(record["dtMatches"][0]) > 0)
            owners.append(np.full(len(record["dtScores"]), image))
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    return Matches(np.concatenate(hits)[order], np.concatenate(owners)[order], boxes)
