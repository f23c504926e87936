"""The hooks behind label-studio-ml's base class: under the installed 1.0.9, and under a base shaped like 2.x."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from ml_backend.loop.answers import WAITING
from ml_backend.loop.house import House
from ml_backend.model import NextLabelModel
from ml_backend.settings import Settings
from ml_backend.store.tables import Event
from tests.server.conftest import CONFIG, RedisServer, add_project, add_ranking, own_redis, payload


@pytest.fixture
def rooms(tmp_path: Path, redis_server: RedisServer) -> House:
    return House(Settings(_env_file=None, model_dir=tmp_path / "model", redis_url=own_redis(redis_server)))


@pytest.fixture
def project(rooms: House) -> int:
    number = add_project(rooms)
    add_ranking(rooms, number, [20003, 20001])
    return number


@pytest.fixture
def model(rooms: House) -> type[NextLabelModel]:
    class Model(NextLabelModel):
        house = staticmethod(lambda: rooms)

    return Model


class Base2:
    """The constructor of the 2.x base class, which names the project and has no train_output."""

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        self.config = label_config

    @property
    def label_config(self) -> str | None:
        return self.config


def two(model: type[NextLabelModel]) -> Any:
    """Our class on the 2.x base: its methods, that constructor."""
    names = {name: value for name, value in vars(NextLabelModel).items() if not name.startswith("__")}
    return type("Model2", (Base2,), {**names, "house": model.__dict__["house"]})


def test_1_0_9_predicts(model: type[NextLabelModel], project: int) -> None:
    instance = model(label_config=CONFIG, train_output=None, hostname="", access_token="")
    (answer,) = instance.predict(payload("predict")["tasks"], login=None, password=None, context=None)
    assert (answer["score"], answer["model_version"]) == (0.5, "nextlabel-1-abcd")
    assert answer["result"][0]["value"] == {"choices": ["cat"]}


def test_1_0_9_hands_over_the_config_of_another_project(model: type[NextLabelModel], project: int) -> None:
    other = CONFIG.replace("cls", "kind")
    (answer,) = model(label_config=other).predict(payload("predict")["tasks"])
    assert answer["result"][0]["from_name"] == "cls"


def test_2_predicts(model: type[NextLabelModel], project: int) -> None:
    task = {key: value for key, value in payload("predict")["tasks"][0].items() if key != "project"}
    (answer,) = two(model)(project_id="26", label_config=CONFIG).predict([task], context=None)
    assert (answer["score"], answer["model_version"]) == (0.5, "nextlabel-1-abcd")


def test_tasks_of_several_projects_and_of_none(model: type[NextLabelModel], rooms: House, project: int) -> None:
    other = add_project(rooms, key="27.1600000000", secret="another")
    add_ranking(rooms, other, [1, 2, 3, 20001], version="nextlabel-5-ffff")
    task = payload("predict")["tasks"][0]
    answers = model().predict([{**task, "project": 27}, task, {**task, "project": 99}, {}])
    assert [answer["model_version"] for answer in answers] == ["nextlabel-5-ffff", "nextlabel-1-abcd", WAITING, WAITING]


def test_two_label_studios_with_the_same_numbers_are_not_mixed(
    model: type[NextLabelModel], rooms: House, project: int
) -> None:
    add_project(rooms, studio_url="http://other.example", key="26.1600000000", secret="another")
    (answer,) = model().predict(payload("predict")["tasks"])
    assert answer["model_version"] == WAITING


def test_fit_asks_the_worker(model: type[NextLabelModel], rooms: House, project: int) -> None:
    event = {"event": "START_TRAINING", "data": payload("start_training")}
    assert model().fit((), job_id="1", workdir="/tmp", **event)["status"] == "queued"
    assert two(model)(project_id="26").fit("START_TRAINING", payload("start_training"))["status"] == "coalesced"
    assert model().fit(payload("predict")["tasks"], workdir=None)["status"] == "coalesced"
    assert [job.func_name for job in rooms.queue.jobs] == ["ml_backend.loop.worker.run_cycle_job"]


def test_fit_records_labels_and_never_trains_for_a_setting(
    model: type[NextLabelModel], rooms: House, project: int
) -> None:
    instance = model()
    created = payload("annotation_created")
    assert instance.process_event("ANNOTATION_CREATED", created, "1", {"workdir": None})["status"] == "recorded"
    assert instance.process_event("PROJECT_UPDATED", payload("project_updated"), "2", {})["status"] == "queued"
    assert instance.process_event("SOMETHING_NEW", {}, "3", {}) is None
    assert instance.fit((), event="START_TRAINING", data={"project": {"id": 99}})["status"] == "ignored"
    with rooms.ledger.session() as session:
        rows = session.query(Event).order_by(Event.id).all()
    assert [(row.action, row.task_id) for row in rows] == [("ANNOTATION_CREATED", 20001), ("PROJECT_UPDATED", None)]
    assert rooms.redis.keys("nextlabel:wish:*") == []


def test_label_studio_ml_hosts_us(
    monkeypatch: pytest.MonkeyPatch, rooms: House, model: type[NextLabelModel], project: int
) -> None:
    monkeypatch.setattr(NextLabelModel, "house", staticmethod(lambda: rooms))
    monkeypatch.setenv("MODEL_DIR", str(rooms.settings.model_dir))
    hosted = importlib.import_module("ml_backend._wsgi")
    client = hosted.app.test_client()
    assert client.get("/health").json["status"] == "UP"
    assert client.post("/setup", json=payload("setup")).status_code == 200
    answer = client.post("/predict", json=payload("predict")).json
    assert answer["results"][0]["model_version"] == "nextlabel-1-abcd"
