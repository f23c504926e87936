"""How a project stands: when the next training comes, how much of the queue is ranked, how far a run is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from benchmarks.filled_ledger import fill
from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan, Policy
from ml_backend.server.health_check import Doctor
from ml_backend.server.machines import Lookout, Machines, look, waiting_wish
from ml_backend.server.overview import Standing, next_training, read_standing, verdict
from ml_backend.server.pages.frame import environment
from ml_backend.server.progress import estimate, read_progress
from ml_backend.store.tables import Cycle, Project, now
from ml_backend.studio.doctor import Check

AT = now()


def standing(**changes: Any) -> Standing:
    values: dict[str, Any] = {
        "project": Project(state="connected", fresh_labels=0, live_version="v1"),
        "plan": Plan(policy=Policy(new_labels=10, minutes=30)),
        "plan_number": 1,
        "items": {"unlabeled": 80, "labeled": 20},
        "problems": (),
        "item_problems": {},
        "waiting": 60,
        "behind": 10,
        "last": None,
        "trained": None,
        "wish": None,
        "at": AT,
    }
    return Standing(**{**values, **changes})


def trained(minutes: float) -> Cycle:
    return Cycle(number=3, kind="train", status="published", started_at=AT - timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "after 10 more labels, or 30 minutes after the last with at least one"),
        ({"fresh": 9, "trained": trained(10)}, "after 1 more label, or in 20 minutes"),
        ({"fresh": 3, "trained": trained(40)}, "within a minute or two"),
        ({"fresh": 3}, "after 7 more labels, or 30 minutes after the last with at least one"),
        ({"plan": Plan(policy=Policy(paused=True))}, "only when you ask for it; the plan pauses it"),
        ({"wish": ("train", "10 new labels")}, "queued: 10 new labels"),
        ({"state": "gone"}, "none while the project is not connected"),
        ({"last": Cycle(kind="train", status="running")}, "under way"),
    ],
)
def test_when_the_next_training_comes(changes: dict[str, Any], words: str) -> None:
    fields = {"fresh_labels": changes.pop("fresh", 0), "state": changes.pop("state", "connected")}
    assert next_training(standing(project=Project(**fields), **changes)) == words


def test_the_share_of_the_queue_that_is_ranked() -> None:
    assert standing().coverage == 70 / 80
    assert standing(waiting=90).coverage == 1.0  # labels of before the next sync
    assert standing(items={"labeled": 100}).coverage is None


@pytest.mark.parametrize(
    ("changes", "word", "action"),
    [
        ({}, "healthy", "train"),
        ({"project": Project(state="connecting", fresh_labels=0)}, "connecting", ""),
        ({"project": Project(state="connected", fresh_labels=0, live_version=None)}, "no queue", "train"),
        ({"items": {"labeled": 3}}, "done", ""),
        ({"waiting": 0, "behind": 0}, "empty queue", "train"),
        ({"plan": Plan(policy=Policy(paused=True))}, "paused", "train"),
        ({"item_problems": {"image_missing": 1, "unknown_label": 9}}, "images", "retry-media"),
        ({"problems": (("cycle_failed", "old", 1),)}, "healthy", "train"),
        ({"problems": (("version_lost", "gone", 1),)}, "problem", "look-again"),
        ({"problems": (("config_other", "no choices", 1),)}, "problem", ""),
        ({"last": Cycle(number=4, status="cancelled", phase="learn")}, "healthy", "train"),
        ({"last": Cycle(number=4, status="running", kind="rank", phase="rank")}, "at work", ""),
    ],
)
def test_what_is_wrong_has_one_button(changes: dict[str, Any], word: str, action: str) -> None:
    workers: Any = ("one",)
    said = verdict(standing(**changes), Machines(workers, 0))
    assert (said.word, said.action) == (word, action)
    assert said.sentence.endswith(".") or word == "problem"


def test_without_redis_that_is_said_first() -> None:
    assert verdict(standing(last=Cycle(status="failed")), Machines((), 0, "Redis does not answer.")).word == "no Redis"


def test_redis_that_is_away_is_a_sentence(rooms: House) -> None:
    away = House(rooms.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    assert look(away).problem.startswith("Redis does not answer (")
    assert look(rooms) == Machines((), 0)


def test_counts_agree_with_a_slow_count(rooms: House) -> None:
    number = fill(rooms, 200, cycles=6)
    with rooms.ledger.session() as session:
        found = read_standing(session, session.get_one(Project, number), None)
    assert found.items == {"labeled": 20, "unlabeled": 180}
    assert (found.waiting, found.behind, found.coverage) == (180, 0, 1.0)
    assert found.item_problems == {"image_missing": 12}
    assert found.trained is not None
    assert (found.trained.number, found.plan_number) == (5, 12)


@pytest.mark.parametrize("phase", ["sync", "learn", "rank", "publish"])
@pytest.mark.parametrize("elapsed", [0.0, 3.0, 100.0])
def test_time_left_is_what_a_literal_sum_says(phase: str, elapsed: float) -> None:
    earlier = [{"sync": 1.0, "learn": 8.0, "rank": 2.0, "publish": 3.0}, {"sync": 3.0, "learn": 12.0, "publish": 3.0}]
    usual = [("sync", 2.0), ("learn", 10.0), ("rank", 1.0), ("publish", 3.0)]
    left, seen = 0.0, False
    for name, seconds in usual:
        if seen:
            left += seconds
        if name == phase:
            left += max(0.0, seconds - elapsed)
            seen = True
    assert estimate(earlier, phase, elapsed) == pytest.approx((1 - left / 16, left, elapsed > dict(usual)[phase]))


@pytest.mark.parametrize(("earlier", "phase"), [([], "learn"), ([{"learn": 1.0}], "done"), ([{}], "learn")])
def test_nothing_is_guessed_from_nothing(earlier: list[dict[str, float]], phase: str) -> None:
    assert estimate(earlier, phase, 1.0) is None


def test_progress_of_a_cycle_that_an_older_release_began(rooms: House) -> None:
    with rooms.ledger.session() as session:
        project = Project(studio_url="u", studio_id=1, key="1.1", webhook_secret="s")
        session.add(project)
        session.flush()
        cycle = Cycle(project_id=project.id, number=1, kind="train", trigger="t", started_at=now())
        session.add(cycle)
        session.flush()
        found = read_progress(session, cycle)
    assert (found.share, found.left, found.log, found.machine) == (None, None, (), "")


def test_a_visitor_does_not_wait_for_an_examination_that_hangs(rooms: House, monkeypatch: pytest.MonkeyPatch) -> None:
    began, end = threading.Event(), threading.Event()

    def hang(_house: House, _project: int) -> list[Check]:
        began.set()
        end.wait(30)
        return []

    monkeypatch.setattr("ml_backend.server.health_check.project_checks", hang)
    monkeypatch.setattr("ml_backend.server.health_check.PATIENCE", 0.01)
    doctor = Doctor(rooms)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(doctor.examine, 1)
        assert began.wait(30)
        assert doctor.examine(1) is None
        end.set()
        assert first.result(30) is not None
    assert environment().get_template("health.html").render(examined=None, project=Project(id=1))


def test_a_redis_that_is_away_is_left_alone_for_a_while(rooms: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def away(_house: House) -> Machines:
        asked.append(1)
        return Machines((), 0, "Redis does not answer.")

    monkeypatch.setattr("ml_backend.server.machines.look", away)
    monkeypatch.setattr("ml_backend.server.machines.FRESH", -1.0)
    lookout = Lookout(rooms)
    assert [lookout.machines().problem for _ in range(3)] == ["Redis does not answer."] * 3
    assert len(asked) == 1
    assert waiting_wish(rooms, 1, lookout.machines()) is None


def test_the_doctor_is_asked_once_a_minute(rooms: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def checks(_house: House, project_id: int) -> list[Check]:
        asked.append(project_id)
        return [Check("x", True, "fine")]

    monkeypatch.setattr("ml_backend.server.health_check.project_checks", checks)
    doctor = Doctor(rooms)
    first = doctor.examine(1)
    assert doctor.examine(1) is first
    assert doctor.examine(1, anew=True) is not first
    doctor.examine(2)
    assert asked == [1, 1, 2]
