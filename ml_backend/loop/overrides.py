"""Overrides: a person pins a task to the front, sends it to the back, or excludes it; every ranking obeys.

Whoever is overridden leaves the control arm's draw before it is made: a person chose the item, so it is not random.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from ml_backend.loop import jobs
from ml_backend.loop.house import House
from ml_backend.loop.ranking import Ranking
from ml_backend.store.ledger import record_change
from ml_backend.store.steering import Override
from ml_backend.store.tables import Item, now
from plugins.contract import IntArray

KINDS = {"front": "pinned to the front", "back": "sent to the back", "exclude": "excluded from the queue"}


class OverrideError(ValueError):
    """An override that cannot be; the message is one sentence with culprit, value and remedy."""


@dataclass(frozen=True)
class Held:
    """Positions in a pool that people placed. front: in order of pinning; back: in order of sending.

    sentences: position -> who placed it.
    """

    front: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    back: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    sentences: dict[int, str] = field(default_factory=dict)

    def undrawn(self, skipped: IntArray) -> IntArray:
        """What neither the ranking nor the draw may place: skipped items (they stay last among the ranked), and these.

        >>> Held(front=np.array([4]), back=np.array([1])).undrawn(np.array([2, 4])).tolist()
        [2, 1, 4]
        """
        held = np.concatenate([self.back, self.front])
        return np.concatenate([skipped[~np.isin(skipped, held)], held]).astype(np.int64)


def apply_overrides(ranking: Ranking, held: Held) -> Ranking:
    """The ranking with the front first and the back last; everyone else keeps order and propensity.

    The ranking may be drawn from already, but only among the others (`with_control(..., held.undrawn(skipped))`).

    >>> before = Ranking(np.array([3, 0, 2, 1]), "scored", 4, propensity=np.array([np.nan, 0.5, np.nan, np.nan]))
    >>> after = apply_overrides(before, Held(front=np.array([1]), back=np.array([3])))
    >>> after.order.tolist(), after.propensity.tolist()
    ([1, 0, 2, 3], [nan, 0.5, nan, nan])
    """
    if not len(held.front) and not len(held.back):
        return ranking
    order = ranking.order
    others = ~np.isin(order, np.concatenate([held.front, held.back]))
    placed = np.concatenate([held.front, order[others], held.back]).astype(np.int64)
    propensity = None
    if ranking.propensity is not None:
        propensity = np.full(len(placed), np.nan)
        start = len(held.front)
        propensity[start : start + int(others.sum())] = ranking.propensity[others]
    return replace(ranking, order=placed, propensity=propensity, moved={**ranking.moved, **held.sentences})


def sentence(kind: str, author: str) -> str:
    """
    >>> sentence("front", "Ada")
    'pinned to the front by Ada'
    """
    return f"{KINDS[kind]} by {author}"


def read_held(session: Session, project_id: int, task_id: IntArray) -> Held:
    """The overrides of the tasks of a pool, task_id (N,), as positions in it."""
    where = {int(task): position for position, task in enumerate(task_id)}
    rows = [row for row in read_overrides(session, project_id) if row.task_id in where and row.kind != "exclude"]
    placed = {kind: [where[row.task_id] for row in rows if row.kind == kind] for kind in ("front", "back")}
    return Held(
        front=np.array(placed["front"], dtype=np.int64),
        back=np.array(placed["back"], dtype=np.int64),
        sentences={where[row.task_id]: sentence(row.kind, row.author) for row in rows},
    )


def read_overrides(session: Session, project_id: int) -> list[Override]:
    """All overrides of a project, the earliest first."""
    query = select(Override).where(Override.project_id == project_id)
    return list(session.scalars(query.order_by(Override.at, Override.task_id)))


def served(project_id: int) -> ColumnElement[bool]:
    """SQL: the item is not excluded."""
    excluded = select(Override.task_id).where(Override.project_id == project_id, Override.kind == "exclude")
    return Item.task_id.not_in(excluded)


def set_override(house: House, project_id: int, task_id: int, kind: str, *, author: str) -> str:
    """Keeps an override and asks for a ranking that obeys; returns what became of that request (`jobs`).

    Pinning again puts the task behind all that are pinned by now. Raises OverrideError.
    """
    if kind not in KINDS:
        raise OverrideError(f"Unknown override '{kind}'. Available: {', '.join(KINDS)}.")
    with house.ledger.session() as session:
        item = session.get(Item, (project_id, task_id))
        if item is None:
            raise OverrideError(f"Task {task_id} is not among the project's items; was it just added or deleted?")
        if item.status == "labeled":
            raise OverrideError(f"Task {task_id} is labeled already, so the queue does not hold it.")
        row: dict[str, Any] = {
            "project_id": project_id,
            "task_id": task_id,
            "kind": kind,
            "author": author,
            "at": now(),
        }
        house.ledger.upsert(session, Override, [row], ("project_id", "task_id"))
        record_change(session, project_id, author, f"task {task_id} {KINDS[kind]}")
    return jobs.request_cycle(house, project_id, "rank", f"task {task_id} {sentence(kind, author)}")


def undo_override(house: House, project_id: int, task_id: int, *, author: str) -> str:
    """Forgets an override and asks for a ranking; returns what became of that request. Raises OverrideError."""
    with house.ledger.session() as session:
        row = session.get(Override, (project_id, task_id))
        if row is None:
            raise OverrideError(f"Task {task_id} has no override to undo.")
        undone = f"task {task_id} is no longer {KINDS[row.kind]}"
        session.execute(delete(Override).where(Override.project_id == project_id, Override.task_id == task_id))
        record_change(session, project_id, author, undone)
    return jobs.request_cycle(house, project_id, "rank", f"{undone}, by {author}")
