"""A ledger of an earlier release, with data, opens as today's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, select, text

from ml_backend.store.ledger import MIGRATIONS, Ledger
from ml_backend.store.tables import ControlAnswer, Publication, PublishedItem, Switch

MOMENT = "2026-01-02 03:04:05.000000+00:00"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url")).replace("postgresql://", "postgresql+psycopg://", 1)
    return f"sqlite:///{tmp_path / 'ledger.sqlite3'}"


def migrate(engine: Engine, revision: str, *, down: bool = False) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)
        connection.commit()


def insert(engine: Engine, table: str, **values: Any) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)


@pytest.fixture
def first_release(url: str) -> str:
    """One project with one live and one staged version of one item each, as revision 0001 kept them."""
    engine = create_engine(url)
    migrate(engine, "0001")
    words = {"title": "t", "token": "", "label_config": "", "webhook_secret": "s", "state": "connected"}
    insert(engine, "projects", id=1, studio_url="u", studio_id=1, key="1.1", annotators=1, fresh_labels=0,
           created_at=MOMENT, **words)  # fmt: skip
    texts = {"trigger": "t", "status": "published", "phase": "done", "features": "", "kind": "train"}
    insert(engine, "cycles", id=1, project_id=1, number=1, plan_number=0, labels=0, pool=2, metrics="{}", seconds="{}",
           notes="[]", started_at=MOMENT, **texts)  # fmt: skip
    for number, state, live_at in ((1, "live", MOMENT), (2, "staged", None)):
        insert(engine, "publications", id=number, project_id=1, cycle_id=1, model_version=f"v{number}", total=1,
               published=1, state=state, created_at=MOMENT, live_at=live_at)  # fmt: skip
        insert(engine, "published_items", publication_id=number, task_id=7, rank=0, score=0.0, reason="r", detail="{}")
    engine.dispose()
    return url


def test_a_ledger_of_the_first_release_keeps_its_data(first_release: str) -> None:
    ledger = Ledger(first_release)
    with ledger.session() as session:
        items = session.scalars(select(PublishedItem).order_by(PublishedItem.publication_id)).all()
        assert [(item.task_id, item.arm, item.propensity, item.reason) for item in items] == [
            (7, "ranked", None, "r"),
            (7, "ranked", None, "r"),
        ]
        live = session.scalars(select(Publication).where(Publication.state == "live")).one()
        switch = session.scalars(select(Switch)).one()
        assert (switch.project_id, switch.model_version, switch.at) == (1, "v1", live.live_at)
        assert session.scalars(select(ControlAnswer)).all() == []
        session.add(PublishedItem(publication_id=1, task_id=8, rank=1, score=0.5, arm="control", propensity=0.5))
        session.add(Switch(project_id=1, model_version="v2"))
    with ledger.session() as session:
        assert len(session.scalars(select(Switch.id)).all()) == 2
    ledger.close()


def test_and_goes_back(first_release: str) -> None:
    Ledger(first_release).close()
    engine = create_engine(first_release)
    migrate(engine, "0001", down=True)
    with engine.connect() as connection:
        columns = connection.execute(text("SELECT * FROM published_items")).keys()
        assert not {"arm", "propensity"} & set(columns)
        assert connection.execute(text("SELECT count(*) FROM published_items")).scalar() == 2
    engine.dispose()
    migrate(engine, "head")
    engine.dispose()
