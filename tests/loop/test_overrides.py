"""Overrides: first, last, or not at all; kept by every ranking, outside the control arm, and undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.loop.control import with_control
from ml_backend.loop.house import House
from ml_backend.loop.overrides import (
    Held,
    OverrideError,
    apply_overrides,
    read_held,
    read_overrides,
    served,
    set_override,
    undo_override,
)
from ml_backend.loop.plan import Plan, changed_plan
from ml_backend.loop.pool import read_pool
from ml_backend.loop.ranking import Ranking, rank
from ml_backend.settings import Settings
from ml_backend.store.tables import Change, Item, Project
from plugins.contract import IntArray
from tests.loop.test_ranking import SCORED, evidence

QUARTER = changed_plan(SCORED, {"control": 0.25})
NOBODY = np.empty(0, dtype=np.int64)


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[House]:
    """Eight unlabeled items of one project, and no Redis: what is asked of it is 'unavailable'."""
    house = House(Settings(_env_file=None, model_dir=tmp_path, redis_url="redis://127.0.0.1:1/0"))
    with house.ledger.session() as session:
        session.add(Project(studio_url="http://127.0.0.1:9", studio_id=1, key="1.1", webhook_secret="s"))
        session.flush()
        session.add_all(
            Item(project_id=1, task_id=task, content=f"{task:064x}", url=f"u{task}") for task in range(10, 18)
        )
    yield house
    house.ledger.close()


def slow(order: list[int], front: list[int], back: list[int]) -> list[int]:
    """One by one, as a person would sort cards."""
    others = [item for item in order if item not in front and item not in back]
    return [*front, *others, *back]


def steered(held: Held, skipped: IntArray = NOBODY) -> tuple[Ranking, Ranking]:
    """The ranking with its control arm, before and after the overrides."""
    given_ = evidence(60)
    last = held.undrawn(skipped)
    drawn = with_control(rank(given_, QUARTER, labels=36, last=last), given_.task_id, QUARTER, 3, last)
    return drawn, apply_overrides(drawn, held)


@given(data=st.data())
def test_the_order_is_what_a_slow_hand_would_lay(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, 59), unique=True, max_size=12))
    cut = data.draw(st.integers(0, len(chosen)))
    skipped = np.array(data.draw(st.lists(st.integers(0, 59), unique=True, max_size=5)), dtype=np.int64)
    held = Held(np.array(chosen[:cut], dtype=np.int64), np.array(chosen[cut:], dtype=np.int64))
    drawn, after = steered(held, skipped)
    assert after.order.tolist() == slow(drawn.order.tolist(), chosen[:cut], chosen[cut:])
    assert sorted(after.order.tolist()) == list(range(60))
    rest = 60 - len(set(chosen) | set(skipped.tolist()))
    seen = [(int(item), after.drawn(place)) for place, item in enumerate(after.order)]
    arm = [(place - cut, propensity) for place, (_, propensity) in enumerate(seen) if propensity is not None]
    assert not {item for item, propensity in seen if propensity is not None} & {*chosen, *skipped.tolist()}
    assert all(propensity == pytest.approx(1 / (rest - place)) for place, propensity in arm), "of those that were left"
    assert len(arm) in (rest // 4, rest // 4 + 1)


def test_a_control_item_that_is_pinned_is_control_no_more_and_says_who_pinned_it() -> None:
    _, free = steered(Held())
    place = next(place for place in range(60) if free.drawn(place) is not None)
    item = int(free.order[place])
    _, after = steered(Held(front=np.array([item]), sentences={item: "pinned to the front by Ada"}))
    assert int(after.order[0]) == item
    assert after.drawn(0) is None
    assert after.reason(0) == "pinned to the front by Ada"
    assert set(after.detail(0)) == {"margin"}


def test_before_there_is_a_model_a_pin_counts_too() -> None:
    given_ = evidence(20, counts=(3, 0, 0, 0))
    held = Held(front=np.array([7]), back=np.array([2]), sentences={7: "pinned", 2: "sent"})
    last = held.undrawn(NOBODY)
    drawn = with_control(rank(given_, Plan(), labels=3, last=last), given_.task_id, Plan(), 1, last)
    after = apply_overrides(drawn, held)
    assert (int(after.order[0]), int(after.order[-1])) == (7, 2)
    assert (after.reason(0), after.drawn(0), after.drawn(19)) == ("pinned", None, None)
    assert after.drawn(1) == pytest.approx(1 / 18)


def test_they_are_kept_with_their_author_in_order_and_can_be_undone(rooms: House) -> None:
    for task in (13, 11, 12):
        assert set_override(rooms, 1, task, "front", author="Ada") == "unavailable"
    set_override(rooms, 1, 13, "front", author="Ben")
    set_override(rooms, 1, 10, "back", author="Ada")
    set_override(rooms, 1, 17, "exclude", author="Ada")
    with rooms.ledger.session() as session:
        held = read_held(session, 1, np.arange(10, 18))
        assert held.front.tolist() == [1, 2, 3], "pinned again, 13 is behind"
        assert held.back.tolist() == [0]
        assert held.sentences[3] == "pinned to the front by Ben"
        assert read_held(session, 1, np.array([12, 99])).front.tolist() == [0], "of a smaller pool"
        assert [item.task_id for item in session.query(Item).filter(served(1)).all()] == list(range(10, 17))
    undo_override(rooms, 1, 17, author="Cai")
    undo_override(rooms, 1, 11, author="Cai")
    with rooms.ledger.session() as session:
        assert [(row.task_id, row.kind) for row in read_overrides(session, 1)] == [
            (12, "front"),
            (13, "front"),
            (10, "back"),
        ]
        said = [(row.author, row.what) for row in session.query(Change).order_by(Change.id)]
        assert said[0] == ("Ada", "task 13 pinned to the front")
        assert said[-2:] == [
            ("Cai", "task 17 is no longer excluded from the queue"),
            ("Cai", "task 11 is no longer pinned to the front"),
        ]


def test_what_cannot_be_is_refused_with_a_sentence(rooms: House) -> None:
    with rooms.ledger.session() as session:
        session.get_one(Item, (1, 12)).status = "labeled"
    with pytest.raises(OverrideError, match=r"Unknown override 'top'\. Available: front, back, exclude"):
        set_override(rooms, 1, 10, "top", author="Ada")
    with pytest.raises(OverrideError, match="Task 99 is not among"):
        set_override(rooms, 1, 99, "front", author="Ada")
    with pytest.raises(OverrideError, match="Task 12 is labeled already"):
        set_override(rooms, 1, 12, "front", author="Ada")
    with pytest.raises(OverrideError, match="Task 10 has no override"):
        undo_override(rooms, 1, 10, author="Ada")


def test_an_excluded_item_is_in_no_pool_but_its_label_is_learned(rooms: House) -> None:
    for task in (10, 17):
        set_override(rooms, 1, task, "exclude", author="Ada")
    with rooms.ledger.session() as session:
        project = session.get_one(Project, 1)
        labeled = session.get_one(Item, (1, 17))
        labeled.status, labeled.label = "labeled", "cat"
    pool = read_pool(rooms, rooms.studio(project), 1, ("cat", "dog"))
    assert pool.task_id.tolist() == list(range(11, 17))
    assert pool.labeled_task_id.tolist() == [17]
