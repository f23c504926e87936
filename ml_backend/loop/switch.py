"""Switching a plan: saved with author and time, then the cheapest cycle that puts it into effect is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from ml_backend.loop import jobs
from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan, check_for_project, needs_training, read_plan, restore_plan, save_plan
from ml_backend.store.ledger import record_change
from ml_backend.store.tables import PlanVersion


@dataclass(frozen=True)
class Switched:
    """number: of the plan now in force; kind: the cycle asked for; asked: 'queued', 'coalesced' or 'unavailable'."""

    number: int
    kind: str
    asked: str


def switch_plan(house: House, project_id: int, plan: Plan, *, author: str, note: str = "") -> Switched:
    """Saves a plan and asks for a ranking, or for a training where the learner changed. Raises PlanError."""
    with house.ledger.session() as session:
        _, old = read_plan(session, project_id)
        check_for_project(session, project_id, plan)
        saved = save_plan(session, project_id, plan, author=author, note=note)
        _record(session, saved)
    return _ask(house, project_id, old, plan, saved.number)


def restore(house: House, project_id: int, number: int, *, author: str) -> Switched:
    """Puts an older plan back in force. Raises PlanError if there is none of that number."""
    with house.ledger.session() as session:
        _, old = read_plan(session, project_id)
        saved = restore_plan(session, project_id, number, author=author)
        _record(session, saved)
        _, plan = read_plan(session, project_id)
    return _ask(house, project_id, old, plan, saved.number)


def _record(session: Session, saved: PlanVersion) -> None:
    record_change(session, saved.project_id, saved.author, f"plan {saved.number}: {saved.note or 'changed'}")


def _ask(house: House, project_id: int, old: Plan, new: Plan, number: int) -> Switched:
    kind = "train" if needs_training(old, new) else "rank"
    return Switched(number, kind, jobs.request_cycle(house, project_id, kind, f"plan {number}"))
