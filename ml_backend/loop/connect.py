"""Connecting a project: `studio.connect` does the Label Studio half, this ties it to the ledger and a first cycle."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from ml_backend.loop import jobs
from ml_backend.loop.cycle import run_cycle
from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan, default_plan, save_plan
from ml_backend.loop.upkeep import reassert
from ml_backend.store.ledger import current_plan, record_change
from ml_backend.store.tables import Cycle, Project
from ml_backend.studio.client import Studio
from ml_backend.studio.connect import Attachment, attach, detach


@dataclass(frozen=True)
class Connected:
    """What connecting did; `cycle` is the first cycle, None if another process is running one."""

    project: Project
    attachment: Attachment
    cycle: Cycle | None
    already: bool


def project_key(theirs: dict[str, object]) -> str:
    """Label Studio's own key of a project in every call to a backend: '<id>.<created epoch>'."""
    created = datetime.fromisoformat(str(theirs["created_at"]).replace("Z", "+00:00"))
    return f"{theirs['id']}.{int(created.timestamp())}"


def connect(
    house: House, url: str, token: str, studio_project: int, *, author: str, plan: Plan | None = None
) -> Connected:
    """Connects a project and publishes its first queue; calling it again repairs the connection.

    Raises StudioError or ConfigError (nothing is kept of a first attempt that fails), PublishError never: a failed
    first cycle is in the ledger and is tried again.
    """
    studio = Studio(url, token)
    theirs = studio.project(studio_project)
    with house.ledger.session() as session:
        query = select(Project).where(Project.studio_url == studio.url, Project.studio_id == studio_project)
        project = session.scalar(query)
        already = project is not None
        if project is None:
            project = Project(
                studio_url=studio.url,
                studio_id=studio_project,
                key=project_key(theirs),
                webhook_secret=secrets.token_urlsafe(32),
            )
            session.add(project)
        project.token, project.title = token, str(theirs.get("title", ""))
        # Not yet 'connected': the periodic reconcile must not start the first cycle before this does.
        project.key, project.state = project_key(theirs), "connecting"
        session.flush()
    attachment = _attach(house, studio, project, already)
    with house.ledger.session() as session:
        if plan is not None or current_plan(session, project.id) is None:
            chosen = plan or default_plan(attachment.config, _in_videos(studio, studio_project))
            save_plan(session, project.id, chosen, author=author, note="connected")
        record_change(session, project.id, author, "connected again" if already else "connected")
    if project.live_version is not None:
        reassert(house, project.id, studio)
    cycle = _first_cycle(house, project.id)
    studio.close()
    with house.ledger.session() as session:
        project = session.get_one(Project, project.id)
        project.state = "connected"
        return Connected(project, attachment, cycle, already)


def _in_videos(studio: Studio, studio_project: int) -> bool:
    """Whether the first task is a frame of a video."""
    first = next(iter(studio.tasks(studio_project)), None)
    data = first.get("data") if first else None
    return isinstance(data, dict) and data.get("video") is not None and data.get("frame") is not None


def _attach(house: House, studio: Studio, project: Project, already: bool) -> Attachment:
    config = house.settings
    try:
        return attach(
            studio,
            project.studio_id,
            backend_url=config.backend_url,
            secret=project.webhook_secret,
            user=config.basic_auth_user,
            password=config.basic_auth_pass,
        )
    except Exception:
        if not already:
            with house.ledger.session() as session:
                session.delete(session.get_one(Project, project.id))
        else:
            with house.ledger.session() as session:
                session.get_one(Project, project.id).state = "connected"
        raise


def _first_cycle(house: House, project_id: int) -> Cycle | None:
    """Runs the first cycle here and now, so that the queue is ours when `connect` returns."""
    with jobs.project_lock(house, project_id) as held:
        return run_cycle(house, project_id, "train", "connected") if held else None


def disconnect(house: House, project_id: int, *, author: str) -> None:
    """Removes our backend and webhook from Label Studio; the ledger keeps the project's history."""
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        project.state = "gone"
        record_change(session, project_id, author, "disconnected")
    detach(house.studio(project), project.studio_id, house.settings.backend_url)
