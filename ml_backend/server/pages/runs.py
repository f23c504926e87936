"""Runs: what waits, what runs and how far it is, what ended and how, and the workers that do it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_backend.loop import jobs, repair, watch
from ml_backend.server.admin import Known, Open, RoomsOf
from ml_backend.server.machines import waiting_wish
from ml_backend.server.pages.frame import Admin, Tab, page, tried
from ml_backend.server.pages.live import events_of
from ml_backend.server.pages.projects import machines_of
from ml_backend.server.progress import read_progress
from ml_backend.store.ledger import record_change
from ml_backend.store.runs import CycleRun
from ml_backend.store.tables import Cycle, Project

TAB = Tab("Runs", "runs", order=70)
PAGE = 25
LEVELS = {"running": "busy", "published": "good", "failed": "bad", "cancelled": "warn"}
WORDS = {"published": "finished"}
Number = Annotated[int, Path(ge=1, lt=2**31)]

router = APIRouter(prefix="/projects/{project_id}/runs", include_in_schema=False)


@router.get("")
def show(
    request: Request,
    session: Open,
    rooms: RoomsOf,
    project: Known,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
) -> Response:
    query = select(Cycle).where(Cycle.project_id == project.id).order_by(Cycle.number.desc())
    cycles = list(session.scalars(query.limit(PAGE).offset(offset)))
    machines = machines_of(request)
    running = next((cycle for cycle in cycles if cycle.status == "running"), None)
    return page(
        request,
        "runs.html",
        title="Runs",
        project=project,
        events=events_of(project.id),
        wish=waiting_wish(rooms, project.id, machines),
        running=running,
        progress=read_progress(session, running) if running is not None else None,
        cycles=[cycle for cycle in cycles if cycle is not running],
        machines=machines,
        levels=LEVELS,
        words=WORDS,
        offset=offset,
        limit=PAGE,
        total=session.scalar(select(func.count()).select_from(Cycle).where(Cycle.project_id == project.id)) or 0,
    )


@router.get("/{number}")
def show_one(request: Request, session: Open, project: Known, number: Number) -> Response:
    cycle = _cycle(session, project, number)
    return page(
        request,
        "run.html",
        title=f"Run {number}",
        project=project,
        events=events_of(project.id) if cycle.status == "running" else None,
        cycle=cycle,
        run=session.get(CycleRun, cycle.id),
        progress=read_progress(session, cycle) if cycle.status == "running" else None,
        levels=LEVELS,
        words=WORDS,
    )


@router.post("/{number}/cancel")
def cancel(request: Request, admin: Admin, rooms: RoomsOf, project: Known, number: Number) -> Response:
    def work() -> str:
        if watch.cancel(rooms, project.id, number, author=admin.name):
            return f"Run {number} stops at its next step; the queue stays as it is."
        return f"Run {number} does not run any more."

    return tried(request, f"/projects/{project.id}/runs", work)


@router.post("/{number}/retry")
def retry(request: Request, admin: Admin, session: Open, rooms: RoomsOf, project: Known, number: Number) -> Response:
    phase = _cycle(session, project, number).phase
    return tried(
        request,
        f"/projects/{project.id}/runs",
        lambda: repair.retry_cycle(rooms, project.id, phase, author=admin.name),
    )


@router.post("/withdraw")
def withdraw(request: Request, admin: Admin, session: Open, rooms: RoomsOf, project: Known) -> Response:
    """Takes back what waits; what runs is cancelled instead."""

    def work() -> str:
        if not jobs.withdraw(rooms, project.id):
            return "Nothing waits any more."
        record_change(session, project.id, admin.name, "took back the cycle that waited")
        return "The cycle that waited is taken back."

    return tried(request, f"/projects/{project.id}/runs", work)


def _cycle(session: Session, project: Project, number: int) -> Cycle:
    found = session.scalar(select(Cycle).where(Cycle.project_id == project.id, Cycle.number == number))
    if found is None:
        raise HTTPException(404, f"Run {number} does not exist in this project.")
    return found
