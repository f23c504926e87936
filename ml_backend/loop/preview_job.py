"""Previews are computed by a worker, ahead of the cycles that wait, and fetched when they are done.

The server only asks and looks: a ranking of 100 000 items takes seconds, and plugins are strangers' code.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import RedisError
from rq.exceptions import NoSuchJobError
from rq.job import Job

from ml_backend.loop.house import House, house
from ml_backend.loop.plan import Plan, PlanError, check_for_project, parse_plan

log = structlog.get_logger()

KEEP_SECONDS = 600
LIMIT_SECONDS = 600
ID = re.compile(r"preview-(\d{1,10})-[0-9a-f]{32}", re.ASCII)


class PreviewUnavailableError(Exception):
    """Redis does not answer, so nobody can compute it."""


@dataclass(frozen=True)
class PreviewState:
    """status: waiting (for a worker) | running | done | failed | unknown. result: see preview.Preview; error: why not,
    in one sentence."""

    status: str
    result: dict[str, Any] | None = None
    error: str | None = None


def request_preview(house: House, project_id: int, plan: Plan) -> str:
    """Asks for a preview and returns its id; one of this project that still waits is dropped. PlanError,
    PreviewUnavailableError."""
    with house.ledger.session() as session:
        check_for_project(session, project_id, plan)
    number, newest = f"preview-{project_id}-{uuid.uuid4().hex}", f"{house.settings.queue_prefix}:preview:{project_id}"
    try:
        older: bytes | None = house.redis.set(newest, number, ex=KEEP_SECONDS, get=True)  # type: ignore[assignment]  # bytes
        if older is not None:
            _drop(house, older.decode())
        house.queue.enqueue(
            "ml_backend.loop.preview_job.run_preview_job",
            project_id,
            plan.model_dump(mode="json"),
            job_id=number,
            at_front=True,
            job_timeout=LIMIT_SECONDS,
            result_ttl=KEEP_SECONDS,
            failure_ttl=KEEP_SECONDS,
        )
    except RedisError as error:
        log.warning("redis_unavailable", project=project_id, error=str(error))
        raise PreviewUnavailableError("Redis does not answer, so no worker can preview; check REDIS_URL.") from error
    return number


def read_preview(house: House, project_id: int, number: str) -> PreviewState:
    """How far a preview of this project is. Raises PreviewUnavailableError."""
    named = ID.fullmatch(number)
    if named is None or int(named.group(1)) != project_id:
        return PreviewState("unknown")
    try:
        job = Job.fetch(number, connection=house.redis)
        status = job.get_status(refresh=True)
        value = job.return_value(refresh=True) if status == "finished" else None
    except NoSuchJobError:
        return PreviewState("unknown")
    except RedisError as error:
        raise PreviewUnavailableError("Redis does not answer, so the preview cannot be read.") from error
    if status == "finished" and isinstance(value, dict):
        return PreviewState("failed" if value["error"] else "done", value["result"], value["error"])
    if status in ("queued", "deferred", "scheduled"):
        return PreviewState("waiting")
    if status == "started":
        return PreviewState("running")
    return PreviewState("failed", error="The preview stopped; the worker's log says why.")


def run_preview_job(project_id: int, body: dict[str, Any]) -> dict[str, Any]:
    """The job: a result or a sentence, as plain values."""
    from ml_backend.loop.preview import PreviewError, preview  # NumPy and the plugins, which the server needs not load

    rooms = House(house().settings)  # connections must not be shared across a fork
    try:
        return {"result": preview(rooms, project_id, parse_plan(body)).as_json(), "error": None}
    except (PreviewError, PlanError) as error:
        return {"result": None, "error": str(error)}
    except Exception as error:
        log.exception("preview_failed", project=project_id)
        said = f"The preview failed ({type(error).__name__}: {error}); the worker's log says more."
        return {"result": None, "error": said}
    finally:
        rooms.ledger.close()


def _drop(house: House, number: str) -> None:
    """Only one that nobody has begun."""
    try:
        job = Job.fetch(number, connection=house.redis)
        if job.get_status(refresh=True) == "queued":
            job.cancel()
            job.delete()
    except NoSuchJobError:
        return
