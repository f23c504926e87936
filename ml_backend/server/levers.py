"""REST under /api/projects/{id}: what the pages Runs, Models and Audit do, for programs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Response
from pydantic import Field
from sqlalchemy import select

from ml_backend.loop import kept, repair, versions, watch
from ml_backend.loop.kept import VersionError
from ml_backend.server.access import require_access
from ml_backend.server.admin import REFUSALS, Author, Known, Limit, Offset, Open, RoomsOf
from ml_backend.server.progress import read_progress
from ml_backend.server.views import View
from ml_backend.store.runs import CycleRun
from ml_backend.store.tables import Change, Cycle
from ml_backend.studio.client import StudioError

router = APIRouter(
    prefix="/api/projects/{project_id}", dependencies=[Depends(require_access)], responses=REFUSALS, tags=["levers"]
)
Number = Annotated[int, Path(ge=1, lt=2**31, description="The cycle's number in its project.")]
Name = Annotated[str, Path(min_length=1, max_length=128, description="A model_version.")]


class RunView(View):
    """How far a cycle is, and the last lines of its log; `share` (0 to 1) and `left` (seconds) only while it runs and
    earlier cycles of its kind tell how long it takes."""

    number: int
    status: str
    phase: str
    share: float | None
    left: float | None
    machine: str
    cancelled_by: str | None
    log: list[str]


class Done(View):
    said: str = Field(description="What was done, in a sentence.")


class ChangeView(View):
    author: str
    what: str
    created_at: datetime


def _cycle(session: Open, project: Known, number: Number) -> Cycle:
    found = session.scalar(select(Cycle).where(Cycle.project_id == project.id, Cycle.number == number))
    if found is None:
        raise HTTPException(404, f"Cycle {number} does not exist in project {project.id}.")
    return found


Named = Annotated[Cycle, Depends(_cycle)]


@router.get("/cycles/{number}")
def run(session: Open, cycle: Named) -> RunView:
    """One cycle as it runs, or as it ended."""
    row = session.get(CycleRun, cycle.id)
    now = read_progress(session, cycle) if cycle.status == "running" else None
    return RunView(
        number=cycle.number,
        status=cycle.status,
        phase=cycle.phase,
        share=now.share if now is not None else None,
        left=now.left if now is not None else None,
        machine=row.machine if row is not None else "",
        cancelled_by=row.cancelled_by if row is not None else None,
        log=list(row.log) if row is not None else [],
    )


@router.post("/cycles/{number}/cancel")
def cancel(rooms: RoomsOf, project: Known, cycle: Named, caller: Author) -> Done:
    """Asks a running cycle to stop at its next step; the queue stays as it was."""
    if not watch.cancel(rooms, project.id, cycle.number, author=caller):
        raise HTTPException(409, f"Cycle {cycle.number} does not run; it is {cycle.status}.")
    return Done(said=f"Cycle {cycle.number} stops at its next step.")


@router.post("/cycles/{number}/retry")
def retry(rooms: RoomsOf, project: Known, cycle: Named, caller: Author) -> Done:
    """Tries a failed or cancelled cycle again; one that had learned only ranks."""
    if cycle.status not in ("failed", "cancelled"):
        raise HTTPException(409, f"Cycle {cycle.number} is {cycle.status}; only a failed or cancelled one is retried.")
    return Done(said=repair.retry_cycle(rooms, project.id, cycle.phase, author=caller))


@router.put("/versions/{version}/keep")
def keep(rooms: RoomsOf, project: Known, version: Name, caller: Author) -> Done:
    """Exempts a version and its model from pruning."""
    return _keep(rooms, project.id, version, caller, kept_now=True)


@router.delete("/versions/{version}/keep")
def let_go(rooms: RoomsOf, project: Known, version: Name, caller: Author) -> Done:
    """Lets a kept version be pruned in its turn."""
    return _keep(rooms, project.id, version, caller, kept_now=False)


def _keep(rooms: RoomsOf, project_id: int, version: str, caller: str, *, kept_now: bool) -> Done:
    try:
        kept.keep(rooms, project_id, version, author=caller, kept=kept_now)
    except VersionError as error:
        raise HTTPException(409, str(error)) from None
    return Done(said=f"{version} is {'kept' if kept_now else 'no longer kept'}.")


@router.delete("/versions/{version}")
def delete(rooms: RoomsOf, project: Known, version: Name, caller: Author) -> Done:
    """Deletes a version's predictions and arrays; never the live one, never a kept one."""
    try:
        versions.delete_version(rooms, project.id, version, author=caller)
    except VersionError as error:
        raise HTTPException(409, str(error)) from None
    except StudioError as error:
        raise HTTPException(502, str(error)) from None
    return Done(said=f"{version} is deleted.")


@router.get(
    "/versions/{version}/model",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
def model(rooms: RoomsOf, project: Known, version: Name) -> Response:
    """The arrays of the version's model, as one .npz file."""
    try:
        return Response(versions.packed_model(rooms, project.id, version), media_type="application/octet-stream")
    except VersionError as error:
        raise HTTPException(404, str(error)) from None


@router.get("/changes")
def changes(session: Open, project: Known, limit: Limit = 100, offset: Offset = 0) -> list[ChangeView]:
    """Who changed what, newest first."""
    query = select(Change).where(Change.project_id == project.id).order_by(Change.id.desc())
    return [ChangeView.model_validate(row) for row in session.scalars(query.limit(limit).offset(offset))]
