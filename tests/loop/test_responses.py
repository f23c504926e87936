"""Control answers: counted for the version that served them, kept when versions go, and silence is named."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from ml_backend.loop.house import House
from ml_backend.loop.responses import collect
from ml_backend.settings import Settings
from ml_backend.store.ledger import Ledger
from ml_backend.store.tables import ControlAnswer, Cycle, Item, Project, Publication, PublishedItem, Switch

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def rooms(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    url = str(request.getfixturevalue("postgres_url")) if request.param == "postgresql" else None
    house = House(Settings(_env_file=None, model_dir=tmp_path, database_url=url))
    with house.ledger.session() as session:
        session.add(Project(studio_url="u", studio_id=1, key="1.1", webhook_secret="s", annotators=1))
        session.flush()
        session.add_all(Item(project_id=1, task_id=task, url="u") for task in range(1, 41))
    yield house
    house.ledger.close()


def publish(ledger: Ledger, number: int, order: list[int], control: list[int], minute: float) -> None:
    """Version v<number> with an order of tasks, live from a minute on; `control` tasks were drawn."""
    with ledger.session() as session:
        cycle = Cycle(project_id=1, number=number, kind="train", trigger="test")
        session.add(cycle)
        session.flush()
        version = Publication(
            project_id=1, cycle_id=cycle.id, model_version=f"v{number}", total=len(order), published=len(order)
        )
        session.add(version)
        session.flush()
        for rank, task in enumerate(order):
            drawn = task in control
            session.add(
                PublishedItem(
                    publication_id=version.id,
                    task_id=task,
                    rank=rank,
                    score=rank / len(order),
                    label=f"by v{number}",
                    arm="control" if drawn else "ranked",
                    propensity=1 / (len(order) - rank) if drawn else None,
                )
            )
    switch(ledger, f"v{number}", minute)


def switch(ledger: Ledger, version: str, minute: float) -> None:
    with ledger.session() as session:
        session.add(Switch(project_id=1, model_version=version, at=START + timedelta(minutes=minute)))


def answer(
    ledger: Ledger, task: int, minute: float, label: str | None = "cat", status: str = "labeled", lead: float = 5
) -> None:
    """What a sync would have kept of an annotation."""
    moment = (START + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
    with ledger.session() as session:
        item = session.get_one(Item, (1, task))
        item.status, item.label, item.annotation_id = status, label, task
        item.labeled_at, item.lead_time = moment, lead


def kept(rooms: House) -> dict[int, tuple[str, str, str | None]]:
    with rooms.ledger.session() as session:
        rows = session.scalars(select(ControlAnswer).order_by(ControlAnswer.task_id))
        return {row.task_id: (row.model_version, row.status, row.label) for row in rows}


def test_only_drawn_items_count_and_only_for_the_version_that_served_them(rooms: House) -> None:
    publish(rooms.ledger, 1, [1, 2, 3, 4, 5], [2, 5], minute=0)
    answer(rooms.ledger, 1, 1)
    answer(rooms.ledger, 2, 2)
    assert collect(rooms, 1) == 1
    publish(rooms.ledger, 2, [5, 4, 3], [3], minute=10)
    answer(rooms.ledger, 5, 11, "dog")  # drawn in v1, ranked first by v2 that served it
    answer(rooms.ledger, 3, 12, "dog")
    assert collect(rooms, 1) == 1
    assert kept(rooms) == {2: ("v1", "answered", "cat"), 3: ("v2", "answered", "dog")}
    with rooms.ledger.session() as session:
        row = session.get_one(ControlAnswer, (1, 2))
        assert (row.cycle, row.rank, row.predicted, row.propensity) == (1, 1, "by v1", 0.25)
        assert row.answered_at == START + timedelta(minutes=2)
    assert collect(rooms, 1) == 0


def test_an_item_opened_before_a_switch_belongs_to_the_version_that_showed_it(rooms: House) -> None:
    publish(rooms.ledger, 1, [1, 2], [1], minute=0)
    publish(rooms.ledger, 2, [2, 1], [2], minute=10)
    answer(rooms.ledger, 1, 10.5, lead=60)
    answer(rooms.ledger, 2, 10.5, lead=60)
    collect(rooms, 1)
    assert kept(rooms) == {1: ("v1", "answered", "cat")}


def test_a_rollback_makes_the_old_version_serve_again(rooms: House) -> None:
    publish(rooms.ledger, 1, [1, 2, 3], [1, 3], minute=0)
    publish(rooms.ledger, 2, [2, 3, 1], [2], minute=10)
    switch(rooms.ledger, "v1", 20)
    answer(rooms.ledger, 1, 5)
    answer(rooms.ledger, 2, 15)
    answer(rooms.ledger, 3, 25)
    collect(rooms, 1)
    assert {task: version for task, (version, _, _) in kept(rooms).items()} == {1: "v1", 2: "v2", 3: "v1"}


def test_skips_and_unusable_answers_are_named_and_a_later_answer_counts(rooms: House) -> None:
    publish(rooms.ledger, 1, [1, 2, 3], [1, 2, 3], minute=0)
    answer(rooms.ledger, 1, 1, None, "skipped")
    answer(rooms.ledger, 2, 2, None, "unusable")
    answer(rooms.ledger, 3, 3)
    assert collect(rooms, 1) == 3
    assert [status for _, status, _ in kept(rooms).values()] == ["skipped", "unusable", "answered"]
    publish(rooms.ledger, 2, [1], [], minute=10)
    answer(rooms.ledger, 1, 11, "dog")
    answer(rooms.ledger, 3, 12, "dog")
    assert collect(rooms, 1) == 2
    assert kept(rooms)[1] == ("v1", "answered", "dog")
    assert kept(rooms)[3] == ("v1", "answered", "dog"), "a correction"


def test_a_withdrawn_answer_is_forgotten_and_a_deleted_task_is_not(rooms: House) -> None:
    publish(rooms.ledger, 1, [1, 2], [1, 2], minute=0)
    answer(rooms.ledger, 1, 1)
    answer(rooms.ledger, 2, 2)
    collect(rooms, 1)
    with rooms.ledger.session() as session:
        item = session.get_one(Item, (1, 1))
        item.status, item.label, item.annotation_id, item.labeled_at = "unlabeled", None, None, None
        session.delete(session.get_one(Item, (1, 2)))
    assert collect(rooms, 1) == 1
    assert list(kept(rooms)) == [2]


def test_an_item_labeled_far_ahead_of_the_queue_was_not_served_by_it(rooms: House) -> None:
    publish(rooms.ledger, 1, list(range(1, 41)), [3, 9, 40], minute=0)
    for task in (3, 9, 40):
        answer(rooms.ledger, task, 1)
    collect(rooms, 1)
    assert {task: status for task, (_, status, _) in kept(rooms).items()} == {
        3: "answered",
        9: "answered",
        40: "out_of_turn",
    }
    answer(rooms.ledger, 40, 2, "dog")
    assert collect(rooms, 1) == 0
    assert kept(rooms)[40] == ("v1", "out_of_turn", "cat"), "it stays what it was"


def test_an_answer_without_a_moment_or_from_before_the_first_version_is_not_counted(rooms: House) -> None:
    publish(rooms.ledger, 1, [1, 2], [1, 2], minute=0)
    answer(rooms.ledger, 1, -5)
    answer(rooms.ledger, 2, 1)
    with rooms.ledger.session() as session:
        session.get_one(Item, (1, 2)).labeled_at = "yesterday"
    assert collect(rooms, 1) == 0
