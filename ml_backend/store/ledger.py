"""The ledger: one SQL database, SQLite by default and PostgreSQL by DATABASE_URL, migrated when it is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock
from sqlalchemy import Engine, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, sessionmaker

from ml_backend.store.tables import Change, Cycle, PlanVersion, Problem, Project, Publication, Table, now

MIGRATIONS = Path(__file__).parent / "migrations"


class Ledger:
    """Opens the database, brings it to the newest schema, hands out sessions.

    url: an SQLAlchemy URL. A SQLite file is created with mode 0600, since it holds the projects' tokens.
    """

    def __init__(self, url: str) -> None:
        self.url = url.replace("postgres://", "postgresql+psycopg://", 1).replace(
            "postgresql://", "postgresql+psycopg://", 1
        )
        self.engine = self._engine()
        self._session = sessionmaker(self.engine, expire_on_commit=False)
        self._migrate()

    def _engine(self) -> Engine:
        parsed = make_url(self.url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True)
        path = Path(parsed.database or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        engine = create_engine(parsed, connect_args={"timeout": 30})

        @event.listens_for(engine, "connect")
        def _configure(connection: Any, _record: Any) -> None:
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

        return engine

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        head = ScriptDirectory.from_config(config).get_current_head()
        with self.engine.connect() as connection:
            if MigrationContext.configure(connection).get_current_revision() == head:
                return
        with self._one_at_a_time(), self.engine.connect() as connection:
            if self.engine.dialect.name == "postgresql":
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(724911)")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def _one_at_a_time(self) -> AbstractContextManager[Any]:
        """SQLite cannot lock a schema change by itself; PostgreSQL uses an advisory lock."""
        parsed = make_url(self.url)
        return FileLock(f"{parsed.database}.lock") if parsed.get_backend_name() == "sqlite" else nullcontext()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that commits at the end and rolls back on an exception."""
        with self._session() as session, session.begin():
            yield session

    def upsert(self, session: Session, table: type[Table], rows: list[dict[str, Any]], keys: tuple[str, ...]) -> None:
        """Inserts rows (all with the same keys), or updates those whose `keys` exist."""
        if not rows:
            return
        insert = postgresql.insert if self.engine.dialect.name == "postgresql" else sqlite.insert
        statement = insert(table)
        updated = {name: statement.excluded[name] for name in rows[0] if name not in keys}
        session.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=updated), rows)

    def close(self) -> None:
        self.engine.dispose()


@lru_cache(maxsize=4)
def ledger(url: str) -> Ledger:
    """The process' ledger for a URL."""
    return Ledger(url)


def project_by_key(session: Session, key: str) -> Project | None:
    """The project behind Label Studio's '<id>.<epoch>'."""
    return session.scalar(
        select(Project).where(Project.key == key, Project.state != "gone").order_by(Project.id.desc())
    )


def current_plan(session: Session, project_id: int) -> PlanVersion | None:
    return session.scalar(
        select(PlanVersion).where(PlanVersion.project_id == project_id).order_by(PlanVersion.number.desc()).limit(1)
    )


def newest_cycle(session: Session, project_id: int, **conditions: Any) -> Cycle | None:
    """The latest cycle, optionally with conditions on its columns (status='published', kind='train')."""
    query = select(Cycle).where(Cycle.project_id == project_id).filter_by(**conditions)
    return session.scalar(query.order_by(Cycle.number.desc()).limit(1))


def publication(session: Session, project_id: int, model_version: str | None) -> Publication | None:
    return session.scalar(
        select(Publication).where(Publication.project_id == project_id, Publication.model_version == model_version)
    )


def next_number(session: Session, table: type[Cycle] | type[PlanVersion], project_id: int) -> int:
    newest = session.scalar(select(func.max(table.number)).where(table.project_id == project_id))
    return (newest or 0) + 1


def note_problem(session: Session, project_id: int, kind: str, message: str, task_id: int = 0) -> None:
    """Counts a problem; the same kind on the same item is one row."""
    found = session.scalar(
        select(Problem).where(Problem.project_id == project_id, Problem.task_id == task_id, Problem.kind == kind)
    )
    if found is None:
        session.add(Problem(project_id=project_id, task_id=task_id, kind=kind, message=message))
    else:
        found.count, found.message, found.last_seen, found.solved_at = found.count + 1, message, now(), None


def solve_problems(session: Session, project_id: int, kind: str, task_id: int = 0) -> None:
    for problem in session.scalars(
        select(Problem).where(
            Problem.project_id == project_id,
            Problem.task_id == task_id,
            Problem.kind == kind,
            Problem.solved_at.is_(None),
        )
    ):
        problem.solved_at = now()


def record_change(session: Session, project_id: int, author: str, what: str) -> None:
    session.add(Change(project_id=project_id, author=author, what=what))
