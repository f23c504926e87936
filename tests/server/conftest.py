"""A house of its own for one test: ledger and arrays in a folder, a real Redis, projects with a published ranking."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import redis
from fastapi.testclient import TestClient
from PIL import Image

from ml_backend.learners.contract import Images
from ml_backend.loop.house import House
from ml_backend.loop.learning import make_learner, model_key
from ml_backend.loop.plan import Plan
from ml_backend.loop.publish import ranking_key
from ml_backend.server import accounts
from ml_backend.server.app import create_app
from ml_backend.server.auth import SECRET_HEADER
from ml_backend.settings import Settings
from ml_backend.store.arrays import Arrays
from ml_backend.store.tables import Cycle, Item, Project, Publication, PublishedItem

PAYLOADS = Path(__file__).parent / "payloads"
KEY = "26.1795371627"  # of the project in the recorded payloads
CONFIG: str = json.loads((PAYLOADS / "predict.json").read_text())["label_config"]
SECRET = "the project's secret"


def payload(name: str) -> dict[str, Any]:
    """A request as Label Studio 1.23.2 sent it, recorded from a running one."""
    body: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text())
    return body


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first truthy value of a condition, asked again and again."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < deadline:
        if value := condition():
            return value
        pause.wait(0.02)
    raise AssertionError(f"{condition} did not come true within {seconds:g} s")


def picture(shade: int) -> str:
    """An 8 x 8 image as a data URI: bright left of the middle for shade 0, bright right of it for 1."""
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:, :4] = 220 * (1 - shade)
    pixels[:, 4:] = 220 * shade
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


class RedisServer(Protocol):
    url: str


def own_redis(server: RedisServer) -> str:
    """A database of this folder's tests, emptied now; the others keep theirs."""
    url = server.url.removesuffix("/0") + "/5"
    redis.Redis.from_url(url).flushdb()
    return url


@pytest.fixture
def settings(tmp_path: Path, redis_server: RedisServer) -> Settings:
    return Settings(_env_file=None, model_dir=tmp_path / "model", redis_url=own_redis(redis_server), predict_seconds=20)


@pytest.fixture
def rooms(settings: Settings) -> Iterator[House]:
    house = House(settings)
    yield house
    house.ledger.close()


@pytest.fixture
def client(rooms: House) -> Iterator[TestClient]:
    with TestClient(create_app(rooms)) as client:
        yield client


def add_project(rooms: House, *, key: str = KEY, secret: str = SECRET, **fields: Any) -> int:
    """A connected project without a ranking; its number in the ledger."""
    columns: dict[str, Any] = {
        "studio_url": "http://127.0.0.1:9",
        "studio_id": int(key.partition(".")[0]),
        "key": key,
        "title": "recorded payloads",
        "label_config": CONFIG,
        "webhook_secret": secret,
        **fields,
    }
    with rooms.ledger.session() as session:
        project = Project(**columns)
        session.add(project)
        session.flush()
        return project.id


def add_ranking(
    rooms: House,
    project_id: int,
    tasks: list[int],
    *,
    version: str = "nextlabel-1-abcd",
    cycle: int = 1,
    model: bool = True,
) -> None:
    """Makes `version` live with `tasks` in that order, all published; the first is the one the model doubts most."""
    certain = np.linspace(0.55, 0.95, len(tasks))
    arrays: Arrays = {"task_id": np.array(tasks, dtype=np.int64)}
    if model:
        arrays["probabilities"] = np.stack([certain, 1 - certain], axis=1)
    rooms.arrays.write(ranking_key(project_id, version), arrays)
    with rooms.ledger.session() as session:
        row = Cycle(
            project_id=project_id,
            number=cycle,
            kind="train",
            trigger="test",
            status="published",
            phase="done",
            evidence_cycle=cycle if model else None,
            model_version=version,
            accuracy=0.9,
            accuracy_low=0.8,
            accuracy_high=0.95,
        )
        session.add(row)
        session.flush()
        live = Publication(
            project_id=project_id,
            cycle_id=row.id,
            model_version=version,
            total=len(tasks),
            published=len(tasks),
            state="live",
        )
        session.add(live)
        session.flush()
        for rank, task in enumerate(tasks):
            session.merge(Item(project_id=project_id, task_id=task, url=f"http://example.com/{task}.jpg"))
            session.add(
                PublishedItem(
                    publication_id=live.id,
                    task_id=task,
                    rank=rank,
                    score=rank / len(tasks),
                    label="cat" if model else None,
                    confidence=float(certain[rank]) if model else None,
                    reason=f"rank {rank}",
                    detail={"margin": {"value": 0.1, "percentile": 0.9, "weight": 1.0, "reason": "close"}},
                )
            )
        session.get_one(Project, project_id).live_version = version


def add_model(rooms: House, project_id: int, cycle: int = 1) -> None:
    """A model that tells bright-left ('cat') from bright-right ('dog'), as the cycle would have kept it."""
    project = Project(studio_url="http://127.0.0.1:9", token="")
    media = rooms.media(rooms.studio(project))
    shades = [0, 1] * 4
    fetched = media.fetch([(i, picture(shade)) for i, shade in enumerate(shades)])
    contents = [fetched.contents[i] for i in range(len(shades))]
    images = Images(contents, [media.path(content) for content in contents])
    learner = make_learner(Plan(), project_id)
    fit = learner.fit(images, np.array(shades), images, ("cat", "dog"), store=rooms.features, seed=0)
    rooms.arrays.write(model_key(project_id, cycle), fit.model)


@pytest.fixture
def project(rooms: House) -> int:
    """Tasks 20003, 20001, 20002 and 20004 are ranked in that order."""
    number = add_project(rooms)
    add_ranking(rooms, number, [20003, 20001, 20002, 20004])
    return number


@pytest.fixture
def secret() -> dict[str, str]:
    return {SECRET_HEADER: SECRET}


PASSWORD = "correct horse 7"


def token_in(page: str) -> str:
    """The CSRF token of the forms of a page."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None, page[:2000]
    return found.group(1)


class People:
    """ada is an admin, bob a viewer; both have PASSWORD."""

    def log_in(self, client: TestClient, name: str) -> str:
        """Leaves the session's cookie in the client and returns the session's CSRF token."""
        client.cookies.clear()
        answer = client.post("/login", data={"name": name, "password": PASSWORD, "next": "/people"})
        assert answer.status_code == 200, answer.text
        return token_in(answer.text)


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash carries its cost, so that cheap ones are checked as cheaply; test_accounts has the real cost."""
    monkeypatch.setattr("ml_backend.server.passwords.COST", 4)


def make_people(rooms: House) -> People:
    with rooms.ledger.session() as session:
        accounts.add_user(session, "ada", PASSWORD, "admin", author="test")
        accounts.add_user(session, "bob", PASSWORD, "viewer", author="test")
    return People()


@pytest.fixture
def people(rooms: House) -> People:
    return make_people(rooms)
