"""The control arm in a real Label Studio: served in its place, told to nobody, counted afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import select

from ml_backend.loop.cycle import run_cycle
from ml_backend.loop.gain import read_gain
from ml_backend.loop.plan import changed_plan
from ml_backend.loop.publish import PROPENSITY, ranking_key
from ml_backend.loop.responses import collect
from ml_backend.loop.sync import sync
from ml_backend.loop.upkeep import extend
from ml_backend.store.ledger import publication
from ml_backend.store.tables import ControlAnswer, PublishedItem
from tests.loop.conftest import Loop
from tests.loop.test_queue import QUIET

pytestmark = pytest.mark.studio

QUARTER = changed_plan(QUIET, {"control": 0.25})


def published(loop: Loop) -> dict[int, PublishedItem]:
    """Items of the live version by task, best first."""
    with loop.house.ledger.session() as session:
        live = publication(session, loop.project, loop.row().live_version)
        assert live is not None
        query = select(PublishedItem).where(PublishedItem.publication_id == live.id).order_by(PublishedItem.rank)
        return {row.task_id: row for row in session.scalars(query)}


def test_control_items_are_served_in_their_place_and_counted_for_the_model_that_showed_them(loop: Loop) -> None:
    loop.create(120)
    loop.label_some(40)
    loop.start_backend()
    loop.connect(QUARTER)
    rows = published(loop)
    control = [task for task, row in rows.items() if row.arm == "control"]
    assert len(rows) == 80
    assert len(control) == 20
    assert all(rows[task].propensity == pytest.approx(1 / (80 - rows[task].rank)) for task in control)

    shown = {task: loop.studio.task(task)["predictions"][0] for task in list(rows)[:12]}
    assert len({tuple(sorted(prediction)) for prediction in shown.values()}) == 1
    assert not any("control" in str(prediction) for prediction in shown.values())

    served = loop.next_ids(12)
    assert served == list(rows)[:12]
    drawn = [task for task in served if task in control]
    assert 2 <= len(drawn) <= 4
    skipped = next(task for task in control if task not in served)
    loop.annotate(skipped, was_cancelled=True)
    sync(loop.house, loop.studio, loop.project)
    assert collect(loop.house, loop.project) == len(drawn) + 1
    with loop.house.ledger.session() as session:
        answers = {row.task_id: row for row in session.scalars(select(ControlAnswer))}
    assert answers.pop(skipped).status == "skipped"
    assert list(answers) == sorted(drawn)
    for task, row in answers.items():
        assert (row.predicted, row.label, row.cycle) == (rows[task].label, loop.truth[task], 1)

    cycle = run_cycle(loop.house, loop.project, "train", "test")
    assert cycle.status == "published", cycle.error
    assert cycle.metrics["control"]["measured"] == len(drawn)
    with loop.house.ledger.session() as session:
        gain = read_gain(session, loop.project)
    assert gain.remaining is not None
    assert gain.remaining.n == len(drawn)
    assert (gain.skipped, gain.cycles) == (1, (1, 1))
    assert set(drawn).isdisjoint(published(loop))


def test_a_head_that_is_extended_keeps_the_arm_of_every_item(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("publish", "upkeep"):
        monkeypatch.setattr(f"ml_backend.loop.{module}.head_length", lambda *_: 10)
    loop.create(60)
    loop.label_some(20)
    loop.start_backend()
    loop.connect(QUARTER)
    loop.next_ids(6)
    sync(loop.house, loop.studio, loop.project)
    assert extend(loop.house, loop.project, loop.studio) == 10
    arrays = loop.house.arrays.read(ranking_key(loop.project, loop.row().live_version or ""))
    assert arrays is not None
    rows = list(published(loop).values())
    drawn = ~np.isnan(arrays[PROPENSITY][:20])
    assert [row.arm == "control" for row in rows] == drawn.tolist()
    assert drawn.sum() == 5
    assert all("control: drawn at random" in row.reason for row in rows if row.arm == "control")


def test_a_queue_without_a_model_is_counted_as_random_labels_and_measures_nothing(loop: Loop) -> None:
    loop.create(40)
    loop.start_backend()
    loop.connect(QUARTER)
    loop.next_ids(5)
    sync(loop.house, loop.studio, loop.project)
    assert collect(loop.house, loop.project) == 5
    with loop.house.ledger.session() as session:
        gain = read_gain(session, loop.project)
    assert (gain.answered, gain.measured, gain.remaining) == (5, 0, None)
