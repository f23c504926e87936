"""Redis as the pages see it: which workers there are on which machines, and what waits; looked at every two seconds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError
from rq import Worker

from ml_backend.loop import jobs
from ml_backend.loop.house import House

FRESH = 2.0  # seconds
AWAY = 15.0  # seconds that a Redis is left alone that did not answer: one that hangs costs every visitor its time-out


@dataclass(frozen=True)
class WorkerView:
    """A worker as RQ registered it. state: idle | busy | suspended | started; heartbeat: its last sign of life."""

    name: str
    machine: str
    pid: int | None
    state: str
    job: str
    done: int
    failed: int
    seconds: float
    started_at: datetime | None
    heartbeat: datetime | None


@dataclass(frozen=True)
class Machines:
    """problem: one sentence where Redis does not answer, else ''. waiting: jobs in the queue."""

    workers: tuple[WorkerView, ...]
    waiting: int
    problem: str = ""


class Lookout:
    """Asks Redis at most every two seconds in a process, whoever looks; rarely while it is away."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._lock = threading.Lock()
        self._seen: tuple[float, Machines] | None = None

    def machines(self) -> Machines:
        with self._lock:
            if self._seen is None or time.monotonic() > self._seen[0]:
                found = look(self._house)
                self._seen = (time.monotonic() + (AWAY if found.problem else FRESH), found)
            return self._seen[1]


def look(house: House) -> Machines:
    """What Redis says now; never raises."""
    name = house.settings.queue_prefix
    try:
        found = [worker for worker in Worker.all(connection=house.redis) if name in worker.queue_names()]
        views = tuple(sorted((_view(worker) for worker in found), key=lambda one: (one.machine, one.name)))
        return Machines(views, house.queue.count)
    except RedisError as error:
        return Machines((), 0, f"Redis does not answer ({error}), so nothing trains; start it, or set REDIS_URL.")


def waiting_wish(house: House, project_id: int, machines: Machines) -> tuple[str, str] | None:
    """(kind, why) of the cycle that waits for a worker; None too where Redis is away."""
    if machines.problem:
        return None
    try:
        return jobs.wish(house, project_id)
    except RedisError:
        return None


def _view(worker: Any) -> WorkerView:
    job = worker.get_current_job_id() or ""
    return WorkerView(
        name=worker.name,
        machine=worker.hostname or "unknown",
        pid=worker.pid,
        state=str(worker.get_state() or "unknown"),
        job=job,
        done=int(worker.successful_job_count or 0),
        failed=int(worker.failed_job_count or 0),
        seconds=float(worker.total_working_time or 0),
        started_at=_aware(worker.birth_date),
        heartbeat=_aware(worker.last_heartbeat),
    )


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
