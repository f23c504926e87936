"""Reasons for annotators: written once, ahead of the queue, the same for every arm, and no end of syncs."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from ml_backend.loop.cycle import run_cycle
from ml_backend.loop.plan import changed_plan, save_plan
from ml_backend.loop.policy import Decision
from ml_backend.loop.reasons import EARLY, KEY, tell_reasons, told_sentence
from ml_backend.loop.reconcile import reconcile
from ml_backend.loop.sync import sync
from ml_backend.store.steering import Told
from ml_backend.store.tables import Item, Problem, PublishedItem
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
