"""One trial where frames with boxes are labeled: the product's detector, evidence and ranking, and true answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ml_backend.learners.average_precision import precision
from ml_backend.learners.detector import Detector, Found, LabeledBoxes, Precision
from ml_backend.loop.box_pool import BoxPool
from ml_backend.loop.learning_boxes import learn_boxes, make_box_evidence, make_detector
from ml_backend.loop.plan import Plan, PlanError
from ml_backend.loop.pool import Ints
from ml_backend.loop.ranking import rank
from ml_backend.store.arrays import Arrays
from plugins.balance.wanted import l1_score
from simulation.box_models import Looked, keep, keep_model, model_before, recall
from simulation.datasets.box_drawing import draw_frames, split_boxes
from simulation.datasets.boxes import BoxDataset, frames_at
from simulation.datasets.contract import Parts
from simulation.pretraining import pretrained
from simulation.study import Study, StudyError, Trial
from simulation.trial import Cycle, check_size, timed

MEASURE = "mAP@.5"


@dataclass(frozen=True)
class BoxGround:
    """Everything that a trial of frames starts from.

    begin: the model that the first training goes on from, if any. own: the trial's folder, for its detector and models.
    shared: that of all trials of its condition and seed, whose first training is the same. pixels: what plugins compute
    from pictures, for all trials.
    """

    dataset: BoxDataset
    parts: Parts
    initial: Ints
    plan: Plan
    detector: Detector[Any]
    begin: Arrays | None
    own: Path
    shared: Path
    pixels: Path
    schedule: tuple[int, ...]

    def turn(self, number: int, labeled: Ints) -> Cycle:
        """Learn, measure, rank, label: one cycle."""
        pool = pool_of(self.dataset, np.setdiff1d(self.parts.pool, labeled, assume_unique=True), labeled)
        looked = self._look(number, labeled, pool)
        seen = self._measured(number, pool, looked)
        if number + 1 < len(self.schedule):
            seen = self._choose(seen, pool, looked)
        keep_model(self.own, number, looked.model)
        return seen

    def _look(self, number: int, labeled: Ints, pool: BoxPool) -> Looked:
        """The training of this cycle and what it sees. The first is done once for all methods that begin alike."""
        if number:
            return self._learn(pool, model_before(self.own, number))
        learner = json.dumps(self.plan.learner.model_dump(mode="json"), sort_keys=True)
        name = hashlib.sha256(f"{learner} {labeled.tolist()} {self.plan.seed}".encode()).hexdigest()[:16]
        path = self.shared / f"first-{name}.npz"
        if (known := recall(path)) is not None:
            return known
        looked = self._learn(pool, self.begin)
        keep(path, looked)
        return looked

    def _learn(self, pool: BoxPool, start: Arrays | None) -> Looked:
        seconds: dict[str, float] = {}
        with timed(seconds, "learn"):
            fit, columns = learn_boxes(
                self.detector,
                pool,
                self.dataset.classes,
                folder=self.own / "detector",
                start=start,
                seed=self.plan.seed,
            )
        with timed(seconds, "measure"):
            test = self.detector.detect(fit.model, self.dataset.images.take(self.parts.test))
        own = fit.precision
        estimate = None if own is None else (own.map50, own.low, own.high)
        return Looked(fit.model, columns, test, estimate, fit.notes, seconds)

    def _measured(self, number: int, pool: BoxPool, looked: Looked) -> Cycle:
        found = self._precision(looked.test, self.parts.test)
        if found is None:
            raise StudyError(f"'{self.dataset.name}' has no box on its test images; test on more of them.")
        return Cycle(
            cycle=number,
            labels=len(pool.labeled_task_id),
            accuracy=found.map50,
            per_class=[found.per_class.get(name) for name in self.dataset.classes],
            counts=pool.counts.tolist(),
            balance=_balance(pool.counts),
            estimate=None if looked.estimate is None else list(looked.estimate),
            seconds=dict(looked.seconds),
            notes=list(looked.notes),
        )

    def _choose(self, seen: Cycle, pool: BoxPool, looked: Looked) -> Cycle:
        """Ranks the pool as the product does, with the truth at hand for the oracles."""
        seconds = dict(seen.seconds)
        with timed(seconds, "rank"):
            truth = self.dataset.boxes.of(pool.task_id)
            known: Arrays = {"truth_item": truth.item, "truth_box": truth.box, "truth_label": truth.label}
            columns = {**looked.columns, **known}
            evidence = make_box_evidence(pool, self.dataset.classes, self.plan, columns, self.pixels)
            ranking = rank(evidence, self.plan, labels=seen.labels)
            if ranking.problems:  # the product goes on without the plugin; a study would measure something else
                raise StudyError(" ".join(ranking.problems.values()))
            following = np.asarray(ranking.order[: self.schedule[seen.cycle + 1] - seen.labels], dtype=np.int64)
        chosen = pool.task_id[following]
        before = self._precision(_of(looked.columns, following, len(pool.task_id)), chosen)
        return replace(
            seen,
            chosen=chosen.tolist(),
            informativeness=None if before is None else before.map50,
            batch_balance=_balance(self.dataset.counts(chosen)),
            batch_modelled=_balance(_shown(looked.columns, following, self.plan, len(self.dataset.classes))),
            phase=ranking.phase,
            seconds=seconds,
            notes=[*seen.notes, *ranking.notes],
        )

    def _precision(self, found: Found, items: Ints) -> Precision | None:
        """mAP of what was found on the images at positions `items` of the data set."""
        return precision(found, self.dataset.boxes.of(items), len(items), self.dataset.classes)


def prepare_boxes(study: Study, trial: Trial, dataset: BoxDataset, features: Path) -> BoxGround:
    """Splits the frames and draws the first to be labeled: a function of condition and seed, the same for all methods.

    Raises StudyError.
    """
    condition, plan = study.conditions[trial.condition], study.plan_of(trial)
    if study.draw_of(trial) != "random":
        raise StudyError(
            f"{trial.name} draws frames by '{study.draw_of(trial)}', which is for images; set draw: random."
        )
    try:
        detector = make_detector(plan)
    except PlanError as error:
        raise StudyError(f"{trial.condition}: {error}") from error
    parts = split_boxes(dataset, condition.dataset, trial.seed)
    check_size(trial.condition, parts, condition.budget)
    initial = draw_frames(parts.pool, condition.initial, trial.seed)
    if not dataset.counts(initial).any():
        raise StudyError(f"{trial.name} draws {len(initial)} initial frames without a box; raise `initial`.")
    begin = None
    if condition.pretrained_on is not None:
        begin = pretrained(condition.pretrained_on, plan, detector, features)
    shared = features / f"{trial.condition}-{trial.seed}"
    own = features / "trials" / trial.condition / trial.method / str(trial.seed)
    for folder in (shared, own, features / "pixels"):
        folder.mkdir(parents=True, exist_ok=True)
    pixels, schedule = features / "pixels", condition.schedule()
    return BoxGround(dataset, parts, initial, plan, detector, begin, own, shared, pixels, schedule)


def pool_of(dataset: BoxDataset, waiting: Ints, labeled: Ints) -> BoxPool:
    """The product's view: what may be served, and what is known. Task ids are positions in the data set."""
    boxes = dataset.boxes.of(labeled) if len(labeled) else LabeledBoxes(*(part[:0] for part in _parts(dataset.boxes)))
    return BoxPool(
        task_id=waiting,
        images=dataset.images.take(waiting),
        frames=frames_at(dataset.frames, waiting),
        skipped=np.zeros(0, dtype=np.int64),
        labeled_task_id=labeled,
        labeled_images=dataset.images.take(labeled),
        labeled_frames=frames_at(dataset.frames, labeled),
        boxes=boxes,
        counts=dataset.counts(labeled),
        in_videos=dataset.in_videos,
    )


def _parts(boxes: LabeledBoxes) -> tuple[Any, Any, Any]:
    return boxes.item, boxes.box, boxes.label


def _balance(counts: Ints) -> float:
    """L1 score (Eq. 4.10) of boxes by class; 0 where there is none."""
    return l1_score(counts) if counts.sum() else 0.0


def _of(columns: Arrays, items: Ints, n: int) -> Found:
    """What was detected on the pool's items at these positions of N, renumbered in their order."""
    place = np.full(n, -1, dtype=np.int64)
    place[items] = np.arange(len(items))
    rows = np.flatnonzero(place[columns["detection_item"]] >= 0)
    item = place[columns["detection_item"][rows]]
    order = np.argsort(item, kind="stable")
    rows, item = rows[order], item[order]
    return Found(
        item, columns["detection_box"][rows], columns["detection_score"][rows], columns["detection_label"][rows]
    )


def _shown(columns: Arrays, items: Ints, plan: Plan, classes: int) -> Ints:
    """(C,) boxes of each class that people would see on these items."""
    seen = np.isin(columns["detection_item"], items) & (columns["detection_score"] >= plan.shown_from)
    return np.bincount(columns["detection_label"][seen], minlength=classes).astype(np.int64)
