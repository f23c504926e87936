"""The plan that a filled form says: what differs from the plan in force, settings at their default left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ml_backend.loop.plan import Advice, ColdStart, Plan, Policy, WholeVideos
from ml_backend.server.plan_form import BOXES, COLD, MAIN, OWN, TARGET
from ml_backend.server.schema_form import FormError, read_fields
from plugins import registry


def read_plan_form(form: Mapping[str, str], old: Plan, classes: Sequence[str]) -> dict[str, Any]:
    """The top-level fields of the plan that a filled form says; `changed_plan(old, ...)` then checks them.

    Settings at their default are left out, as they are in plans that were never touched. Raises FormError.
    """
    body = old.model_dump(mode="json")
    kept = {one["name"]: one["config"] for one in body["scorers"]}
    scorers: list[dict[str, Any]] = [
        {"name": name, "weight": _weight(form, name), "config": _config("scorer", name, form, kept.get(name), classes)}
        for name in registry.available("scorer").keys() | kept.keys()
        if f"scorer.{name}.on" in form
    ]
    order = [*kept, *sorted(str(one["name"]) for one in scorers)]
    scorers.sort(key=lambda one: order.index(one["name"]))
    changes: dict[str, Any] = {
        "scorers": scorers,
        "policy": {**body["policy"], **read_fields(Policy, form, "policy.")},
        "videos": {**body["videos"], **read_fields(WholeVideos, form, "videos.")},
        "cold_start": _cold(form, body["cold_start"]),
        "advice": {**(body["advice"] or {}), **read_fields(Advice, form, "advice.")} if "advice.on" in form else None,
        **read_fields(Plan, form, "plan.", MAIN + BOXES),
    }
    for kind in ("selector", "learner"):
        if name := form.get(kind):
            before = body[kind]["config"] if body[kind]["name"] == name else None
            changes[kind] = {"name": name, "config": _config(kind, name, form, before, classes)}
    return changes


def _weight(form: Mapping[str, str], name: str) -> float:
    text = form.get(f"scorer.{name}.weight", "1").strip()
    try:
        return float(text)
    except ValueError:
        raise FormError(f"The weight of '{name}' is '{text[:60]}'; write a number above 0.") from None


def _cold(form: Mapping[str, str], before: dict[str, Any] | None) -> dict[str, Any] | None:
    if "cold.on" not in form:
        return None
    start = before or ColdStart().model_dump(mode="json")
    name = form.get("cold.selector", start["selector"]["name"])
    selector = start["selector"] if start["selector"]["name"] == name else {"name": name}
    return {**start, "selector": selector, **read_fields(ColdStart, form, "cold.", COLD)}


def _config(
    kind: str, name: str, form: Mapping[str, str], before: dict[str, Any] | None, classes: Sequence[str]
) -> dict[str, Any]:
    """The plugin's settings; exactly those of before where the form says the same."""
    listing = registry.available(kind).get(name)
    if listing is None or listing.cls is None:
        return before or {}
    model, prefix = listing.cls.Config, f"{kind}.{name}."
    given = {**(before or {}), **read_fields(model, form, f"{prefix}config.")}
    mode = form.get(f"{prefix}{TARGET}")
    if mode is not None and TARGET in model.model_fields:
        given[TARGET] = _target(form, prefix, classes) if mode == OWN else mode
    if _same(model, given, before or {}):
        return before or {}
    fields = model.model_fields
    return {key: value for key, value in given.items() if key not in fields or value != fields[key].default}


def _target(form: Mapping[str, str], prefix: str, classes: Sequence[str]) -> dict[str, float]:
    """class -> share, those at 0 left out. Shares of several sizes are kept in proportion."""
    shares = {}
    for number, name in enumerate(classes):
        text = form.get(f"{prefix}share.{number}", "0").strip()
        try:
            value = float(text)
        except ValueError:
            raise FormError(f"The share of '{name}' is '{text[:60]}'; write a number from 0 to 100.") from None
        if value > 0:
            shares[name] = value / 100
    return shares


def _same(model: type[BaseModel], one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two settings mean the same once defaults are filled in; a share may differ by half a slider's step."""
    try:
        first, second = (model.model_validate(given).model_dump() for given in (one, other))
    except ValidationError:
        return False
    targets = first.pop(TARGET, None), second.pop(TARGET, None)
    return first == second and (targets[0] == targets[1] or _near(*targets))


def _near(one: Any, other: Any) -> bool:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    scaled = [
        {k: v / max(shares.values()) for k, v in shares.items() if v} for shares in (one, other) if any(shares.values())
    ]
    if len(scaled) != 2:
        return False
    return all(abs(scaled[0].get(k, 0) - scaled[1].get(k, 0)) <= 0.0051 for k in scaled[0].keys() | scaled[1].keys())
