"""The gain: how good the model is where nobody chose, how good on everything, and how many labels selection saved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from ml_backend.learners.contract import Accuracy
from ml_backend.loop.plan import read_plan
from ml_backend.store.ledger import publication
from ml_backend.store.tables import ControlAnswer, Cycle, Item, Project, PublishedItem

WINDOW = 100  # control answers; more are surer and look further back


@dataclass(frozen=True)
class Gain:
    """What the control arm of a project says so far, each number with its 95 % interval.

    answered: control items with an answer, `measured` of them predicted by a model that had not seen it. remaining:
    accuracy on what is still unlabeled, from the newest measured answers, those of the queues of `cycles`. overall:
    the same from all of them, over which the model has changed. collection: on labeled and unlabeled items together.
    savings: see loop.savings.Savings, as of cycle `savings_cycle`. shown: whether annotators see predictions.
    """

    share: float
    answered: int
    measured: int
    skipped: int
    unusable: int
    out_of_turn: int
    waiting: int
    remaining: Accuracy | None
    cycles: tuple[int, int] | None
    overall: Accuracy | None
    collection: Accuracy | None
    savings: dict[str, Any] | None
    savings_cycle: int | None
    shown: bool


def accuracy_of(rows: list[tuple[str | None, str | None, int]]) -> Accuracy | None:
    """From (predicted, answered, cycle) of each answer; None without any."""
    return Accuracy.from_hits(sum(said == label for said, label, _ in rows), len(rows)) if rows else None


def of_collection(labeled: Accuracy | None, n: int, remaining: Accuracy | None, left: int) -> Accuracy | None:
    """Accuracy on n labeled and `left` unlabeled items together.

    The labeled part is a census of held-out answers and so adds no uncertainty of sampling; the other part's interval
    counts with its share (Zou & Donner 2008, MOVER with one estimated part).

    >>> of_collection(Accuracy(0.8, 0.7, 0.9, 100), 100, Accuracy(0.9, 0.8, 1.0, 20), 300)
    Accuracy(value=0.875, low=0.8..., high=0.95, n=20)
    """
    if labeled is None or remaining is None or not n + left:
        return None
    known = n / (n + left)
    value, low, high = (
        known * labeled.value + (1 - known) * part for part in (remaining.value, remaining.low, remaining.high)
    )
    return Accuracy(value, low, high, remaining.n)


def read_gain(session: Session, project_id: int, *, window: int = WINDOW, since: int | None = None) -> Gain:
    """The gain of a project as the ledger has it.

    window: newest measured answers that make `remaining`. since: a cycle's number; older queues are left out of it.
    """
    project = session.get_one(Project, project_id)
    statuses = _counts(session, ControlAnswer.status, ControlAnswer.project_id == project_id)
    measured = _measured(session, project_id)
    recent = [row for row in measured if since is None or row[2] >= since][-window:]
    remaining = accuracy_of(recent)
    cycle, savings = _newest(session, project_id)
    return Gain(
        share=read_plan(session, project_id)[1].control,
        answered=statuses.get("answered", 0),
        measured=len(measured),
        skipped=statuses.get("skipped", 0),
        unusable=statuses.get("unusable", 0),
        out_of_turn=statuses.get("out_of_turn", 0),
        waiting=_waiting(session, project),
        remaining=remaining,
        cycles=(min(row[2] for row in recent), max(row[2] for row in recent)) if recent else None,
        overall=accuracy_of(measured),
        collection=_collection(session, project_id, remaining),
        savings=savings,
        savings_cycle=cycle,
        shown=bool(project.shown),
    )


def kept_in_cycle(session: Session, project_id: int) -> dict[str, Any]:
    """What a cycle's metrics keep of the gain at that time."""
    gain = read_gain(session, project_id)
    remaining = None if gain.remaining is None else asdict(gain.remaining)
    return {"answered": gain.answered, "measured": gain.measured, "skipped": gain.skipped, "remaining": remaining}


def _counts(session: Session, column: Any, *conditions: Any) -> dict[str, int]:
    return {
        key: count for key, count in session.execute(select(column, func.count()).where(*conditions).group_by(column))
    }


def _measured(session: Session, project_id: int) -> list[tuple[str | None, str | None, int]]:
    """(predicted, answered, cycle) of answers to items that a model had predicted, oldest first."""
    query = select(ControlAnswer.predicted, ControlAnswer.label, ControlAnswer.cycle).where(
        ControlAnswer.project_id == project_id,
        ControlAnswer.status == "answered",
        ControlAnswer.predicted.is_not(None),
    )
    ordered = query.order_by(ControlAnswer.answered_at, ControlAnswer.task_id)
    return [(said, label, cycle) for said, label, cycle in session.execute(ordered)]


def _newest(session: Session, project_id: int) -> tuple[int | None, dict[str, Any] | None]:
    """Number and savings of the newest cycle that compared."""
    query = select(Cycle.number, Cycle.metrics).where(Cycle.project_id == project_id, Cycle.kind == "train")
    for number, metrics in session.execute(query.order_by(Cycle.number.desc())):
        if metrics.get("savings"):
            return number, metrics["savings"]
    return None, None


def _waiting(session: Session, project: Project) -> int:
    """Control items of the live head that nobody has answered."""
    live = publication(session, project.id, project.live_version)
    if live is None:
        return 0
    waits = exists().where(
        Item.project_id == project.id, Item.task_id == PublishedItem.task_id, Item.status == "unlabeled"
    )
    drawn = (PublishedItem.publication_id == live.id, PublishedItem.arm == "control")
    return session.scalar(select(func.count()).select_from(PublishedItem).where(*drawn, waits)) or 0


def _collection(session: Session, project_id: int, remaining: Accuracy | None) -> Accuracy | None:
    """With the newest cross-fitted accuracy for the labeled part."""
    query = select(Cycle).where(Cycle.project_id == project_id, Cycle.accuracy.is_not(None))
    cycle = session.scalar(query.order_by(Cycle.number.desc()).limit(1))
    if cycle is None or cycle.accuracy is None:
        return None
    own = (Item.project_id == project_id, Item.content.is_not(None))
    counts = _counts(session, Item.status, *own)
    labeled = Accuracy(cycle.accuracy, cycle.accuracy_low or 0.0, cycle.accuracy_high or 1.0, cycle.labels)
    left = counts.get("unlabeled", 0) + counts.get("skipped", 0)
    return of_collection(labeled, counts.get("labeled", 0), remaining, left)
