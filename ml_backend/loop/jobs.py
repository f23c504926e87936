"""What goes to Redis: wishes for cycles, and jobs that fulfil them, one cycle per project at a time.

A request leaves a wish and, unless one is waiting already, a job. The job takes the project's lock and works until
no wish is left; a job that finds the lock taken ends at once, since the holder looks again after letting go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from redis.exceptions import LockError, RedisError

from ml_backend.loop.house import RESULT_SECONDS, House

log = structlog.get_logger()

CYCLE_SECONDS = 24 * 3600
LOCK_SECONDS = 60  # a dead worker's lock is free again after this
KINDS = ("train", "rank")  # a training ranks too, so it fulfils both


def request_cycle(house: House, project_id: int, kind: str, trigger: str) -> str:
    """Asks for a cycle ('train' or 'rank'). Returns 'queued', 'coalesced' (a job is waiting) or 'unavailable'."""
    if kind not in KINDS:
        raise ValueError(f"Unknown cycle kind '{kind}'; use 'train' or 'rank'.")
    try:
        house.redis.hset(_key(house, "wish", project_id), kind, trigger)
        return _enqueue(house, "cycle", project_id, CYCLE_SECONDS)
    except RedisError as error:
        log.warning("redis_unavailable", project=project_id, error=str(error), remedy="the next reconcile catches up")
        return "unavailable"


def request_reconcile(house: House, project_id: int) -> str:
    """Asks for a comparison with Label Studio, soon and once."""
    try:
        return _enqueue(house, "reconcile", project_id, 600)
    except RedisError as error:
        log.warning("redis_unavailable", project=project_id, error=str(error))
        return "unavailable"


def started(house: House, what: str, project_id: int) -> None:
    """Called by a job as it starts: requests from now on need a job of their own."""
    house.redis.delete(_key(house, f"waiting-{what}", project_id))


def work_off(house: House, project_id: int, run: Callable[[str, str], object]) -> int:
    """Calls run(kind, trigger) for every wish, holding the project's lock. Returns how many were run."""
    done = 0
    while house.redis.exists(_key(house, "wish", project_id)):
        with project_lock(house, project_id) as held:
            if not held:
                return done
            while (wish := _take(house, project_id)) is not None:
                run(*wish)
                done += 1
    return done


@contextmanager
def project_lock(house: House, project_id: int) -> Iterator[bool]:
    """Yields whether the project is ours; the lock renews itself and dies with this process."""
    lock = house.redis.lock(_key(house, "lock", project_id), timeout=LOCK_SECONDS, thread_local=False)
    if not lock.acquire(blocking=False):
        yield False
        return
    over = threading.Event()

    def renew() -> None:
        while not over.wait(LOCK_SECONDS / 4):
            try:
                lock.reacquire()
            except (LockError, RedisError) as error:
                log.warning("lock_not_renewed", project=project_id, error=str(error))

    keeper = threading.Thread(target=renew, daemon=True, name=f"lock-{project_id}")
    keeper.start()
    try:
        yield True
    finally:
        over.set()
        keeper.join()
        try:
            lock.release()
        except LockError as error:
            log.warning("lock_lost", project=project_id, error=str(error))


def is_busy(house: House, project_id: int) -> bool:
    """Whether a cycle runs or a job for one waits."""
    return bool(house.redis.exists(_key(house, "lock", project_id), _key(house, "waiting-cycle", project_id)))


def is_running(house: House, project_id: int) -> bool:
    """Whether a cycle runs now."""
    return bool(house.redis.exists(_key(house, "lock", project_id)))


def has_wish(house: House, project_id: int) -> bool:
    return bool(house.redis.exists(_key(house, "wish", project_id)))


def wish(house: House, project_id: int) -> tuple[str, str] | None:
    """(kind, trigger) of the cycle that is asked for and not begun; it stays asked for."""
    return _first(house.redis.hgetall(_key(house, "wish", project_id)))


def withdraw(house: House, project_id: int) -> bool:
    """Takes the wish back; its job then finds nothing to do. False where there was none."""
    return bool(house.redis.delete(_key(house, "wish", project_id)))


def _first(found: Any) -> tuple[str, str] | None:
    """A training before a ranking, since it ranks too."""
    wishes: dict[str, str] = {key.decode(): value.decode() for key, value in found.items()}
    return next(((kind, wishes[kind]) for kind in KINDS if kind in wishes), None)


def _key(house: House, what: str, project_id: int) -> str:
    """Installations that share a Redis differ in their queue's name."""
    return f"{house.settings.queue_prefix}:{what}:{project_id}"


def _take(house: House, project_id: int) -> tuple[str, str] | None:
    pipe = house.redis.pipeline()
    pipe.hgetall(_key(house, "wish", project_id))
    pipe.delete(_key(house, "wish", project_id))
    return _first(pipe.execute()[0])


def _enqueue(house: House, what: str, project_id: int, timeout: int) -> str:
    if not house.redis.set(_key(house, f"waiting-{what}", project_id), "1", nx=True, ex=300):
        return "coalesced"
    try:
        house.queue.enqueue(
            f"ml_backend.loop.worker.run_{what}_job",
            project_id,
            job_timeout=timeout,
            result_ttl=RESULT_SECONDS,
            failure_ttl=RESULT_SECONDS,
        )
    except RedisError:
        house.redis.delete(_key(house, f"waiting-{what}", project_id))
        raise
    return "queued"
