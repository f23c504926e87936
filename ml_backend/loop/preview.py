"""Preview: what a changed plan would do to the queue, from the evidence there is; nothing is written or published."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import select

from ml_backend.loop.by_question import AnyPool, rank_items, read_pool, recall
from ml_backend.loop.control import with_control
from ml_backend.loop.house import House
from ml_backend.loop.learning import USUAL, Learned, evidence_key, evidence_needs, make_evidence, make_learner
from ml_backend.loop.overrides import Held, apply_overrides, read_held
from ml_backend.loop.plan import Plan, check_for_project, needs_training, read_plan
from ml_backend.loop.plan_diff import plan_differences
from ml_backend.loop.pool import Pool
from ml_backend.loop.publish import ranking_key
from ml_backend.loop.ranking import Ranking, RankingError
from ml_backend.loop.video_pool import VideoPool
from ml_backend.store.ledger import publication
from ml_backend.store.tables import Cycle, Project
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.question import read_question
from plugins.contract import IntArray, PluginError

NEXT = 50  # items that are compared
TRAINS = "This plan trains another learner, so its queue can be told only after a training; saving it starts one."
UNTRAINED = "There is no training yet that a ranking could stand on; the first labels bring one."


class PreviewError(ValueError):
    """This plan cannot be previewed; the message is one sentence with the reason."""


@dataclass(frozen=True)
class Place:
    """One task among the next: its rank in the live queue (among what waits) and in the previewed one, from 0."""

    task_id: int
    old: int | None
    new: int | None
    predicted: str | None
    reason: str = ""


@dataclass(frozen=True)
class Preview:
    """compared: how many next items were looked at. changed: how many of them are others; moved: others' places.

    come, go: those tasks. before, after: class -> predicted items (or boxes) among the next. changes: of the plan, in
    words. seconds: that the ranking took.
    """

    compared: int
    changed: int
    moved: int
    come: tuple[Place, ...]
    go: tuple[Place, ...]
    before: dict[str, int]
    after: dict[str, int]
    changes: tuple[str, ...]
    seconds: float
    phase: str
    notes: tuple[str, ...] = ()
    problems: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def preview(house: House, project_id: int, plan: Plan) -> Preview:
    """Ranks today's pool under a plan and compares with the live queue. Raises PreviewError, PlanError, RankingError.

    Nothing is read from Label Studio: items, labels and images are those of the last sync. The control arm is drawn
    with the live queue's own numbers, so that what differs is due to the plan.
    """
    began = time.perf_counter()
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        _, old = read_plan(session, project_id)
        check_for_project(session, project_id, plan)
        live = publication(session, project_id, project.live_version)
        number = session.get_one(Cycle, live.cycle_id).number if live is not None else 1
        query = select(Cycle.evidence_cycle).where(Cycle.project_id == project_id, Cycle.evidence_cycle == Cycle.number)
        trained_in = session.scalar(query.order_by(Cycle.number.desc()).limit(1))
    if needs_training(old, plan):
        raise PreviewError(TRAINS)
    pool, classes = _pool(house, project, plan)
    learned = _learned(house, project_id, plan, pool, classes, trained_in)
    with house.ledger.session() as session:
        held = read_held(session, project_id, pool.task_id)
    ranking = _rank(plan, pool, learned, held, number)
    seconds = round(time.perf_counter() - began, 3)
    before = _live_order(house, project_id, project.live_version, pool)
    return _compared(ranking, pool, learned, before, classes, seconds, old, plan)


def _pool(house: House, project: Project, plan: Plan) -> tuple[AnyPool, tuple[str, ...]]:
    try:
        question = read_question(project.label_config)
    except ConfigError as error:
        raise PreviewError(str(error)) from None
    studio = house.studio(project)
    try:
        pool = read_pool(house, studio, project.id, question, plan)
    finally:
        studio.close()
    if not len(pool.task_id):
        raise PreviewError("Nothing is left to rank: every usable task is labeled.")
    return pool, question.classes


def _learned(
    house: House, project_id: int, plan: Plan, pool: AnyPool, classes: tuple[str, ...], trained_in: int | None
) -> Learned:
    if trained_in is None:
        if isinstance(pool, Pool) and np.count_nonzero(pool.counts) < 2:
            return Learned(make_evidence(pool, classes, plan, {}), None, None)  # the queue is random under any plan
        raise PreviewError(UNTRAINED)
    learned = recall(house, project_id, trained_in, plan, pool, classes)
    if learned is None:
        raise PreviewError(_lacking(house, project_id, plan, trained_in))
    return learned


def _lacking(house: House, project_id: int, plan: Plan, trained_in: int) -> str:
    kept = set(house.arrays.read(evidence_key(project_id, trained_in), ["task_id"]) or ())
    if not kept:
        return f"The evidence of training {trained_in} is gone, so only a training can tell; ask for one."
    extra = sorted((evidence_needs(plan) & frozenset(make_learner(plan, project_id).provides)) - USUAL)
    if not extra:
        return f"Training {trained_in} does not fit today's classes, so only a training can tell; ask for one."
    names = ", ".join(f"'{name}'" for name in extra)
    return (
        f"This plan reads {names}, which training {trained_in} does not have for all items; saving the plan trains "
        "first, so its queue can be told only then."
    )


def _rank(plan: Plan, pool: AnyPool, learned: Learned, held: Held, number: int) -> Ranking:
    last = held.undrawn(pool.skipped)
    try:
        ranking = rank_items(pool, learned, plan, last=last)
    except (RankingError, PluginError) as error:
        raise PreviewError(str(error)) from None
    return apply_overrides(with_control(ranking, pool.task_id, plan, number, last), held)


def _live_order(house: House, project_id: int, version: str | None, pool: AnyPool) -> IntArray:
    """Positions in the pool, in the order of the live ranking; what came later is not among them."""
    arrays = house.arrays.read(ranking_key(project_id, version), ["task_id"]) if version is not None else None
    if arrays is None:
        return np.empty(0, dtype=np.int64)
    where = {task: position for position, task in enumerate(pool.task_id.tolist())}
    return np.array([where[task] for task in arrays["task_id"].tolist() if task in where], dtype=np.int64)


def _compared(
    ranking: Ranking,
    pool: AnyPool,
    learned: Learned,
    before: IntArray,
    classes: tuple[str, ...],
    seconds: float,
    old_plan: Plan,
    plan: Plan,
) -> Preview:
    said = _Said(learned, classes, pool)
    old, new = before[:NEXT].tolist(), ranking.order[:NEXT].tolist()
    old_rank = {item: place for place, item in enumerate(before.tolist())}
    new_rank = {item: place for place, item in enumerate(ranking.order.tolist())}

    def place(item: int) -> Place:
        now, was = new_rank.get(item), old_rank.get(item)
        reason = ranking.reason(now) if now is not None and now < NEXT else ""
        return Place(int(pool.task_id[item]), was, now, said.words(item), reason)

    come = tuple(place(item) for item in new if item not in set(old))
    go = tuple(place(item) for item in old if item not in set(new))
    stayed = set(old) & set(new)
    return Preview(
        compared=len(new),
        changed=len(come),
        moved=sum(old_rank[item] != new_rank[item] for item in stayed),
        come=come,
        go=go,
        before=said.counts(old),
        after=said.counts(new),
        changes=tuple(one.sentence for one in plan_differences(old_plan, plan)),
        seconds=seconds,
        phase=ranking.phase,
        notes=ranking.notes,
        problems=dict(ranking.problems),
    )


class _Said:
    """What the model says of an item: its class, or how many boxes of each; of a video, in all its sampled frames."""

    def __init__(self, learned: Learned, classes: tuple[str, ...], pool: AnyPool) -> None:
        self._classes = classes
        self._labels: dict[int, list[int]] = {}
        if learned.probabilities is not None:
            best = np.asarray(learned.probabilities).argmax(axis=1)
            if isinstance(pool, VideoPool):
                frames = zip(pool.video_of.tolist(), best.tolist(), strict=True)
                for video, label in dict.fromkeys(pair for pair in frames if pair[1] < pool.asked):
                    self._labels.setdefault(video, []).append(label)
                return
            self._labels = {item: [int(label)] for item, label in enumerate(best)}
        elif learned.evidence.has("detection_score"):
            evidence = learned.evidence
            shown = np.asarray(evidence.detection_shown, dtype=bool)
            item = evidence.detection_item[shown]
            item = pool.video_of[item] if isinstance(pool, VideoPool) else item
            pairs = zip(item.tolist(), evidence.detection_label[shown].tolist(), strict=True)
            for item, label in pairs:
                self._labels.setdefault(item, []).append(label)

    def counts(self, items: list[int]) -> dict[str, int]:
        """Of every class, those that are not there too; empty without a model."""
        if not self._labels:
            return {}
        labels = [label for item in items for label in self._labels.get(item, [])]
        counted = np.bincount(np.array(labels, dtype=np.int64), minlength=len(self._classes))
        return {name: int(count) for name, count in zip(self._classes, counted, strict=True)}

    def words(self, item: int) -> str | None:
        labels = self._labels.get(item)
        if labels is None:
            return None
        if len(labels) == 1:
            return self._classes[labels[0]]
        return ", ".join(f"{labels.count(label)} {self._classes[label]}" for label in sorted(set(labels)))
