"""What the one button of a project in trouble does: connect again, look again, fetch images again."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select, update

from ml_backend.loop import jobs
from ml_backend.loop.house import House
from ml_backend.loop.sync import OF_MEDIA, RETRY_MEDIA
from ml_backend.loop.upkeep import reassert
from ml_backend.store.ledger import record_change, solve_problems
from ml_backend.store.tables import Problem, Project, now
from ml_backend.studio.connect import attach


def reconnect(house: House, project_id: int, *, author: str) -> str:
    """As `nextlabel connect` does with the token that is stored, but leaves the cycle to a worker. Says what was done.

    Raises StudioError or ConfigError, and nothing is changed then.
    """
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
    config, studio = house.settings, house.studio(project)
    try:
        done = attach(
            studio,
            project.studio_id,
            backend_url=config.backend_url,
            secret=project.webhook_secret,
            user=config.basic_auth_user,
            password=config.basic_auth_pass,
        )
        with house.ledger.session() as session:
            session.get_one(Project, project_id).state = "connected"
            for kind in ("project_gone", "studio_unreachable", "reconcile_stopped"):
                solve_problems(session, project_id, kind)
            record_change(session, project_id, author, "connected again")
        if project.live_version is not None:
            reassert(house, project_id, studio)
    finally:
        studio.close()
    asked = jobs.request_cycle(house, project_id, "train", f"connected again by {author}")
    return " ".join(["Connected again.", _said(asked), *done.notes])


def look_again(house: House, project_id: int) -> str:
    """A comparison with Label Studio, soon."""
    asked = jobs.request_reconcile(house, project_id)
    return "Redis does not answer, so nothing was asked for." if asked == "unavailable" else "A worker looks again now."


def retry_media(house: House, project_id: int, *, author: str) -> str:
    """Lets the next sync fetch every image that failed, however recently, and asks for that sync."""
    failed = (Problem.project_id == project_id, OF_MEDIA, Problem.solved_at.is_(None))
    with house.ledger.session() as session:
        count = session.scalar(select(func.count()).select_from(Problem).where(*failed)) or 0
        long_ago = now() - RETRY_MEDIA - timedelta(minutes=1)
        session.execute(update(Problem).where(*failed).values(last_seen=long_ago))
        record_change(session, project_id, author, f"asked to fetch {count} files again")
    return f"{count} files are fetched again. {look_again(house, project_id)}"


def retry_cycle(house: House, project_id: int, phase: str, *, author: str) -> str:
    """Tries a failed cycle again: one that had learned only ranks."""
    kind = "rank" if phase in ("rank", "publish") else "train"
    return _said(jobs.request_cycle(house, project_id, kind, f"tried again by {author}"))


def _said(asked: str) -> str:
    return {
        "queued": "A cycle is queued.",
        "coalesced": "A cycle waits already; this is part of it.",
        "unavailable": "Redis does not answer, so no cycle starts; check REDIS_URL.",
    }[asked]
