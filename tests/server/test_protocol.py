"""What Label Studio gets from /health, /setup, /predict, /versions and /train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ml_backend.loop.answers import BEHIND, WAITING
from ml_backend.loop.house import House
from ml_backend.server.app import create_app
from ml_backend.settings import Settings
from ml_backend.store.ledger import publication
from ml_backend.store.tables import Project
from tests.server.conftest import CONFIG, add_model, add_project, add_ranking, payload, picture, until


def tasks(*ids: int) -> list[dict[str, Any]]:
    return [{**payload("predict")["tasks"][0], "id": task} for task in ids]


def test_health_touches_neither_ledger_nor_redis(tmp_path: Path) -> None:
    nowhere = Settings(_env_file=None, model_dir=tmp_path, redis_url="redis://127.0.0.1:1/0")
    app = create_app(House(nowhere))
    answer = TestClient(app).get("/health")  # without lifespan: nothing was opened
    assert answer.json() == {"status": "UP", "model_class": "NextLabel", "v2": True}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extra", [None, {"a": 1}, "text", [1]])
def test_setup_answers_whatever_the_extra_params_are(client: TestClient, project: int, extra: object) -> None:
    answer = client.post("/setup", json={**payload("setup"), "extra_params": extra})
    assert answer.status_code == 200
    assert answer.json() == {"model_version": "nextlabel-1-abcd"}


@pytest.mark.parametrize("key", ["26.1", "27.1795371627", "", "nonsense", "26", None])
def test_setup_is_polite_to_strangers(client: TestClient, project: int, key: str | None) -> None:
    answer = client.post("/setup", json={**payload("setup"), "project": key})
    assert answer.status_code == 200
    assert answer.json()["model_version"] == WAITING
    assert "is not connected" in answer.json()["detail"]


def test_without_a_ranking_setup_and_predict_name_the_same_version(client: TestClient, rooms: House) -> None:
    """Otherwise Label Studio would store one more empty prediction at every retrieval."""
    add_project(rooms)
    offered = client.post("/setup", json=payload("setup")).json()["model_version"]
    body = client.post("/predict", json=payload("predict")).json()
    assert {offered, body["model_version"], body["results"][0]["model_version"]} == {WAITING}
    assert body["results"] == [{"result": [], "score": BEHIND, "model_version": WAITING}]


def test_predict_answers_from_the_live_ranking(client: TestClient, project: int) -> None:
    answer = client.post("/predict", json={**payload("predict"), "tasks": tasks(20004, 20003, 20001)}).json()
    assert answer["model_version"] == "nextlabel-1-abcd"
    assert [result["score"] for result in answer["results"]] == [0.75, 0.0, 0.25]
    first = answer["results"][1]
    assert first["model_version"] == "nextlabel-1-abcd"
    (region,) = first["result"]
    assert region["value"] == {"choices": ["cat"]}
    assert region["score"] == pytest.approx(0.55)
    assert (region["from_name"], region["to_name"], region["type"]) == ("cls", "img", "choices")


@pytest.mark.parametrize("change", [{"params": None}, {"label_config": None}, {"label_config": ""}, {"params": {}}])
def test_predict_needs_neither_params_nor_config(client: TestClient, project: int, change: dict[str, Any]) -> None:
    answer = client.post("/predict", json={**payload("predict"), **change}).json()
    assert answer["results"][0]["result"][0]["value"] == {"choices": ["cat"]}


def test_a_ranking_without_a_model_ranks_without_an_answer(client: TestClient, rooms: House) -> None:
    add_ranking(rooms, add_project(rooms), [20002, 20001], model=False)
    (result,) = client.post("/predict", json=payload("predict")).json()["results"]
    assert result == {"result": [], "score": 0.5, "model_version": "nextlabel-1-abcd"}


def test_a_class_that_the_config_no_longer_has_is_not_answered(client: TestClient, project: int) -> None:
    renamed = CONFIG.replace('"cat"', '"tiger"')
    (result,) = client.post("/predict", json={**payload("predict"), "label_config": renamed}).json()["results"]
    assert result["result"] == []
    assert result["score"] == 0.25


def test_what_the_ranking_does_not_hold_is_inferred(client: TestClient, rooms: House, project: int) -> None:
    add_model(rooms, project)
    asked = tasks(20001, 777, 778, 779)
    for task, image in zip(asked[1:], (picture(0), picture(1), "data:image/png;base64,AAAA"), strict=True):
        task["data"] = {"image": image}
    results = client.post("/predict", json={**payload("predict"), "tasks": asked}).json()["results"]
    assert [result["score"] for result in results] == [0.25, BEHIND, BEHIND, BEHIND]
    labels = [result["result"][0]["value"]["choices"][0] if result["result"] else None for result in results]
    assert labels == ["cat", "cat", "dog", None]
    assert [result["model_version"] for result in results[1:]] == ["nextlabel-1-abcd"] * 2 + [WAITING]


def test_inference_is_bounded(rooms: House, project: int, settings: Settings) -> None:
    """A host that never answers costs predict_seconds, and every task still gets its result."""
    add_model(rooms, project)
    hurried = House(settings.model_copy(update={"predict_seconds": 0.2}))
    asked = tasks(20001, 777)
    asked[1]["data"] = {"image": "http://192.0.2.1/never.jpg"}
    with TestClient(create_app(hurried)) as client:
        answer = client.post("/predict", json={**payload("predict"), "tasks": asked})
    results = answer.json()["results"]
    assert answer.elapsed.total_seconds() < 2
    assert results[0]["score"] == 0.25
    assert results[1] == {"result": [], "score": BEHIND, "model_version": WAITING}


def test_every_task_gets_a_result(client: TestClient, project: int) -> None:
    odd = [{"id": 20001}, {"id": None, "data": {}}, {}, {"id": 5, "data": {"image": 7}}, {"id": 20001}]
    answer = client.post("/predict", json={**payload("predict"), "tasks": odd}).json()
    assert len(answer["results"]) == len(odd)
    assert all(result["model_version"] for result in answer["results"])
    assert client.post("/predict", json={**payload("predict"), "tasks": []}).json()["results"] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"not json", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "`tasks` is missing"),
        (b'{"tasks": null}', "`tasks`"),
        (b'{"tasks": [{"id": "x"}]}', "`tasks.0.id` is 'x'"),
    ],
)
def test_predict_refuses_with_a_sentence(client: TestClient, body: bytes, words: str) -> None:
    answer = client.post("/predict", content=body)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def test_two_projects_interleaved_never_mix(client: TestClient, rooms: House, project: int) -> None:
    other = add_project(rooms, key="26.1600000000", studio_url="http://other.example", secret="another")
    add_ranking(rooms, other, [20001, 20003], version="nextlabel-9-ffff")
    for _ in range(3):
        mine = client.post("/predict", json=payload("predict")).json()
        theirs = client.post("/predict", json={**payload("predict"), "project": "26.1600000000"}).json()
        assert (mine["model_version"], mine["results"][0]["score"]) == ("nextlabel-1-abcd", 0.25)
        assert (theirs["model_version"], theirs["results"][0]["score"]) == ("nextlabel-9-ffff", 0.0)


def test_a_new_version_is_seen_soon(client: TestClient, rooms: House, project: int) -> None:
    assert client.post("/setup", json=payload("setup")).json()["model_version"] == "nextlabel-1-abcd"
    add_ranking(rooms, project, [20001, 20003], version="nextlabel-2-abcd", cycle=2)
    until(lambda: client.post("/setup", json=payload("setup")).json()["model_version"] == "nextlabel-2-abcd", 2)
    (result,) = client.post("/predict", json=payload("predict")).json()["results"]
    assert (result["model_version"], result["score"]) == ("nextlabel-2-abcd", 0.0)


def test_a_ranking_that_was_lost_is_no_error(client: TestClient, rooms: House, project: int) -> None:
    with rooms.ledger.session() as session:
        session.get_one(Project, project).live_version = "nextlabel-3-abcd"
    answer = client.post("/predict", json=payload("predict"))
    assert answer.status_code == 200
    assert answer.json()["results"][0]["score"] == BEHIND


def test_versions_and_train(client: TestClient, rooms: House, project: int) -> None:
    add_ranking(rooms, project, [20001], version="nextlabel-2-abcd", cycle=2)
    with rooms.ledger.session() as session:
        first = publication(session, project, "nextlabel-1-abcd")
        assert first is not None
        first.state = "retired"
    assert client.get("/versions").json() == {"versions": ["nextlabel-2-abcd", "nextlabel-1-abcd"]}
    assert client.get("/versions", params={"project": "1.1"}).json() == {"versions": []}
    gone = client.post("/train", json={})
    assert gone.status_code == 410
    assert "START_TRAINING" in gone.json()["detail"]
