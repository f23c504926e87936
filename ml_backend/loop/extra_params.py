"""A plan from Label Studio: the `extra_params` of the project's ML backend, sent with every /setup.

They change the plan when their own text changes, and only then: whatever was changed elsewhere since stays.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan, PlanError, changed_plan, check_for_project, read_plan
from ml_backend.loop.switch import switch_plan
from ml_backend.store.ledger import note_problem, solve_problems
from ml_backend.store.steering import ExtraParams
from ml_backend.store.tables import Project, now

log = structlog.get_logger()

AUTHOR = "Label Studio extra_params"
PROBLEM = "extra_params"
LIMIT = 100_000  # characters
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Adopted:
    """what: unchanged | empty | same (as the plan in force) | saved | refused. number: of the plan that was saved."""

    what: str
    number: int | None = None
    error: str | None = None


def digest(params: Any) -> str:
    """Of the text that a person wrote, whether Label Studio sends it as text or as the object it describes.

    >>> digest('{"batch":  80, "seed": 1}') == digest({"seed": 1, "batch": 80}), digest(None) == digest({}) == EMPTY
    (True, True)
    """
    value = _value(params)
    text = "" if value in (None, {}, "") else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def adopt(house: House, project_id: int, params: Any) -> Adopted:
    """Puts the plan's fields in `params` in force if they are new; a bad one is a problem of the project's instead.

    None says nothing: Label Studio sends it whenever another of the backend's settings is changed.
    """
    if params is None:
        return Adopted("unchanged")
    seen = digest(params)
    with house.ledger.session() as session:
        if not _remember(session, project_id, seen):
            return Adopted("unchanged")
        solve_problems(session, project_id, PROBLEM)
        if seen == EMPTY:
            return Adopted("empty")
        _, old = read_plan(session, project_id)
        try:
            plan = wanted_plan(old, params)
            check_for_project(session, project_id, plan)
        except PlanError as error:
            note_problem(session, project_id, PROBLEM, f"The extra_params in Label Studio change nothing: {error}")
            log.warning("extra_params_refused", project=project_id, error=str(error))
            return Adopted("refused", error=str(error))
    if plan == old:
        return Adopted("same")
    switched = switch_plan(house, project_id, plan, author=AUTHOR, note="read from Label Studio")
    log.info("extra_params_adopted", project=project_id, plan=switched.number)
    return Adopted("saved", switched.number)


def wanted_plan(old: Plan, params: Any) -> Plan:
    """The plan with the top-level fields that `params` names. Raises PlanError."""
    value = _value(params)
    if not isinstance(value, dict):
        shown = f"{value!r:.60}"
        raise PlanError(f'{shown} is no JSON object; write the plan\'s fields, as in {{"batch": 80}}.')
    return changed_plan(old, value)


def _value(params: Any) -> Any:
    """JSON text as what it says; text that is no JSON as it is."""
    if not isinstance(params, str):
        return params
    try:
        return json.loads(params[:LIMIT])
    except ValueError:
        return params[:LIMIT]


def _remember(session: Session, project_id: int, seen: str) -> bool:
    """Whether these are others than the last, which are then forgotten. One /setup at a time, by the project's row."""
    session.get_one(Project, project_id, with_for_update=True)
    row = session.get(ExtraParams, project_id)
    if row is None:
        session.add(ExtraParams(project_id=project_id, digest=seen))
        return seen != EMPTY
    if row.digest == seen:
        return False
    row.digest, row.seen_at = seen, now()
    return True
