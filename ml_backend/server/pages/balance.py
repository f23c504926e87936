"""Balance: labels of each class by cycle against the target, how even they are, and what the selector proved."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request, Response

from ml_backend.loop.balance import balance_history
from ml_backend.loop.plan import Plan, read_plan
from ml_backend.server.admin import Known, Open
from ml_backend.server.charts import class_counts, evenness, lambda_path, proofs
from ml_backend.server.pages.frame import Tab, page
from ml_backend.server.pages.live import events_of
from ml_backend.server.queue_cards import classes_of
from plugins.registry import available

TAB = Tab("Balance", "balance", order=50)
CYCLES = 200
router = APIRouter(prefix="/projects/{project_id}/balance", include_in_schema=False)


@router.get("")
def show(request: Request, session: Open, project: Known) -> Response:
    rows = balance_history(session, project.id, CYCLES)[::-1]
    classes = classes_of(project)
    _, plan = read_plan(session, project.id)
    target = target_shares(plan, classes)
    charts = [class_counts(rows, classes, target), evenness(rows), lambda_path(rows), proofs(rows)] if rows else []
    return page(
        request,
        "balance.html",
        title="Balance",
        project=project,
        events=events_of(project.id),
        newest=rows[-1] if rows else None,
        selector=plan.selector.name,
        towards=_towards(plan, target),
        charts=[chart for chart in charts if chart is not None],
    )


def target_shares(plan: Plan, classes: Sequence[str]) -> list[float] | None:
    """Of each class, as the plan's selector wants it; None where it wants none, or what the pool turns out to hold.

    >>> from ml_backend.loop.plan import ChosenSelector
    >>> wish = ChosenSelector(name="class_balanced", config={"target": {"cat": 3, "dog": 1}})
    >>> target_shares(Plan(selector=wish), ("dog", "cat"))
    [0.25, 0.75]
    """
    target = plan.selector.config.get("target", "uniform")
    if not balances(plan) or target == "pool" or not classes:
        return None
    if not isinstance(target, dict):
        return [1 / len(classes)] * len(classes)
    total = sum(target.values())
    return [target.get(name, 0) / total for name in classes] if total else None


def balances(plan: Plan) -> bool:
    """Whether the plan's selector works towards shares of classes."""
    listing = available("selector").get(plan.selector.name)
    return listing is not None and listing.cls is not None and "target" in listing.cls.Config.model_fields


def _towards(plan: Plan, target: Sequence[float] | None) -> str:
    if not balances(plan):
        return f"The plan's selector, '{plan.selector.name}', balances nothing; choose one that does on the page Plan."
    if target is None:
        return f"'{plan.selector.name}' works towards the shares that the pool seems to hold."
    own = isinstance(plan.selector.config.get("target"), dict)
    return f"'{plan.selector.name}' works towards {'the shares of the plan' if own else 'equal shares'}."
