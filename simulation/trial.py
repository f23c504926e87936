"""One trial: the product's own learner, evidence and ranking, cycle after cycle, answered from ground truth.

Each finished cycle is one line of JSON; a killed trial goes on after the last whole line.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ml_backend.learners.contract import FeatureStore, Learner
from ml_backend.loop.learning import evidence_needs, learn, make_evidence
from ml_backend.loop.plan import ColdStart, Plan
from ml_backend.loop.pool import Ints, Pool
from ml_backend.loop.ranking import rank
from ml_backend.settings import settings
from plugins import registry
from plugins.balance.wanted import l1_score
from plugins.calling import Door
from simulation.curve import hits
from simulation.datasets import draw_initial, long_tail, split
from simulation.datasets.contract import Dataset, DatasetConfig, Parts
from simulation.study import Study, StudyError, Trial


@dataclass(frozen=True)
class Cycle:
    """What one cycle measured, and what was labeled after it. Positions are the data set's.

    Where frames with boxes are labeled, accuracy is mAP at IoU .5, that of a class its average precision, labels are
    frames, and counts and balance are of boxes.
    """

    cycle: int
    labels: int
    accuracy: float  # on the test images
    per_class: list[float | None]  # accuracy by true class; None where no test image has it
    counts: list[int]  # labels per class so far
    balance: float  # L1 score of all labels (Eq. 4.10)
    chosen: list[int] = field(default_factory=list)  # labeled next; none after the last training
    informativeness: float | None = None  # accuracy of this cycle's model on `chosen`, before they are labeled
    batch_balance: float | None = None  # L1 score of `chosen`
    batch_modelled: float | None = None  # the same of what the model expected `chosen` to be
    estimate: list[float] | None = None  # the learner's own accuracy with its interval
    phase: str = "done"
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ground:
    """Everything that a trial of images with one class each starts from."""

    dataset: Dataset
    parts: Parts
    initial: Ints
    plan: Plan
    learner: Learner[Any]
    store: FeatureStore
    schedule: tuple[int, ...]

    def turn(self, number: int, labeled: Ints) -> Cycle:
        """One cycle with the labels at these ascending positions."""
        return _turn(self, number, labeled)


class Turns(Protocol):
    """What a trial goes through, whatever it learns: one turn for each number of labels in the schedule."""

    @property
    def initial(self) -> Ints: ...
    @property
    def schedule(self) -> tuple[int, ...]: ...
    def turn(self, number: int, labeled: Ints) -> Cycle: ...


def prepare(study: Study, trial: Trial, dataset: Dataset, store: FeatureStore) -> Ground:
    """Splits the data set and draws the first labels: a function of condition and seed, the same for all methods.

    (Of the method too, where it names a draw of its own.) Raises StudyError if the pool is smaller than the budget.
    """
    condition = study.conditions[trial.condition]
    if condition.pretrained_on is not None:
        raise StudyError(f"{trial.condition} has `pretrained_on`, which is for detectors; leave it out.")
    plan = study.plan_of(trial)
    learner: Learner[Any] = registry.make("learner", plan.learner.name, plan.learner.config)
    learner.scope = f"{trial.condition}-{trial.seed}"  # features are learned from this seed's images alone
    config = condition.dataset
    parts = split(dataset, config, trial.seed)
    draw = study.draw_of(trial)
    if config.imbalance is not None:
        parts, initial = _long_tailed(dataset, config, parts, condition.initial, trial.seed)
    elif draw == "coverage":
        check_size(trial.condition, parts, condition.budget)
        initial = _covering(dataset, parts, plan, learner, store, condition.initial)
    else:
        check_size(trial.condition, parts, condition.budget)
        drawn = draw_initial(dataset.labels[parts.pool], condition.initial, draw, trial.seed)
        initial = parts.pool[drawn]
    check_size(trial.condition, parts, condition.budget)
    if len(np.unique(dataset.labels[initial])) < 2:
        raise StudyError(f"{trial.name} draws {len(initial)} initial labels of one class; raise `initial`.")
    return Ground(dataset, parts, np.sort(initial), plan, learner, store, condition.schedule())


def check_size(condition: str, parts: Parts, budget: int) -> None:
    if len(parts.pool) <= budget:
        raise StudyError(
            f"{condition} has {len(parts.pool)} items to label and a budget of {budget}; lower the budget, or "
            "give it more data."
        )


def _long_tailed(dataset: Dataset, config: DatasetConfig, parts: Parts, initial: int, seed: int) -> tuple[Parts, Ints]:
    """Thesis ch. 4: the initial labels are balanced, then half of the classes are cut."""
    drawn = parts.pool[draw_initial(dataset.labels[parts.pool], initial, "balanced", seed)]
    return long_tail(dataset.labels, parts, drawn, config.imbalance or 1.0, seed), drawn


def _covering(
    dataset: Dataset, parts: Parts, plan: Plan, learner: Learner[Any], store: FeatureStore, count: int
) -> Ints:
    """The batch that the plan's cold start would choose without any label."""
    pool = _pool(dataset, parts.pool, np.zeros(0, dtype=np.int64))
    embeddings, _ = learner.embed(pool.images, store)
    columns = {"embeddings": embeddings, "labeled_embeddings": embeddings[:0]}
    evidence = make_evidence(pool, dataset.classes, plan, columns)
    start = (plan.cold_start or ColdStart()).selector
    door = Door(settings().plugin_seconds)
    chosen = door.select(start.name, start.config, evidence, np.zeros(len(evidence)), count).order
    return np.asarray(parts.pool[chosen], dtype=np.int64)


def _pool(dataset: Dataset, waiting: Ints, labeled: Ints) -> Pool:
    """The product's view: what may be served, and what is known."""
    labels = dataset.labels[labeled]
    return Pool(
        task_id=waiting,
        images=dataset.images.take(waiting),
        skipped=np.zeros(0, dtype=np.int64),
        labeled_task_id=labeled,
        labeled_images=dataset.images.take(labeled),
        labels=labels,
        counts=np.bincount(labels, minlength=len(dataset.classes)).astype(np.int64),
    )


class Stopped(Exception):  # noqa: N818  # no error: the trial goes on another time
    """The trial was asked to stop between two cycles."""


def run_trial(
    ground: Turns, path: Path, may_go_on: Callable[[float], bool] = lambda _: True, up_to: int | None = None
) -> None:
    """Runs the cycles that `path` lacks (of the first `up_to`), each kept when it is finished.

    may_go_on: is told the seconds of the last cycle, 0 before the first; False raises Stopped.
    """
    done = read_cycles(path, repair=True)
    labeled = np.concatenate([ground.initial, *(np.array(cycle.chosen, dtype=np.int64) for cycle in done)])
    last = sum(done[-1].seconds.values()) if done else 0.0
    for number in range(len(done), min(up_to or len(ground.schedule), len(ground.schedule))):
        if not may_go_on(last):
            raise Stopped
        cycle = ground.turn(number, np.sort(labeled))
        append(path, cycle)
        labeled = np.concatenate([labeled, np.array(cycle.chosen, dtype=np.int64)])
        last = sum(cycle.seconds.values())


def _turn(ground: Ground, number: int, labeled: Ints) -> Cycle:
    """Learn, measure, rank, label: one cycle."""
    dataset, plan, truth = ground.dataset, ground.plan, ground.dataset.labels
    pool = _pool(dataset, np.setdiff1d(ground.parts.pool, labeled, assume_unique=True), labeled)
    seconds: dict[str, float] = {}
    with timed(seconds, "learn"):
        fit, columns = learn(
            ground.learner, pool, dataset.classes, ground.store, seed=plan.seed, wanted=evidence_needs(plan)
        )
    with timed(seconds, "measure"):
        right = hits(
            ground.learner, fit.model, dataset.images.take(ground.parts.test), truth[ground.parts.test], ground.store
        )
    seen = Cycle(
        cycle=number,
        labels=len(labeled),
        accuracy=float(right.mean()),
        per_class=_by_class(right, truth[ground.parts.test], len(dataset.classes)),
        counts=pool.counts.tolist(),
        balance=l1_score(pool.counts),
        estimate=None if fit.accuracy is None else [fit.accuracy.value, fit.accuracy.low, fit.accuracy.high],
        seconds=seconds,
        notes=list(fit.notes),
    )
    if number + 1 == len(ground.schedule):
        return seen
    with timed(seconds, "rank"):
        evidence = make_evidence(pool, dataset.classes, plan, {**columns, "truth": truth[pool.task_id]})
        ranking = rank(evidence, plan, labels=len(labeled))
        if ranking.problems:  # the product goes on without the plugin; a study would measure something else
            raise StudyError(" ".join(ranking.problems.values()))
        following = ranking.order[: ground.schedule[number + 1] - len(labeled)]
    chosen = pool.task_id[following]
    return replace(
        seen,
        chosen=chosen.tolist(),
        informativeness=float((fit.probabilities[following].argmax(axis=1) == truth[chosen]).mean()),
        batch_balance=l1_score(np.bincount(truth[chosen], minlength=len(dataset.classes))),
        batch_modelled=l1_score(fit.probabilities[following].sum(axis=0)),
        phase=ranking.phase,
        notes=[*seen.notes, *ranking.notes],
    )


def _by_class(right: NDArray[np.bool_], truth: Ints, classes: int) -> list[float | None]:
    counts = np.bincount(truth, minlength=classes)
    sums = np.bincount(truth, weights=right, minlength=classes)
    return [float(s / n) if n else None for s, n in zip(sums, counts, strict=True)]


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - began, 4)


def append(path: Path, cycle: Cycle) -> None:
    """Adds a cycle as one line that is on the disk before this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(cycle)) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_cycles(path: Path, *, repair: bool = False) -> list[Cycle]:
    """The finished cycles; half a line at the end, left by a kill, does not count and is cut off by `repair`."""
    if not path.is_file():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if repair and len(whole) < len(text):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return [Cycle(**json.loads(line)) for line in whole.splitlines()]
