"""What people see of a running cycle, and how it stops when they ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from ml_backend.logs import tell_listener
from ml_backend.loop import jobs, watch
from ml_backend.loop.cycle import run_cycle
from ml_backend.loop.house import House
from ml_backend.loop.kept import VersionError, keep, kept_publications, kept_trainings
from ml_backend.loop.learning import forget_old, model_key
from ml_backend.loop.sync import UnusableProjectError
from ml_backend.loop.watch import CycleCancelledError, cancel, watched
from ml_backend.settings import Settings
from ml_backend.store.runs import CycleRun
from ml_backend.store.tables import Cycle, Problem, Project, Publication


@pytest.fixture
def rooms(tmp_path: Path, redis_server: Any) -> Iterator[House]:
    url = redis_server.url.removesuffix("/0") + "/6"
    house = House(Settings(_env_file=None, model_dir=tmp_path, redis_url=url))
    house.redis.flushdb()
    yield house
    house.ledger.close()


@pytest.fixture
def project(rooms: House) -> int:
    with rooms.ledger.session() as session:
        row = Project(studio_url="http://127.0.0.1:9", studio_id=1, key="1.1", webhook_secret="s", state="connected")
        session.add(row)
        session.flush()
        return row.id


def add_cycle(rooms: House, project: int, number: int = 1, **fields: Any) -> int:
    with rooms.ledger.session() as session:
        cycle = Cycle(project_id=project, number=number, kind="train", trigger="test", **fields)
        session.add(cycle)
        session.flush()
        return cycle.id


def log_of(rooms: House, cycle: int) -> list[str]:
    with rooms.ledger.session() as session:
        return [line.partition(" ")[2] for line in session.get_one(CycleRun, cycle).log]


def test_the_last_lines_are_kept_and_logged_ones_among_them(rooms: House, project: int) -> None:
    cycle = add_cycle(rooms, project)
    logger = structlog.wrap_logger(structlog.PrintLogger(), processors=[tell_listener, lambda *_: ""])
    with watched(rooms, cycle) as seen:
        seen.begin("sync")
        logger.info("media", done=5, total=9)
        for i in range(watch.LINES):
            seen.say(f"line {i}")
        watch.progress("training", 3, 3)
    logger.info("nobody listens any more")
    lines = log_of(rooms, cycle)
    assert len(lines) == watch.LINES
    assert lines[-2:] == [f"line {watch.LINES - 1}", "training: 3 of 3"]
    with watched(rooms, cycle) as seen:
        seen.begin("sync")
        logger.info("media", done=5, total=9)
    assert log_of(rooms, cycle) == ["sync ...", "media done=5 total=9"]


def test_progress_is_told_every_few_seconds_alone(rooms: House, project: int) -> None:
    cycle = add_cycle(rooms, project)
    with watched(rooms, cycle):
        for done in range(1, 101):
            watch.progress("training", done, 100)
    assert log_of(rooms, cycle) == ["training: 1 of 100", "training: 100 of 100"]


def test_outside_a_cycle_nothing_is_checked_and_nobody_told() -> None:
    watch.check()
    watch.progress("training", 1, 2)


def test_a_wish_to_stop_reaches_the_computation(rooms: House, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.01)
    cycle = add_cycle(rooms, project, number=7)
    with watched(rooms, cycle) as seen:
        watch.check()
        assert cancel(rooms, project, 7, author="ada")
        while seen.cancelled_by is None:
            seen._over.wait(0.01)
        for stop in (watch.check, lambda: watch.progress("training", 1, 9), lambda: seen.begin("rank")):
            with pytest.raises(CycleCancelledError, match="Cancelled by ada; the queue stays"):
                stop()


def test_what_does_not_run_cannot_be_stopped(rooms: House, project: int) -> None:
    add_cycle(rooms, project, number=7, status="published")
    add_cycle(rooms, project, number=8)  # of a release that kept nothing of a run
    assert not cancel(rooms, project, 7, author="ada")
    assert not cancel(rooms, project, 8, author="ada")
    assert not cancel(rooms, project, 9, author="ada")


def test_a_cancelled_cycle_is_no_failure(rooms: House, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(house: House, _studio: object, project_id: int) -> None:
        raise CycleCancelledError("Cancelled by ada; the queue stays as it was.")

    monkeypatch.setattr("ml_backend.loop.cycle.sync", asked)
    cycle = run_cycle(rooms, project, "train", "test")
    assert (cycle.status, cycle.phase) == ("cancelled", "sync")
    assert cycle.error == "Cancelled by ada; the queue stays as it was."
    assert "sync" in cycle.seconds
    with rooms.ledger.session() as session:
        assert session.query(Problem).count() == 0


def test_a_failed_cycle_leaves_its_lines(rooms: House, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UnusableProjectError("no config")

    monkeypatch.setattr("ml_backend.loop.cycle.sync", refuse)
    cycle = run_cycle(rooms, project, "train", "test")
    assert cycle.status == "failed"
    assert "sync ..." in log_of(rooms, cycle.id)


def test_a_wish_can_be_seen_and_withdrawn(rooms: House, project: int) -> None:
    assert jobs.wish(rooms, project) is None
    assert not jobs.withdraw(rooms, project)
    jobs.request_cycle(rooms, project, "rank", "new plan")
    assert jobs.wish(rooms, project) == ("rank", "new plan")
    jobs.request_cycle(rooms, project, "train", "asked")
    assert jobs.wish(rooms, project) == ("train", "asked")
    assert jobs.withdraw(rooms, project)
    assert jobs.work_off(rooms, project, lambda *_: pytest.fail("nothing was asked for")) == 0


def test_kept_versions_keep_their_models(rooms: House, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml_backend.loop.learning.KEEP_MODELS", 1)
    for number in (1, 2, 3):
        cycle = add_cycle(rooms, project, number=number, status="published", evidence_cycle=number)
        rooms.arrays.write(model_key(project, number), {})
        with rooms.ledger.session() as session:
            state = "live" if number == 3 else "retired" if number == 1 else "pruned"
            version = f"v{number}"
            row = Publication(project_id=project, cycle_id=cycle, model_version=version, total=0, published=0)
            row.state = state
            session.add(row)
    keep(rooms, project, "v1", author="ada")
    keep(rooms, project, "v1", author="ada")  # once more changes nothing
    with pytest.raises(VersionError, match="'v2' is not there any more"):
        keep(rooms, project, "v2", author="ada")
    assert kept_trainings(rooms, project) == {1}
    assert len(kept_publications(rooms, project)) == 1
    forget_old(rooms, project)
    assert [rooms.arrays.exists(model_key(project, number)) for number in (1, 2, 3)] == [True, False, True]
    keep(rooms, project, "v1", author="ada", kept=False)
    forget_old(rooms, project)
    assert not rooms.arrays.exists(model_key(project, 1))
