"""The ledger on SQLite, and on PostgreSQL where it is installed."""

from __future__ import annotations

import importlib
import pkgutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select

from ml_backend import store
from ml_backend.store.ledger import Ledger, next_number, note_problem, project_by_key, solve_problems
from ml_backend.store.tables import Cycle, Item, Problem, Project, Table


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'ledger.sqlite3'}"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    opened = Ledger(url)
    yield opened
    opened.close()


def add_project(ledger: Ledger, number: int = 1) -> int:
    with ledger.session() as session:
        fields: dict[str, Any] = {"studio_url": "http://127.0.0.1:1", "studio_id": number, "key": f"{number}.99"}
        project = Project(**fields, webhook_secret="s")
        session.add(project)
        session.flush()
        return project.id


def test_the_migrations_make_exactly_the_tables_of_the_code(ledger: Ledger) -> None:
    for module in pkgutil.iter_modules(store.__path__, "ml_backend.store."):
        importlib.import_module(module.name)  # tables stand in more modules than one
    with ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, Table.metadata) == []


def test_several_processes_may_open_a_new_ledger_at_once(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda _: Ledger(url), range(4)))
    for ledger in opened:
        with ledger.session() as session:
            assert session.scalars(select(Project)).all() == []
        ledger.close()


def test_a_sqlite_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.sqlite3"
    Ledger(f"sqlite:///{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_upsert_inserts_and_updates(ledger: Ledger) -> None:
    project = add_project(ledger)

    def row(task: int, label: str | None) -> dict[str, Any]:
        return {"project_id": project, "task_id": task, "label": label}

    with ledger.session() as session:
        ledger.upsert(session, Item, [row(1, None), row(2, "a")], ("project_id", "task_id"))
        ledger.upsert(session, Item, [row(2, "b"), row(3, None)], ("project_id", "task_id"))
        ledger.upsert(session, Item, [], ("project_id", "task_id"))
    with ledger.session() as session:
        found = session.execute(select(Item.task_id, Item.label).order_by(Item.task_id)).all()
        assert [tuple(one) for one in found] == [(1, None), (2, "b"), (3, None)]


def test_problems_are_counted_once_per_item_and_kind(ledger: Ledger) -> None:
    project = add_project(ledger)
    for _ in range(3):
        with ledger.session() as session:
            note_problem(session, project, "image_missing", "gone", 7)
    with ledger.session() as session:
        assert session.scalars(select(Problem.count)).all() == [3]
        solve_problems(session, project, "image_missing", 7)
    with ledger.session() as session:
        assert session.scalars(select(Problem.solved_at)).one() is not None
        note_problem(session, project, "image_missing", "gone again", 7)
    with ledger.session() as session:
        row = session.scalars(select(Problem)).one()
        assert (row.count, row.message, row.solved_at) == (4, "gone again", None)
        assert row.first_seen.tzinfo is not None


def test_numbers_count_per_project_and_gone_projects_are_not_found(ledger: Ledger) -> None:
    one, two = add_project(ledger, 1), add_project(ledger, 2)
    with ledger.session() as session:
        session.add(Cycle(project_id=one, number=1, kind="train", trigger="test"))
        session.flush()
        assert (next_number(session, Cycle, one), next_number(session, Cycle, two)) == (2, 1)
        assert project_by_key(session, "1.99") is not None
        session.get_one(Project, one).state = "gone"
        session.flush()
        assert project_by_key(session, "1.99") is None


def add_and_fail(ledger: Ledger) -> None:
    with ledger.session() as session:
        session.add(Project(studio_url="u", studio_id=5, key="5.1", webhook_secret="s"))
        session.flush()
        raise RuntimeError


def test_an_exception_rolls_everything_back(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError):
        add_and_fail(ledger)
    with ledger.session() as session:
        assert session.scalars(select(Project)).all() == []
