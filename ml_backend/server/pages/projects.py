"""Projects: every connected one at a glance, and each one's overview with one button for what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_backend.loop import jobs, repair
from ml_backend.loop.gain import read_gain
from ml_backend.loop.gain_sentences import sentences
from ml_backend.loop.house import House
from ml_backend.server.admin import Known, Open, RoomsOf
from ml_backend.server.health_check import Doctor
from ml_backend.server.machines import Lookout, Machines, waiting_wish
from ml_backend.server.overview import Standing, next_training, read_standing, verdict
from ml_backend.server.pages.frame import Admin, Tab, fragment, page, tried
from ml_backend.server.pages.live import events_of
from ml_backend.server.progress import read_progress
from ml_backend.store.tables import Cycle, Project
from ml_backend.studio.client import StudioError
from ml_backend.studio.config_xml import ConfigError

TAB = Tab("Overview", "", order=0)
PAGE = 20  # projects; each costs some queries
router = APIRouter(include_in_schema=False)


def machines_of(request: Request) -> Machines:
    lookout: Lookout = request.app.state.lookout
    return lookout.machines()


def _standing(rooms: House, session: Session, project: Project, machines: Machines) -> Standing:
    return read_standing(session, project, waiting_wish(rooms, project.id, machines))


@router.get("/")
def show_all(
    request: Request, session: Open, rooms: RoomsOf, offset: Annotated[int, Query(ge=0, lt=2**31)] = 0
) -> Response:
    query = select(Project).order_by(Project.state == "gone", Project.id)
    rows = list(session.scalars(query.limit(PAGE).offset(offset)))
    machines = machines_of(request)
    standings = [_standing(rooms, session, row, machines) for row in rows]
    return page(
        request,
        "projects.html",
        title="Projects",
        events=events_of(None),
        projects=[(one, verdict(one, machines), next_training(one), measure(one.trained)) for one in standings],
        machines=machines,
        offset=offset,
        limit=PAGE,
        total=session.scalar(select(func.count()).select_from(Project)) or 0,
    )


@router.get("/projects/{project_id}")
def show(request: Request, session: Open, rooms: RoomsOf, project: Known) -> Response:
    machines = machines_of(request)
    standing = _standing(rooms, session, project, machines)
    running = standing.running
    return page(
        request,
        "project.html",
        title="Overview",
        project=project,
        events=events_of(project.id),
        now=standing,
        verdict=verdict(standing, machines),
        next_training=next_training(standing),
        measured=measure(standing.trained),
        progress=read_progress(session, running) if running is not None else None,
        said=sentences(read_gain(session, project.id)),
    )


def measure(cycle: Cycle | None) -> str:
    """What a training's accuracy is: of classes, or the mean average precision of boxes."""
    return "mAP at IoU 0.5" if cycle is not None and cycle.metrics.get("measure") == "map50" else "Accuracy"


@router.get("/projects/{project_id}/health")
def health(request: Request, project: Known, anew: bool = False) -> Response:
    """Doctor's checks, which the overview asks for once it is shown: they wait for Label Studio."""
    doctor: Doctor = request.app.state.doctor
    return fragment(request, "health.html", project=project, examined=doctor.examine(project.id, anew=anew))


# the buttons


@router.post("/projects/{project_id}/train")
def train(request: Request, admin: Admin, rooms: RoomsOf, project: Known) -> Response:
    def work() -> str:
        if project.state == "gone":
            raise HTTPException(409, "The project is disconnected; connect it again to train.")
        asked = jobs.request_cycle(rooms, project.id, "train", f"asked by {admin.name}")
        return {"queued": "A training is queued.", "coalesced": "A training waits already."}.get(
            asked, "Redis does not answer, so no training starts; check REDIS_URL."
        )

    return _tried(request, project, work)


@router.post("/projects/{project_id}/reconnect")
def reconnect(request: Request, admin: Admin, rooms: RoomsOf, project: Known) -> Response:
    return _tried(request, project, lambda: repair.reconnect(rooms, project.id, author=admin.name))


@router.post("/projects/{project_id}/look-again")
def look_again(request: Request, admin: Admin, rooms: RoomsOf, project: Known) -> Response:  # noqa: ARG001  # checks
    return _tried(request, project, lambda: repair.look_again(rooms, project.id))


@router.post("/projects/{project_id}/retry-media")
def retry_media(request: Request, admin: Admin, rooms: RoomsOf, project: Known) -> Response:
    return _tried(request, project, lambda: repair.retry_media(rooms, project.id, author=admin.name))


def _tried(request: Request, project: Project, work: Callable[[], str]) -> Response:
    return tried(request, f"/projects/{project.id}", work, StudioError, ConfigError)
