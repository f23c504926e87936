"""A plan as a YAML file, for people who keep such things in git: written out in full, and applied as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan, PlanError, parse_plan, read_plan
from ml_backend.loop.plan_diff import Difference, plan_differences
from ml_backend.loop.switch import Switched, switch_plan

LIMIT = 1_000_000  # bytes


def plan_yaml(number: int, plan: Plan) -> str:
    """The plan with every setting, so that a file says all of it.

    >>> plan_yaml(3, Plan()).splitlines()[:3]
    ['# Plan 3 of NextLabel; `nextlabel plan apply FILE --project N` puts it in force.', 'scorers:', '- name: margin']
    """
    head = f"# Plan {number} of NextLabel; `nextlabel plan apply FILE --project N` puts it in force.\n"
    return head + yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def parse_plan_yaml(text: str, source: str) -> Plan:
    """The plan that a file describes; what it leaves out has its default. Raises PlanError that names the source."""
    try:
        body = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise PlanError(f"{source} is no YAML: {where}{getattr(error, 'problem', None) or error}.") from None
    if not isinstance(body, dict) or not all(isinstance(key, str) for key in body):
        raise PlanError(f"{source} holds {_kind(body)}; write the plan's fields, as `nextlabel plan export` does.")
    try:
        return parse_plan(body)
    except PlanError as error:
        raise PlanError(f"{source}: {error}") from None


def read_plan_file(path: Path) -> Plan:
    """The plan in a file. Raises PlanError."""
    try:
        with path.open("rb") as file:
            raw = file.read(LIMIT + 1)
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}.") from None
    if len(raw) > LIMIT:
        raise PlanError(f"{path} is longer than {LIMIT} bytes; a plan is not.")
    try:
        return parse_plan_yaml(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError:
        raise PlanError(f"{path} is no text in UTF-8; save it as such.") from None


def apply_plan(
    house: House, project_id: int, plan: Plan, *, author: str, note: str
) -> tuple[list[Difference], Switched | None]:
    """What the plan changes, and the version that it became; None where it is in force already."""
    with house.ledger.session() as session:
        changes = differences_to(session, project_id, plan)
    if not changes:
        return [], None
    return changes, switch_plan(house, project_id, plan, author=author, note=note)


def differences_to(session: Session, project_id: int, plan: Plan) -> list[Difference]:
    """From the plan in force."""
    return plan_differences(read_plan(session, project_id)[1], plan)


def _kind(body: Any) -> str:
    """
    >>> _kind(None), _kind([1]), _kind({1: 2})
    ('nothing', 'a list', 'a mapping with other keys than names')
    """
    if isinstance(body, dict):
        return "a mapping with other keys than names"
    return "nothing" if body is None else f"a {type(body).__name__}"
