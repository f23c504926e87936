"""Learn and evidence where people draw boxes: a detector's training becomes columns over the frames, kept for later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.learners.contract import Accuracy, Images
from ml_backend.learners.detector import Detector, DetectorFit, EpochObserver, Found, Progress
from ml_backend.loop.box_pool import BoxPool, Frames
from ml_backend.loop.house import House
from ml_backend.loop.learning import Learned, evidence_key, forget_old, model_key, positions, providers
from ml_backend.loop.plan import Plan, PlanError
from ml_backend.store.arrays import Arrays
from plugins import registry
from plugins.evidence import Column, Evidence

MADE_BY = "nextlabel_learner"  # in a kept model: the detector and the classes behind its arrays
CLASSES = "nextlabel_classes"
PARTS = tuple(part.name for part in fields(Found))


def make_detector(plan: Plan) -> Detector[Any]:
    made = registry.make("learner", plan.learner.name, plan.learner.config)
    if not isinstance(made, Detector):
        raise PlanError(
            f"The learner '{plan.learner.name}' gives an image a class, and this project asks for boxes; "
            "choose yolo or faster_rcnn."
        )
    return made


def learn_boxes(
    detector: Detector[Any],
    pool: BoxPool,
    classes: tuple[str, ...],
    *,
    folder: Path,
    start: Arrays | None = None,
    seed: int,
    observer: EpochObserver | None = None,
    progress: Progress | None = None,
) -> tuple[DetectorFit, Arrays]:
    """Trains on people's boxes; returns the fit and what it found on the pool and on the labeled images, as columns."""
    fit = detector.fit(
        pool.labeled_images,
        pool.boxes,
        pool.labeled_frames.video if pool.in_videos else None,
        pool.images,
        classes,
        folder=folder,
        start=start,
        seed=seed,
        observer=observer,
        progress=progress,
    )
    held = np.zeros(len(pool.labeled_task_id), dtype=bool)
    held[fit.held] = True
    return fit, {**_columns("detection", fit.pool), **_columns("labeled_detection", fit.labeled), "labeled_held": held}


def train_boxes(
    house: House,
    project_id: int,
    cycle: int,
    plan: Plan,
    pool: BoxPool,
    classes: tuple[str, ...],
    progress: Progress | None = None,
) -> Learned:
    """Fits the plan's detector, from where the last one ended, and keeps model and evidence.

    Without a single box there is nothing to fit.
    """
    detector = make_detector(plan)
    if not len(pool.boxes.item):
        return Learned(box_evidence(house, project_id, pool, classes, plan, {}), None, None)
    fit, columns = learn_boxes(
        detector,
        pool,
        classes,
        folder=house.settings.model_dir.absolute() / "detectors" / f"project-{project_id}",
        start=_last_model(house, project_id, plan),
        seed=plan.seed,
        progress=progress,
    )
    ids: Arrays = {"task_id": pool.task_id, "labeled_task_id": pool.labeled_task_id, CLASSES: np.array(classes)}
    house.arrays.write(evidence_key(project_id, cycle), {**columns, **ids})
    house.arrays.write(model_key(project_id, cycle), {**fit.model, MADE_BY: np.array([plan.learner.name])})
    forget_old(house, project_id)
    return Learned(
        box_evidence(house, project_id, pool, classes, plan, columns),
        None,
        cycle,
        fit.features,
        _accuracy(fit),
        _metrics(fit, classes),
        fit.notes,
    )


def recall_boxes(
    house: House, project_id: int, trained_in: int, plan: Plan, pool: BoxPool, classes: tuple[str, ...]
) -> Learned | None:
    """The evidence of an earlier training on today's frames; None where it is gone, or its classes are others.

    The model of that training looks at frames that came later.
    """
    kept = house.arrays.read(evidence_key(project_id, trained_in))
    if kept is None or CLASSES not in kept or _folded(kept[CLASSES].tolist()) != _folded(classes):
        return None
    known = np.concatenate([kept["task_id"], kept["labeled_task_id"]])
    seen = _joined(_found(kept, "detection"), _found(kept, "labeled_detection"), len(kept["task_id"]))
    wanted = np.concatenate([pool.task_id, pool.labeled_task_id])
    where = positions(known, wanted)
    found = _of(seen, where, len(known))
    notes: tuple[str, ...] = ()
    new = np.flatnonzero(where < 0)
    if len(new):
        model = house.arrays.read(model_key(project_id, trained_in))
        if model is None or str(model.pop(MADE_BY)[0]) != plan.learner.name:
            return None
        images = _all_images(pool).take(new)
        later = make_detector(plan).detect(model, images)
        found = _merged(found, _renumbered(later, new))
        notes = (f"{len(new)} items came after the last training; its model looked at them.",)
    n = len(pool.task_id)
    columns = {
        **_columns("detection", _slice(found, 0, n)),
        **_columns("labeled_detection", _slice(found, n, len(wanted))),
        "labeled_held": _still_held(kept, pool.labeled_task_id),
    }
    return Learned(box_evidence(house, project_id, pool, classes, plan, columns), None, trained_in, notes=notes)


def _still_held(kept: Arrays, labeled: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(L,) labeled items that the kept model never learned from; what was labeled after its training is among them."""
    known = kept["labeled_task_id"]
    held = kept.get("labeled_held", np.zeros(len(known), dtype=bool))
    where = positions(known, labeled)
    return np.asarray((where < 0) | np.append(held, True)[where])


def box_evidence(
    house: House, project_id: int, pool: BoxPool, classes: tuple[str, ...], plan: Plan, columns: Arrays
) -> Evidence:
    """Columns of a training on the frames as they are now, with what is known without one."""
    cache = house.settings.model_dir.absolute() / "pixels" / f"project-{project_id}"
    return make_box_evidence(pool, classes, plan, columns, cache)


def make_box_evidence(
    pool: BoxPool, classes: tuple[str, ...], plan: Plan, columns: Arrays, cache: Path | None
) -> Evidence:
    """As `box_evidence`, without a house. cache: where plugins keep what they compute from pixels."""
    given: dict[str, Column] = {"task_id": pool.task_id, "counts": pool.counts}
    given |= _sight("", pool.frames, pool.images, pool.in_videos)
    given |= _sight("labeled_", pool.labeled_frames, pool.labeled_images, pool.in_videos)
    given |= {
        "labeled_box_item": pool.boxes.item,
        "labeled_box": pool.boxes.box,
        "labeled_box_label": pool.boxes.label,
    }
    for side in ("", "labeled_"):
        if f"{side}detection_score" in columns:
            given[f"{side}detection_shown"] = columns[f"{side}detection_score"] >= plan.shown_from
    listed = {name: column for name, column in columns.items() if name != "labeled_detection_probabilities"}
    return Evidence({**given, **listed}, classes=classes, seed=plan.seed, providers=providers(), cache=cache)


def _folded(names: Sequence[str]) -> list[str]:
    """A label that was only written in another case is the same label."""
    return [name.casefold() for name in names]


def _sight(side: str, frames: Frames, images: Images, in_videos: bool) -> dict[str, Column]:
    """What is known of n images. video and frame only where there are videos, so that plugins for video say so."""
    columns: dict[str, Column] = {
        f"{side}size": frames.size,
        f"{side}path": np.array([str(path) for path in images.paths], dtype=np.str_),
        f"{side}content": np.array(list(images.contents), dtype=np.str_),
    }
    if in_videos:
        columns |= {f"{side}video": frames.video, f"{side}frame": frames.frame}
    return columns


def _last_model(house: House, project_id: int, plan: Plan) -> Arrays | None:
    """The newest kept model of the plan's detector."""
    keys = house.arrays.keys(f"projects/{project_id}/models")
    model = house.arrays.read(keys[-1]) if keys else None
    if model is None or MADE_BY not in model or str(model.pop(MADE_BY)[0]) != plan.learner.name:
        return None
    return model


def _accuracy(fit: DetectorFit) -> Accuracy | None:
    """mAP at IoU .5 in the place of accuracy."""
    measured = fit.precision
    return None if measured is None else Accuracy(measured.map50, measured.low, measured.high, measured.images)


def _metrics(fit: DetectorFit, classes: Sequence[str]) -> dict[str, Any]:
    metrics: dict[str, Any] = {**fit.metrics, "measure": "map50", "classes": list(classes)}
    if fit.precision is not None:
        metrics |= {
            "map50_95": fit.precision.map50_95,
            "map50_per_class": fit.precision.per_class,
            "measured_boxes": fit.precision.boxes,
        }
    return metrics


# found boxes, in columns


def _columns(prefix: str, found: Found) -> Arrays:
    return {f"{prefix}_{part}": value for part in PARTS if (value := getattr(found, part)) is not None}


def _found(columns: Arrays, prefix: str) -> Found:
    return Found(**{part: columns.get(f"{prefix}_{part}") for part in PARTS})  # type: ignore[arg-type]  # as written


def _rows(found: Found, rows: NDArray[np.int64], item: NDArray[np.int64]) -> Found:
    chance = None if found.probabilities is None else found.probabilities[rows]
    return Found(item, found.box[rows], found.score[rows], found.label[rows], chance)


def _renumbered(found: Found, items: NDArray[np.int64]) -> Found:
    return _rows(found, np.arange(len(found)), items[found.item])


def _merged(first: Found, second: Found) -> Found:
    """Both, sorted by item."""
    parts: dict[str, Any] = {}
    for part in PARTS:
        a, b = getattr(first, part), getattr(second, part)
        parts[part] = None if a is None or b is None else np.concatenate([a, b])
    both = Found(**parts)
    order = np.argsort(both.item, kind="stable")
    return _rows(both, order, both.item[order])


def _joined(pool: Found, labeled: Found, n: int) -> Found:
    return _merged(pool, _rows(labeled, np.arange(len(labeled)), labeled.item + n))


def _of(found: Found, where: NDArray[np.int64], known: int) -> Found:
    """Found on the items that stand at `where` of the known ones (-1: nowhere), in their new order."""
    place = np.full(known, -1, dtype=np.int64)
    there = np.flatnonzero(where >= 0)
    place[where[there]] = there
    rows = np.flatnonzero(place[found.item] >= 0)
    rows = rows[np.argsort(place[found.item[rows]], kind="stable")]
    return _rows(found, rows, place[found.item[rows]])


def _slice(found: Found, start: int, stop: int) -> Found:
    rows = np.flatnonzero((found.item >= start) & (found.item < stop))
    return _rows(found, rows, found.item[rows] - start)


def _all_images(pool: BoxPool) -> Images:
    return pool.images + pool.labeled_images
