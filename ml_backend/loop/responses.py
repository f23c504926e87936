"""What came of the control items that were served: kept apart, since versions are pruned and these answers are not."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.store.tables import ControlAnswer, Cycle, Item, Project, Publication, PublishedItem, Switch

WAITING = 8  # items ahead in the queue that may be open without an answer, and two per annotator


def collect(house: House, project_id: int) -> int:
    """Brings the control answers level with the items of the last sync; returns how many rows changed.

    An item counts as drawn only if it was a control item of the version that served it: the one that was live when
    the annotator opened it. Had it been drawn before and was then ranked to the front, it was chosen.
    """
    with house.ledger.session() as session:
        return _follow(session, project_id) + _find(session, project_id)


def outcome(status: str, label: str | None) -> tuple[str, str | None]:
    """(status, label) of a control answer, from those of its item.

    >>> outcome("labeled", "cat"), outcome("skipped", None), outcome("unusable", None)
    (('answered', 'cat'), ('skipped', None), ('unusable', None))
    """
    return ("answered", label) if status == "labeled" and label is not None else (status, None)


def opened_at(labeled_at: str | None, lead_time: float | None) -> datetime | None:
    """When the annotator saw the item, from Label Studio's ISO moment of the answer and its seconds of work.

    >>> str(opened_at("2026-01-02T03:04:05.500Z", 5.5))
    '2026-01-02 03:04:00+00:00'
    """
    try:
        answered = datetime.fromisoformat(labeled_at or "")
    except ValueError:
        return None
    return (answered if answered.tzinfo else answered.replace(tzinfo=UTC)) - timedelta(seconds=lead_time or 0)


def served_by(switches: Sequence[tuple[datetime, str]], moment: datetime) -> str | None:
    """The version that was live at a moment; None before the first. switches: (from when, version), oldest first."""
    at = bisect_right(switches, moment, key=lambda switch: switch[0])
    return switches[at - 1][1] if at else None


def _follow(session: Session, project_id: int) -> int:
    """Answers that were corrected, given after a skip, or withdrawn. A deleted task's answer stays: it was given."""
    same = (Item.project_id == ControlAnswer.project_id) & (Item.task_id == ControlAnswer.task_id)
    query = select(ControlAnswer, Item.status, Item.label).join(Item, same)
    changed = 0
    for row, status, label in session.execute(query.where(ControlAnswer.project_id == project_id)):
        now_status, now_label = outcome(status, label)
        if status == "unlabeled":
            session.delete(row)
        elif row.status == "out_of_turn" or (row.status, row.label) == (now_status, now_label):
            continue
        else:
            row.status, row.label = now_status, now_label
        changed += 1
    return changed


def _find(session: Session, project_id: int) -> int:
    """New answers to items that the version that served them had drawn."""
    query = (
        select(
            Item.task_id,
            Item.status,
            Item.label,
            Item.labeled_at,
            Item.lead_time,
            Publication.id.label("publication"),
            Publication.model_version,
            Cycle.number,
            PublishedItem.rank,
            PublishedItem.propensity,
            PublishedItem.label.label("predicted"),
        )
        .join(PublishedItem, (PublishedItem.task_id == Item.task_id) & (PublishedItem.arm == "control"))
        .join(Publication, (Publication.id == PublishedItem.publication_id) & (Publication.project_id == project_id))
        .join(Cycle, Cycle.id == Publication.cycle_id)
        .outerjoin(ControlAnswer, (ControlAnswer.project_id == project_id) & (ControlAnswer.task_id == Item.task_id))
        .where(Item.project_id == project_id, Item.annotation_id.is_not(None), ControlAnswer.task_id.is_(None))
    )
    history = select(Switch.at, Switch.model_version).where(Switch.project_id == project_id).order_by(Switch.at)
    switches = [(at, version) for at, version in session.execute(history)]
    served = []
    for row in session.execute(query):
        moment = opened_at(row.labeled_at, row.lead_time)
        if moment is not None and served_by(switches, moment) == row.model_version:
            served.append((row, moment))
    session.add_all(_kept(session, project_id, served))
    return len(served)


def _kept(session: Session, project_id: int, served: Sequence[tuple[Any, datetime]]) -> list[ControlAnswer]:
    room = WAITING + 2 * session.get_one(Project, project_id).annotators
    open_ranks = {row.publication: _open_ranks(session, project_id, row.publication) for row, _ in served}
    answers = []
    for row, moment in served:
        status, label = outcome(row.status, row.label)
        if bisect_left(open_ranks[row.publication], row.rank) > room:
            status = "out_of_turn"
        answers.append(
            ControlAnswer(
                project_id=project_id,
                task_id=row.task_id,
                cycle=row.number,
                model_version=row.model_version,
                rank=row.rank,
                propensity=row.propensity,
                predicted=row.predicted,
                label=label,
                status=status,
                answered_at=moment + timedelta(seconds=row.lead_time or 0),
            )
        )
    return answers


def _open_ranks(session: Session, project_id: int, publication: int) -> list[int]:
    """Ranks of a version that nobody has answered, in order."""
    query = (
        select(PublishedItem.rank)
        .join(Item, (Item.task_id == PublishedItem.task_id) & (Item.project_id == project_id))
        .where(PublishedItem.publication_id == publication, Item.status == "unlabeled")
    )
    return list(session.scalars(query.order_by(PublishedItem.rank)))
