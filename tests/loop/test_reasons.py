"""Reasons for annotators: written once, ahead of the queue, the same for every arm, and no end of syncs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ml_backend.loop.cycle import run_cycle
from ml_backend.loop.house import House
from ml_backend.loop.plan import changed_plan, save_plan
from ml_backend.loop.policy import Decision
from ml_backend.loop.reasons import EARLY, KEY, tell_reasons, told_sentence
from ml_backend.loop.reconcile import reconcile
from ml_backend.loop.sync import sync
from ml_backend.settings import Settings
from ml_backend.store.steering import Told
from ml_backend.store.tables import Cycle, Item, Problem, Project, Publication, PublishedItem
from ml_backend.studio.client import StudioError
from tests.loop.conftest import CONFIG, Loop
from tests.loop.test_control_loop import published
from tests.loop.test_queue import QUIET

SHOWN = CONFIG.replace("<View>", f'<View><Header value="${KEY}"/>')
TOLD = changed_plan(QUIET, {"show_reasons": True, "control": 0.25})


def part(value: float, percentile: float, reason: str = "", weight: float = 1.0) -> dict[str, object]:
    return {"value": value, "percentile": percentile, "weight": weight, "reason": reason}


@pytest.mark.parametrize(
    ("detail", "says"),
    [
        ({}, EARLY),
        ({"margin": part(-0.1, 0.9, "between 3 and 8.")}, "Between 3 and 8."),
        ({"margin": part(-0.1, 0.9, "a"), "entropy": part(2, 0.5, "b", 3)}, "B."),
        ({"svm_margin": part(-0.1, 0.25)}, "Svm margin: higher than 25 % of what is left."),
    ],
)
def test_the_sentence_is_the_leading_scorers(detail: dict[str, dict[str, object]], says: str) -> None:
    assert told_sentence(detail) == says


def test_the_arm_of_an_item_is_no_part_of_its_sentence() -> None:
    """It is a function of the scorers' detail, which is made by the same lines for all."""
    assert told_sentence.__code__.co_varnames[: told_sentence.__code__.co_argcount] == ("detail",)


@pytest.mark.studio
def test_reasons_reach_the_tasks_once_and_syncs_come_to_rest(loop: Loop) -> None:
    loop.create(100, config=SHOWN)
    loop.label_some(40)
    loop.start_backend()
    loop.connect(TOLD)
    rows = published(loop)
    soon = list(rows)[:50]
    for task in soon[:8]:
        assert loop.studio.task(task)["data"][KEY] == told_sentence(rows[task].detail)
    assert KEY not in loop.studio.task(list(rows)[55])["data"]
    control = [task for task in soon if rows[task].arm == "control"]
    assert control
    assert not any("control" in str(loop.studio.task(task)["data"][KEY]) for task in control)
    assert (loop.studio.next_task(loop.number) or {})["data"][KEY]

    images = {task: row.url for task, row in items(loop).items()}
    again = sync(loop.house, loop.studio, loop.project)
    assert (again.changed, again.read >= 50, again.full) == (0, True, False), "the tasks are newer, their labels not"
    assert {task: row.url for task, row in items(loop).items()} == images
    assert loop.row().fresh_labels == 0
    assert tell_reasons(loop.house, loop.studio, loop.project) == 0, "a sentence that is there is not written again"
    assert reconcile(loop.house, loop.project).kind is None, "no training and no ranking comes of it"
    before = loop.last_cycle()
    assert tell_reasons(loop.house, loop.studio, loop.project) == 0
    assert before is not None

    cycle = run_cycle(loop.house, loop.project, "rank", "test")
    assert cycle.status == "published", cycle.error
    assert tell_reasons(loop.house, loop.studio, loop.project) == 0, "the same evidence says the same"
    served = loop.next_ids(2)
    with loop.house.ledger.session() as session:
        save_plan(session, loop.project, changed_plan(TOLD, {"show_reasons": False}), author="test")
    assert isinstance(reconcile(loop.house, loop.project), Decision)
    assert KEY not in loop.studio.task(next(task for task in soon if task not in served))["data"]
    with loop.house.ledger.session() as session:
        assert session.scalars(select(Told)).all() == []


def items(loop: Loop) -> dict[int, Item]:
    with loop.house.ledger.session() as session:
        return {row.task_id: row for row in session.scalars(select(Item))}


@pytest.mark.studio
def test_a_config_that_does_not_show_them_is_named_and_nothing_is_written(loop: Loop) -> None:
    ids = loop.create(40)
    loop.label_some(25)
    loop.start_backend()
    loop.connect(TOLD)
    assert not any(KEY in loop.studio.task(task)["data"] for task in ids[:5])
    with loop.house.ledger.session() as session:
        problem = session.scalars(select(Problem).where(Problem.kind == "reasons_hidden")).one()
        assert f'<Header value="${KEY}"/>' in problem.message
        assert session.scalars(select(PublishedItem)).first() is not None


class _Counting:
    """Label Studio's side as far as reasons go: a real one takes a tenth of a second for each task."""

    def __init__(self, tasks: int) -> None:
        self.data: dict[int, dict[str, str]] = {task: {"image": f"u{task}"} for task in range(1, tasks + 1)}
        self.patched: list[int] = []

    def call(self, method: str, path: str, **request: Any) -> Any:
        if method == "GET":
            chosen = json.loads(request["params"]["query"])["selectedItems"]["included"]
            return {"tasks": [{"id": task, "data": self.data[task]} for task in chosen if task in self.data]}
        task = int(path.split("/")[3])
        self.data[task] = request["json"]["data"]
        self.patched.append(task)
        return {}


@pytest.fixture
def told(tmp_path: Path) -> Iterator[House]:
    """A project of 80 ranked tasks whose plan wants reasons; every fourth is of the control arm."""
    house = House(Settings(_env_file=None, model_dir=tmp_path, redis_url="redis://127.0.0.1:1/0"))
    with house.ledger.session() as session:
        named = {"key": "1.1", "webhook_secret": "s", "label_config": SHOWN, "live_version": "v1"}
        session.add(Project(studio_url="http://127.0.0.1:9", studio_id=1, **named))
        session.flush()
        save_plan(session, 1, TOLD, author="test")
        cycle = Cycle(project_id=1, number=1, kind="train", trigger="t", status="published")
        session.add(cycle)
        session.flush()
        live = Publication(project_id=1, cycle_id=cycle.id, model_version="v1", total=80, published=80, state="live")
        session.add(live)
        session.flush()
        for rank in range(80):
            session.add(Item(project_id=1, task_id=rank + 1, url="u"))
            row = PublishedItem(
                publication_id=live.id, task_id=rank + 1, rank=rank, score=rank / 80, reason="control: x"
            )
            row.detail, row.arm = (
                {"margin": part(0.5, 0.5, f"between {rank} and 8")},
                "ranked" if rank % 4 else "control",
            )
            session.add(row)
    yield house
    house.ledger.close()


def test_only_what_is_served_soon_is_written_once_and_topped_up(told: House) -> None:
    studio: Any = _Counting(80)
    assert tell_reasons(told, studio, 1) == 50
    assert studio.patched == list(range(1, 51))
    assert studio.data[1] == {"image": "u1", KEY: "Between 0 and 8."}, "a control item, like the others"
    assert tell_reasons(told, studio, 1) == 0
    with told.ledger.session() as session:
        for task in (1, 2, 3):
            session.get_one(Item, (1, task)).status = "labeled"
    assert tell_reasons(told, studio, 1) == 3
    assert studio.patched[-3:] == [51, 52, 53]
    with told.ledger.session() as session:
        assert session.query(Told).count() == 50, "of labeled tasks nothing is kept"
        save_plan(session, 1, changed_plan(TOLD, {"show_reasons": False}), author="test")
    del studio.data[10]
    assert tell_reasons(told, studio, 1) == 49
    assert KEY in studio.data[1], "labeled: left alone"
    assert not any(KEY in studio.data[task] for task in range(4, 81) if task in studio.data)
    assert tell_reasons(told, studio, 1) == 0


def test_a_label_studio_that_refuses_is_a_problem_and_no_failure(told: House) -> None:
    class Refuses(_Counting):
        def call(self, method: str, path: str, **request: Any) -> Any:
            raise StudioError("Label Studio says no.", 403)

    studio: Any = Refuses(80)
    assert tell_reasons(told, studio, 1) == 0
    with told.ledger.session() as session:
        assert "Label Studio says no." in session.scalars(select(Problem.message)).one()
    better: Any = _Counting(80)
    assert tell_reasons(told, better, 1) == 50
    with told.ledger.session() as session:
        assert session.scalars(select(Problem.solved_at)).one() is not None
