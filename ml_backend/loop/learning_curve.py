"""What was learned with how many labels and hours of work, cycle by cycle, and class by class; read from the ledger."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from ml_backend.learners.contract import Accuracy
from ml_backend.store.tables import ControlAnswer, Cycle, Item

MINUTE = 16  # characters of an ISO moment up to its minute
CYCLES = 300


@dataclass(frozen=True)
class Point:
    """A training: its measure (accuracy, or mAP) with a 95 % interval, the labels behind it, hours of work so far."""

    cycle: int
    labels: int
    value: float
    low: float
    high: float
    hours: float
    remaining: Accuracy | None = None


@dataclass(frozen=True)
class ClassRow:
    """One class. labels: so far. precision: AP at IoU .5 where boxes are learned. answered: its control answers with a
    prediction; right: how many of these the model had right, with a 95 % interval."""

    name: str
    labels: int
    precision: float | None
    answered: int
    right: Accuracy | None


def learning_points(session: Session, project_id: int, limit: int = CYCLES) -> list[Point]:
    """Of the newest `limit` trainings those that measured, oldest first."""
    query = select(Cycle).where(
        Cycle.project_id == project_id, Cycle.kind == "train", Cycle.status == "published", Cycle.accuracy.is_not(None)
    )
    cycles = list(session.scalars(query.order_by(Cycle.number.desc()).limit(limit)))[::-1]
    worked = _work(session, project_id) if cycles else ([], [])
    return [
        Point(
            cycle=cycle.number,
            labels=cycle.labels,
            value=cycle.accuracy or 0.0,
            low=cycle.accuracy_low or 0.0,
            high=1.0 if cycle.accuracy_high is None else cycle.accuracy_high,
            hours=_until(worked, cycle.started_at),
            remaining=_remaining(cycle),
        )
        for cycle in cycles
    ]


def _remaining(cycle: Cycle) -> Accuracy | None:
    kept = (cycle.metrics.get("control") or {}).get("remaining")
    return None if kept is None else Accuracy(**kept)


def _work(session: Session, project_id: int) -> tuple[list[str], list[float]]:
    """(minutes, hours of work up to the end of each): sums by minute, so that 100 000 labels are few rows."""
    minute = func.substr(Item.labeled_at, 1, MINUTE)
    query = select(minute, func.sum(Item.lead_time)).where(
        Item.project_id == project_id, Item.lead_time.is_not(None), Item.labeled_at.is_not(None)
    )
    minutes, hours, total = [], [], 0.0
    for at, seconds in session.execute(query.group_by(minute).order_by(minute)):
        total += seconds / 3600
        minutes.append(at)
        hours.append(total)
    return minutes, hours


def _until(worked: tuple[list[str], list[float]], moment: datetime) -> float:
    """Label Studio's moments are UTC, and sort as text."""
    at = bisect_right(worked[0], moment.strftime("%Y-%m-%dT%H:%M"))
    return worked[1][at - 1] if at else 0.0


def measure_of(session: Session, project_id: int) -> str:
    """What the trainings of a project measure, in words."""
    query = select(Cycle.metrics).where(Cycle.project_id == project_id, Cycle.accuracy.is_not(None))
    metrics = session.scalar(query.order_by(Cycle.number.desc()).limit(1)) or {}
    return "mAP at IoU 0.5" if metrics.get("measure") == "map50" else "Accuracy"


def class_rows(session: Session, project_id: int, classes: tuple[str, ...]) -> list[ClassRow]:
    """In the order of the labeling config."""
    newest = select(Cycle.metrics).where(Cycle.project_id == project_id, Cycle.status == "published")
    metrics = session.scalar(newest.order_by(Cycle.number.desc()).limit(1)) or {}
    trained = newest.where(Cycle.accuracy.is_not(None)).order_by(Cycle.number.desc()).limit(1)
    precision = (session.scalar(trained) or {}).get("map50_per_class") or {}
    counts = metrics.get("counts") or []
    answers = select(
        ControlAnswer.label, func.count(), func.sum(case((ControlAnswer.predicted == ControlAnswer.label, 1), else_=0))
    ).where(
        ControlAnswer.project_id == project_id,
        ControlAnswer.status == "answered",
        ControlAnswer.predicted.is_not(None),
    )
    hits = {name: (count, right) for name, count, right in session.execute(answers.group_by(ControlAnswer.label))}
    rows = []
    for number, name in enumerate(classes):
        answered, right = hits.get(name, (0, 0))
        rows.append(
            ClassRow(
                name=name,
                labels=counts[number] if len(counts) == len(classes) else 0,
                precision=precision.get(name),
                answered=answered,
                right=Accuracy.from_hits(right, answered) if answered else None,
            )
        )
    return rows
