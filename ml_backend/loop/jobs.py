"""What goes to Redis: one cycle per project at a time, a reconcile per project, both unique by their job id."""

from __future__ import annotations

import structlog
from redis.exceptions import RedisError
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus

from ml_backend.loop.house import RESULT_SECONDS, House

log = structlog.get_logger()

CYCLE_SECONDS = 24 * 3600
_OVER = {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED}


def cycle_id(project_id: int) -> str:
    return f"nextlabel-cycle-{project_id}"


def request_cycle(house: House, project_id: int, kind: str, trigger: str) -> str:
    """Asks for a cycle ('train' or 'rank'). Returns 'queued', 'coalesced' (one is waiting) or 'unavailable' (no Redis).

    A request that comes while a cycle runs is kept, and the cycle starts the next one when it ends.
    """
    try:
        _keep_wish(house, project_id, kind, trigger)
        return _enqueue(house, cycle_id(project_id), "ml_backend.loop.worker.run_cycle_job", project_id, CYCLE_SECONDS)
    except RedisError as error:
        log.warning("redis_unavailable", project=project_id, error=str(error), remedy="reconcile will catch up")
        return "unavailable"


def request_reconcile(house: House, project_id: int) -> str:
    """Asks for a comparison with Label Studio, soon and once."""
    try:
        name = f"nextlabel-reconcile-{project_id}"
        return _enqueue(house, name, "ml_backend.loop.worker.run_reconcile_job", project_id, 600)
    except RedisError as error:
        log.warning("redis_unavailable", project=project_id, error=str(error))
        return "unavailable"


def take_wish(house: House, project_id: int) -> tuple[str, str] | None:
    """The wish that is waiting for this project, if any, and forgets it: ('train' | 'rank', why)."""
    pipe = house.redis.pipeline()
    pipe.hgetall(_wish_key(project_id))
    pipe.delete(_wish_key(project_id))
    wish = {key.decode(): value.decode() for key, value in pipe.execute()[0].items()}
    for kind in ("train", "rank"):
        if kind in wish:
            return kind, wish[kind]
    return None


def cycle_is_alive(house: House, project_id: int) -> bool:
    """Whether a cycle job of the project waits or runs."""
    try:
        return Job.fetch(cycle_id(project_id), connection=house.redis).get_status() not in _OVER
    except NoSuchJobError:
        return False


def _wish_key(project_id: int) -> str:
    return f"nextlabel:wish:{project_id}"


def _keep_wish(house: House, project_id: int, kind: str, trigger: str) -> None:
    if kind not in {"train", "rank"}:
        raise ValueError(f"Unknown cycle kind '{kind}'; use 'train' or 'rank'.")
    house.redis.hset(_wish_key(project_id), kind, trigger)


def _enqueue(house: House, name: str, function: str, project_id: int, timeout: int) -> str:
    try:
        old = Job.fetch(name, connection=house.redis)
        if old.get_status() in _OVER:
            old.delete()
    except NoSuchJobError:
        pass
    try:
        house.queue.enqueue(
            function,
            project_id,
            job_id=name,
            unique=True,
            job_timeout=timeout,
            result_ttl=RESULT_SECONDS,
            failure_ttl=RESULT_SECONDS,
        )
    except DuplicateJobError:
        return "coalesced"
    return "queued"
