"""Wishes and locks on a real Redis: bursts coalesce, one cycle at a time, and no wish is lost."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from ml_backend.loop import jobs
from ml_backend.loop.house import House
from ml_backend.settings import Settings
from tests.loop.conftest import until


@pytest.fixture
def rooms(redis_server: Any, tmp_path: Path) -> House:
    settings = Settings(
        _env_file=None, model_dir=tmp_path, redis_url=redis_server.url, queue_prefix=f"jobs-{uuid.uuid4().hex[:8]}"
    )
    return House(settings)


def test_a_burst_is_one_job_and_one_cycle(rooms: House) -> None:
    asked = [jobs.request_cycle(rooms, 1, "train", f"label {i}") for i in range(50)]
    assert asked == ["queued"] + ["coalesced"] * 49
    assert rooms.queue.count == 1
    ran: list[tuple[str, str]] = []
    jobs.started(rooms, "cycle", 1)
    jobs.work_off(rooms, 1, lambda kind, why: ran.append((kind, why)))
    assert ran == [("train", "label 49")]


def test_a_training_fulfils_a_ranking_too_and_projects_do_not_meet(rooms: House) -> None:
    jobs.request_cycle(rooms, 1, "rank", "plan 2")
    jobs.request_cycle(rooms, 1, "train", "10 new labels")
    jobs.request_cycle(rooms, 2, "rank", "plan 5")
    ran: list[tuple[str, str]] = []
    for project in (1, 2):
        jobs.work_off(rooms, project, lambda kind, why: ran.append((kind, why)))
    assert ran == [("train", "10 new labels"), ("rank", "plan 5")]


def test_a_wish_that_comes_while_a_cycle_runs_is_fulfilled_after_it(rooms: House) -> None:
    """Twelve workers and twelve wishes: never two cycles at a time, and the last wish is always seen."""
    running, most, ran = 0, 0, []
    guard = threading.Lock()
    first = threading.Event()

    def run(kind: str, why: str) -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        first.set()
        threading.Event().wait(0.01)
        with guard:
            running -= 1
            ran.append(why)

    def worker(number: int) -> None:
        jobs.request_cycle(rooms, 1, "train", f"wish {number}")
        jobs.started(rooms, "cycle", 1)
        jobs.work_off(rooms, 1, run)

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first.is_set()
    assert most == 1
    assert not jobs.has_wish(rooms, 1), "no wish is left behind"
    assert not jobs.is_busy(rooms, 1)


def test_the_lock_of_a_dead_worker_frees_itself(rooms: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOCK_SECONDS", 1)
    dead = rooms.redis.lock(jobs._key(rooms, "lock", 1), timeout=1, thread_local=False)
    assert dead.acquire(blocking=False)
    with jobs.project_lock(rooms, 1) as held:
        assert not held
    until(lambda: not jobs.is_running(rooms, 1), 5, "the lock's end")
    with jobs.project_lock(rooms, 1) as held:
        assert held
        until(lambda: rooms.redis.pttl(jobs._key(rooms, "lock", 1)) > 900, 5, "the lock's renewal")


def test_without_redis_a_request_says_so_and_raises_nothing(tmp_path: Path) -> None:
    rooms = House(Settings(_env_file=None, model_dir=tmp_path, redis_url="redis://127.0.0.1:9/0"))
    assert jobs.request_cycle(rooms, 1, "train", "test") == "unavailable"
    assert jobs.request_reconcile(rooms, 1) == "unavailable"
    with pytest.raises(ValueError, match="Unknown cycle kind 'dance'"):
        jobs.request_cycle(rooms, 1, "dance", "test")
