"""What differs between two plans, setting by setting and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.loop.plan import Plan, PlanError, parse_plan, plan_history
from ml_backend.store.tables import PlanVersion
from plugins import registry

Own = Callable[[str, Mapping[str, Any]], dict[str, Any]]  # (kind, chosen plugin) -> its own settings

PLUGGED = {"scorers": "scorer", "selector": "selector", "learner": "learner", "cold_start.selector": "selector"}


@dataclass(frozen=True)
class Difference:
    """One setting; None where that side does not have it.

    >>> Difference("batch", None, 80).sentence, Difference("scorer entropy", {"weight": 2.0}, None).sentence
    ('batch: by default -> 80', 'scorer entropy: weight 2 -> off')
    """

    setting: str
    old: Any
    new: Any

    @property
    def sentence(self) -> str:
        return f"{self.setting}: {said(self.old, self.setting)} -> {said(self.new, self.setting)}"


def said(value: Any, setting: str = "") -> str:
    """A value as people read it.

    >>> said(0.05), said(True), said({"name": "kmeans", "k": 3}), said(None, "cold_start"), said([1, 2])
    ('0.05', 'on', 'name kmeans, k 3', 'off', '1, 2')
    """
    if value is None:
        return "off" if setting.startswith("scorer ") or setting in ("cold_start", "advice") else "by default"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {said(part)}" for key, part in value.items()) or "on"
    if isinstance(value, (list, tuple)):
        return ", ".join(said(part) for part in value) or "none"
    return str(value)


def plan_differences(old: Plan, new: Plan) -> list[Difference]:
    """Settings that differ, in the plan's order; a plugin's setting that is left out has its default.

    Of a plugin that comes or goes only what was set is told.
    """
    before, after = flat(old), flat(new)
    implied = (before.keys() ^ after.keys()) - flat(old, given=True).keys() - flat(new, given=True).keys()
    names = [*before, *(name for name in after if name not in before)]
    return [
        Difference(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name) and name not in implied
    ]


def flat(plan: Plan, *, given: bool = False) -> dict[str, Any]:
    """Setting -> value. A scorer is one setting, with one more for each of its own beyond the weight.

    given: of the plugins' own settings only those that the plan names, not their defaults.
    """
    own = _given if given else _all
    body = plan.model_dump(mode="json")
    settings: dict[str, Any] = {}
    for scorer in body.pop("scorers"):
        who = f"scorer {scorer['name']}"
        settings[who] = {"weight": float(scorer["weight"])}
        settings |= {f"{who}, {name}": value for name, value in own("scorer", scorer).items()}
    for name, value in body.items():
        settings |= _settings(name, value, own)
    return settings


def _settings(name: str, value: Any, own: Own) -> dict[str, Any]:
    if name in PLUGGED:
        parts = own(PLUGGED[name], value)
        return {name: value["name"], **{f"{name} {value['name']}, {key}": part for key, part in parts.items()}}
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, Any] = {name: True}
    for key, part in value.items():
        found |= _settings(f"{name}.{key}", part, own)
    return found


def _given(_kind: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    return dict(chosen["config"])


def _all(kind: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a chosen plugin; those given alone where it is not installed any more."""
    listing = registry.available(kind).get(str(chosen["name"]))
    given: dict[str, Any] = chosen["config"]
    if listing is None or listing.cls is None:
        return given
    try:
        return listing.cls.Config.model_validate(given).model_dump(mode="json")
    except ValidationError:  # a newer release of the plugin asks for something else
        return given


def diff_versions(session: Session, project_id: int, old: int, new: int) -> list[Difference]:
    """Between two saved versions; 0 is the default plan. Raises PlanError where there is none of that number."""
    return plan_differences(plan_version(session, project_id, old), plan_version(session, project_id, new))


def plan_version(session: Session, project_id: int, number: int) -> Plan:
    """A saved version by number; 0 is the default. Raises PlanError where there is none."""
    if number == 0:
        return Plan()
    query = select(PlanVersion.body).where(PlanVersion.project_id == project_id, PlanVersion.number == number)
    body = session.scalar(query)
    if body is None:
        have = ", ".join(str(row.number) for row in plan_history(session, project_id)) or "none"
        raise PlanError(f"Plan {number} does not exist; saved plans: {have}, and 0 for the default.")
    return parse_plan(body, saved=True)
