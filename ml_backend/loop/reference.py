"""After a training is published: small ones on random labels alone show what random labeling would have given."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.learners.frozen import Frozen
from ml_backend.learners.head import Scaling, Solver, fit_head, held_out_hits
from ml_backend.learners.pixels import one_blas_thread
from ml_backend.loop.house import House
from ml_backend.loop.learning import Learned, make_learner
from ml_backend.loop.plan import Plan
from ml_backend.loop.pool import Pool
from ml_backend.loop.savings import ENOUGH, Draws, Savings, compare, random_curve
from ml_backend.store.tables import ControlAnswer, Cycle, Item
from plugins.contract import FloatArray, IntArray

log = structlog.get_logger()

SECONDS = 20.0  # for all small trainings together; the worker has nothing better to do, but a label may wait
FOLDS = 10  # of the labels behind today's accuracy: trained on nine tenths of them
GROWTH = 1.1  # a comparison is done again when there are a tenth more labels or draws


@dataclass(frozen=True)
class Labeled:
    """L labels in the order they were given: features (L, D), classes (L,), and which of them were drawn."""

    features: FloatArray
    labels: IntArray
    draws: Draws


def measure_savings(house: House, project_id: int, number: int, plan: Plan, pool: Pool, learned: Learned) -> None:
    """Compares with random labeling, where that can be done in seconds, and keeps it in the cycle's metrics.

    It can where features are fixed: a head is then trained in milliseconds. Other learners would need a training of
    a network for every point of the curve.
    """
    learner: Any = make_learner(plan, project_id)
    if not isinstance(learner, Frozen) or learned.trained_in != number:
        return
    began = time.monotonic()
    with house.ledger.session() as session:
        drawn, moments = _read(session, project_id)
        before = _compared(session, project_id, number)
    if len(drawn) < ENOUGH or _nothing_new(before, len(pool.labels), len(drawn)):
        return
    given = in_order(learned.evidence.labeled_embeddings, pool.labels, pool.labeled_task_id, drawn, moments)
    if len(given.draws) < ENOUGH:
        return
    scaling = Scaling.of(learned.evidence.labeled_embeddings, learned.evidence.embeddings)
    solver = Solver(learner.config.l2, learner.config.max_iterations)
    savings = savings_of(
        given, len(learned.evidence.classes), len(pool.labels) + len(pool.task_id), scaling, solver, plan.seed
    )
    with house.ledger.session() as session:
        cycle = session.get_one(Cycle, _cycle_id(session, project_id, number))
        if savings is not None:
            cycle.metrics = {**cycle.metrics, "savings": {**asdict(savings), "labeled": len(pool.labels)}}
        else:
            cycle.notes = [*cycle.notes, f"The comparison with random labels took over {SECONDS:g} s and was left out."]
        cycle.seconds = {**cycle.seconds, "compare": round(time.monotonic() - began, 3)}


def savings_of(given: Labeled, classes: int, total: int, scaling: Scaling, solver: Solver, seed: int) -> Savings | None:
    """What the labels saved in a collection of `total` items; None where the time did not suffice or no head fits."""
    deadline = time.monotonic() + SECONDS

    def predict(trained_on: IntArray) -> IntArray:
        with one_blas_thread():
            fitted = fit_head(given.features[trained_on], given.labels[trained_on], classes, scaling, solver)
        return fitted.head.labels(given.features)

    curve = random_curve(
        predict, given.labels, given.draws, seed=seed, go_on=lambda: time.monotonic() < deadline - SECONDS / 2
    )
    if curve is None:
        return None
    hits = held_out_hits(given.features, given.labels, classes, scaling, solver, folds=FOLDS, seed=seed)
    if hits is None:
        return None
    behind = round(len(hits) * (1 - 1 / min(FOLDS, len(hits))))
    return compare(behind, hits.astype(np.float64), curve, given.draws, total, seed=seed)


def in_order(
    features: FloatArray, labels: IntArray, task_id: IntArray, drawn: dict[int, float], moments: dict[int, str]
) -> Labeled:
    """The labels in the order they were given.

    drawn: task -> propensity. moments: task -> Label Studio's ISO moment, which sorts as text.
    """
    tasks = task_id.tolist()
    order = sorted(range(len(tasks)), key=lambda i: (moments.get(tasks[i], ""), tasks[i]))
    places = [place for place, i in enumerate(order) if tasks[i] in drawn]
    left = [round(1 / drawn[tasks[order[place]]]) for place in places]
    return Labeled(
        features[order], labels[order], Draws(np.array(places, dtype=np.int64), np.array(left, dtype=np.int64))
    )


def _read(session: Session, project_id: int) -> tuple[dict[int, float], dict[int, str]]:
    """Propensities of the control items that were answered in turn, and when every label was given."""
    answers = select(ControlAnswer.task_id, ControlAnswer.propensity).where(
        ControlAnswer.project_id == project_id, ControlAnswer.status == "answered"
    )
    drawn = {task: propensity for task, propensity in session.execute(answers)}
    given = select(Item.task_id, Item.labeled_at).where(Item.project_id == project_id, Item.status == "labeled")
    return drawn, {task: moment or "" for task, moment in session.execute(given)}


def _compared(session: Session, project_id: int, number: int) -> dict[str, Any] | None:
    """The newest comparison before a cycle."""
    query = select(Cycle.metrics).where(Cycle.project_id == project_id, Cycle.number < number, Cycle.kind == "train")
    newest = session.scalars(query.order_by(Cycle.number.desc()))
    return next((metrics["savings"] for metrics in newest if metrics.get("savings")), None)


def _nothing_new(before: dict[str, Any] | None, labels: int, draws: int) -> bool:
    return before is not None and labels < GROWTH * before["labeled"] and draws < GROWTH * before["draws"]


def _cycle_id(session: Session, project_id: int, number: int) -> int:
    return session.scalars(select(Cycle.id).where(Cycle.project_id == project_id, Cycle.number == number)).one()
