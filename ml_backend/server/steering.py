"""REST under /api/projects/{id}: overrides of single tasks, why any task stands where it stands, plans tried out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from sqlalchemy import select

from ml_backend.loop.overrides import OverrideError, read_overrides, set_override, undo_override
from ml_backend.loop.plan import PlanError, changed_plan, read_plan
from ml_backend.loop.plan_diff import diff_versions, said
from ml_backend.loop.preview_job import PreviewUnavailableError, read_preview, request_preview
from ml_backend.loop.stored_ranking import StoredRankings
from ml_backend.loop.why import WhyError, explain
from ml_backend.server.access import require_access
from ml_backend.server.admin import REFUSALS, Author, Known, Open, RoomsOf, Signs, TaskId
from ml_backend.server.steering_views import (
    OverrideChanged,
    OverrideView,
    OverrideWish,
    PlanDiff,
    PlanProposal,
    PreviewStarted,
    PreviewView,
    SettingChange,
    WhyView,
)
from ml_backend.store.steering import Override
from ml_backend.store.tables import Item

router = APIRouter(
    prefix="/api/projects/{project_id}", dependencies=[Depends(require_access)], responses=REFUSALS, tags=["steering"]
)


def stored_rankings(request: Request, rooms: RoomsOf) -> StoredRankings:
    """One cache of rankings for the whole application."""
    state = request.app.state
    if not hasattr(state, "rankings"):
        state.rankings = StoredRankings(rooms)
    rankings: StoredRankings = state.rankings
    return rankings


Rankings = Annotated[StoredRankings, Depends(stored_rankings)]


@router.get("/overrides")
def overrides(session: Open, project: Known) -> list[OverrideView]:
    """Every override, the earliest first: pinned tasks are served in this order."""
    ids = select(Override.task_id).where(Override.project_id == project.id)
    query = select(Item.task_id, Item.status).where(Item.project_id == project.id, Item.task_id.in_(ids))
    status = {task: state for task, state in session.execute(query)}
    views = [OverrideView.model_validate(row) for row in read_overrides(session, project.id)]
    return [view.model_copy(update={"status": status.get(view.task_id)}) for view in views]


@router.put("/tasks/{task_id}/override")
def override(rooms: RoomsOf, project: Known, task_id: TaskId, body: OverrideWish, signs: Signs) -> OverrideChanged:
    """Pins a task to the front, sends it to the back or excludes it; a ranking that obeys is asked for."""
    try:
        request = set_override(rooms, project.id, task_id, body.kind, author=signs(body.author))
    except OverrideError as error:
        raise HTTPException(409, str(error)) from None
    return OverrideChanged(task_id=task_id, kind=body.kind, request=request)


@router.delete("/tasks/{task_id}/override")
def undo(rooms: RoomsOf, project: Known, task_id: TaskId, caller: Author) -> OverrideChanged:
    """Takes an override back; a ranking without it is asked for."""
    try:
        request = undo_override(rooms, project.id, task_id, author=caller)
    except OverrideError as error:
        raise HTTPException(404, str(error)) from None
    return OverrideChanged(task_id=task_id, kind=None, request=request)


@router.get("/tasks/{task_id}/why")
def why(session: Open, project: Known, task_id: TaskId, rankings: Rankings) -> WhyView:
    """The place of any task in the live ranking, each scorer's say, and one sentence; the written head is no limit."""
    try:
        return WhyView.model_validate(explain(session, rankings, project.id, task_id))
    except WhyError as error:
        raise HTTPException(404, str(error)) from None


@router.post("/plan/preview", status_code=202)
def preview(rooms: RoomsOf, project: Known, body: PlanProposal) -> PreviewStarted:
    """Tries a changed plan on today's pool without saving it; a worker computes, GET .../plan/preview/{id} tells."""
    try:
        with rooms.ledger.session() as session:
            _, plan = read_plan(session, project.id)
        number = request_preview(rooms, project.id, changed_plan(plan, body.changes))
    except PlanError as error:
        raise HTTPException(422, str(error)) from None
    except PreviewUnavailableError as error:
        raise HTTPException(503, str(error)) from None
    return PreviewStarted(id=number, status="waiting")


@router.get("/plan/preview/{preview_id}")
def previewed(rooms: RoomsOf, project: Known, preview_id: Annotated[str, Path(max_length=64)]) -> PreviewView:
    """What would change in the next 50 items, or how far the worker is; kept for ten minutes."""
    try:
        state = read_preview(rooms, project.id, preview_id)
    except PreviewUnavailableError as error:
        raise HTTPException(503, str(error)) from None
    return PreviewView(id=preview_id, status=state.status, result=state.result, error=state.error)


@router.get("/plan/diff")
def diff(
    session: Open,
    project: Known,
    old: Annotated[int, Query(ge=0, lt=2**31, description="A plan's number; 0 is the default.")],
    new: Annotated[int, Query(ge=0, lt=2**31)],
) -> PlanDiff:
    """Every setting that differs between two versions of the plan."""
    try:
        found = diff_versions(session, project.id, old, new)
    except PlanError as error:
        raise HTTPException(404, str(error)) from None
    changes = [
        SettingChange(
            setting=one.setting, old=said(one.old, one.setting), new=said(one.new, one.setting), sentence=one.sentence
        )
        for one in found
    ]
    return PlanDiff(old=old, new=new, changes=changes)
