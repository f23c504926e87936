"""Webhooks: recorded at once, whoever may send them, and never a training for a changed setting."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from ml_backend.loop.house import House
from ml_backend.server.app import create_app
from ml_backend.server.auth import SECRET_HEADER
from ml_backend.settings import Settings
from ml_backend.store.tables import Event, Project
from tests.server.conftest import SECRET, add_project, add_ranking, payload, until

ACTIONS = (
    "annotation_created",
    "annotation_updated",
    "annotation_skipped",
    "annotations_created",
    "annotations_deleted",
    "tasks_created",
    "tasks_deleted",
    "project_updated",
    "start_training",
)


def recorded(rooms: House) -> list[tuple[int | None, str, int | None, int | None]]:
    with rooms.ledger.session() as session:
        rows = session.scalars(select(Event).order_by(Event.id))
        return [(row.project_id, row.action, row.task_id, row.annotation_id) for row in rows]


def wishes(rooms: House, project: int) -> dict[str, str]:
    kept = rooms.redis.hgetall(f"nextlabel:wish:{project}")
    return {bytes(key).decode(): bytes(value).decode() for key, value in kept.items()}  # type: ignore[arg-type]  # no decode_responses, so bytes


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_of_label_studio_is_recorded(
    client: TestClient, rooms: House, project: int, secret: dict[str, str], name: str
) -> None:
    answer = client.post("/webhook", json=payload(name), headers=secret)
    assert answer.status_code == 200
    events = until(lambda: recorded(rooms))
    assert {event[:2] for event in events} == {(project, payload(name)["action"])}


def test_hints_name_the_annotations_and_their_tasks(
    client: TestClient, rooms: House, project: int, secret: dict[str, str]
) -> None:
    for name in ("annotation_created", "annotations_created", "annotations_deleted", "tasks_created"):
        client.post("/webhook", json=payload(name), headers=secret)
    events = until(lambda: len(recorded(rooms)) == 5 and recorded(rooms))
    created = payload("annotation_created")["annotation"]
    listed = payload("annotations_created")["annotation"]
    assert events == [
        (project, "ANNOTATION_CREATED", created["task"], created["id"]),
        *((project, "ANNOTATIONS_CREATED", each["task"], each["id"]) for each in listed),
        (project, "ANNOTATIONS_DELETED", None, payload("annotations_deleted")["annotations"][0]["id"]),
        (project, "TASKS_CREATED", None, None),
    ]


def test_enough_labels_ask_for_one_training(
    client: TestClient, rooms: House, project: int, secret: dict[str, str]
) -> None:
    for _ in range(rooms.settings.start_training_each_n_updates + 3):
        client.post("/webhook", json=payload("annotation_created"), headers=secret)
    until(lambda: "train" in wishes(rooms, project))
    until(lambda: len(recorded(rooms)) == rooms.settings.start_training_each_n_updates + 3)
    assert len(rooms.queue.jobs) == 1


def test_skips_never_train(client: TestClient, rooms: House, project: int, secret: dict[str, str]) -> None:
    given = rooms.settings.start_training_each_n_updates + 3
    for _ in range(given):
        client.post("/webhook", json=payload("annotation_skipped"), headers=secret)
    until(lambda: len(recorded(rooms)) == given)
    assert wishes(rooms, project) == {}


def test_start_training_is_queued_and_told(
    client: TestClient, rooms: House, project: int, secret: dict[str, str]
) -> None:
    answer = client.post("/webhook", json=payload("start_training"), headers=secret)
    assert answer.json() == {"status": "queued"}
    assert wishes(rooms, project) == {"train": "START_TRAINING"}
    again = client.post("/webhook", json=payload("start_training"), headers=secret)
    assert again.json() == {"status": "coalesced"}


def test_project_updated_never_trains(client: TestClient, rooms: House, project: int, secret: dict[str, str]) -> None:
    body = payload("project_updated")
    body["project"]["model_version"] = "nextlabel-1-abcd"
    client.post("/webhook", json=body, headers=secret)
    until(lambda: recorded(rooms))
    until(lambda: rooms.queue.jobs)
    assert wishes(rooms, project) == {}
    assert [job.func_name for job in rooms.queue.jobs] == ["ml_backend.loop.worker.run_reconcile_job"]


def test_the_secret_opens_one_project_only(client: TestClient, rooms: House, project: int) -> None:
    other = add_project(rooms, key="27.1795371627", secret="another secret")
    body = payload("annotation_created")
    theirs = {**body, "project": {**body["project"], "id": 27}}
    assert client.post("/webhook", json=body, headers={SECRET_HEADER: "another secret"}).status_code == 401
    assert client.post("/webhook", json=theirs, headers={SECRET_HEADER: SECRET}).status_code == 401
    for _ in range(2):
        assert client.post("/webhook", json=theirs, headers={SECRET_HEADER: "another secret"}).status_code == 200
        assert client.post("/webhook", json=body, headers={SECRET_HEADER: SECRET}).status_code == 200
    events = until(lambda: len(recorded(rooms)) == 4 and recorded(rooms))
    assert sorted(event[0] for event in events if event[0]) == [project, project, other, other]


@pytest.mark.parametrize("headers", [{}, {SECRET_HEADER: ""}, {SECRET_HEADER: "wrong"}, {"Authorization": "Bearer x"}])
def test_without_the_secret_nothing_is_recorded(
    client: TestClient, rooms: House, project: int, headers: dict[str, str]
) -> None:
    answer = client.post("/webhook", json=payload("annotation_created"), headers=headers)
    assert answer.status_code == 401
    assert SECRET_HEADER in answer.json()["detail"]
    assert recorded(rooms) == []


def test_start_training_comes_through_the_backends_own_authentication(
    rooms: House, project: int, settings: Settings
) -> None:
    """Label Studio sends it with the backend's credentials, or with none where none are set; never with our secret."""
    body = payload("start_training")
    with TestClient(create_app(rooms)) as client:
        assert client.post("/webhook", json=body).status_code == 200
        assert client.post("/webhook", json=body, headers={SECRET_HEADER: "wrong"}).status_code == 401
    guarded = House(settings.model_copy(update={"basic_auth_user": "label", "basic_auth_pass": "studio"}))
    with TestClient(create_app(guarded)) as client:
        assert client.post("/webhook", json=body).status_code == 401
        assert client.post("/webhook", json=body, auth=("label", "wrong")).status_code == 401
        assert client.post("/webhook", json=body, auth=("label", "studio")).status_code == 200
        assert client.post("/webhook", json=body, headers={SECRET_HEADER: SECRET}).status_code == 200


def test_strangers_and_unknown_actions(client: TestClient, rooms: House, project: int, secret: dict[str, str]) -> None:
    body = payload("annotation_created")
    stranger = {**body, "project": {**body["project"], "created_at": "2020-01-01T00:00:00Z"}}
    answer = client.post("/webhook", json=stranger, headers=secret)
    assert answer.status_code == 404
    assert "nextlabel connect" in answer.json()["detail"]
    for unknown in ({"action": "LABEL_LINK_CREATED"}, {**body, "action": "SOMETHING_NEW"}, {"action": "x" * 10_000}):
        assert client.post("/webhook", json=unknown).json() == {"status": "ignored"}
    assert recorded(rooms) == []
    counted = client.get("/metrics").text
    assert 'nextlabel_webhook_events_total{action="unknown",outcome="ignored"}' in counted


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"{}", "`action` is missing"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"action": null}', "`action` is None"),
        (b'{"action": "ANNOTATION_CREATED"}', "`project` is missing"),
        (b'{"action": "ANNOTATION_CREATED", "project": {}}', "`project.id` is missing"),
        (b'{"action": "ANNOTATION_CREATED", "project": {"id": -1}}', "`project.id` is -1"),
    ],
)
def test_what_is_no_event_is_refused_with_a_sentence(
    client: TestClient, project: int, secret: dict[str, str], body: bytes, words: str
) -> None:
    answer = client.post("/webhook", content=body, headers=secret)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def test_without_redis_events_are_kept_and_start_training_says_so(
    settings: Settings, rooms: House, project: int, secret: dict[str, str]
) -> None:
    alone = House(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    with TestClient(create_app(alone)) as client:
        assert client.get("/health").status_code == 200
        assert client.post("/setup", json=payload("setup")).json() == {"model_version": "nextlabel-1-abcd"}
        for _ in range(settings.start_training_each_n_updates):
            assert client.post("/webhook", json=payload("annotation_created"), headers=secret).status_code == 200
        answer = client.post("/webhook", json=payload("start_training"), headers=secret)
    assert answer.status_code == 503
    assert "REDIS_URL" in answer.json()["detail"]
    assert len(recorded(rooms)) == settings.start_training_each_n_updates + 1


def test_a_locked_ledger_does_not_hold_up_the_annotator(
    client: TestClient, rooms: House, project: int, secret: dict[str, str]
) -> None:
    with rooms.ledger.engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        answer = client.post("/webhook", json=payload("annotation_created"), headers=secret)
        assert answer.json() == {"status": "accepted"}
        other.rollback()
    until(lambda: recorded(rooms))


class FakeStudio(HTTPServer):
    """The one endpoint that putting the queue right again needs: GET and PATCH of a project."""

    def __init__(self, version: str) -> None:
        super().__init__(("127.0.0.1", 0), FakeProject)
        self.state: dict[str, Any] = {"id": 26, "model_version": version, "show_collab_predictions": True}
        self.patches: list[dict[str, Any]] = []


class FakeProject(BaseHTTPRequestHandler):
    server: FakeStudio

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        body = json.dumps(self.server.state).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PATCH(self) -> None:
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.state.update(change)
        self.server.patches.append(change)
        self.do_GET()


@pytest.fixture
def studio(rooms: House, project: int) -> Iterator[FakeStudio]:
    server = FakeStudio("")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with rooms.ledger.session() as session:
        row = session.get_one(Project, project)
        row.studio_url, row.token = f"http://127.0.0.1:{server.server_port}", "0" * 40
    yield server
    server.shutdown()
    server.server_close()


def updated(version: str | None, shown: bool = True) -> dict[str, Any]:
    body = payload("project_updated")
    body["project"] |= {"model_version": version, "show_collab_predictions": shown}
    return body


@pytest.mark.parametrize("version", ["", None, "the backend's title"])
def test_a_queue_that_was_switched_away_is_put_back(
    client: TestClient, studio: FakeStudio, project: int, secret: dict[str, str], version: str | None
) -> None:
    studio.state["model_version"] = version
    client.post("/webhook", json=updated(version), headers=secret)
    until(lambda: studio.patches)
    assert studio.state["model_version"] == "nextlabel-1-abcd"


def test_the_newest_update_counts(
    client: TestClient, studio: FakeStudio, rooms: House, project: int, secret: dict[str, str]
) -> None:
    """Our own switch is left alone while the cycle tells the ledger; a foreign one after it is not."""
    add_ranking(rooms, project, [20001], version="nextlabel-2-abcd", cycle=2)
    with rooms.ledger.session() as session:
        session.get_one(Project, project).live_version = "nextlabel-1-abcd"
    until(lambda: client.post("/setup", json=payload("setup")).json()["model_version"] == "nextlabel-1-abcd")
    client.post("/webhook", json=updated("nextlabel-2-abcd"), headers=secret)
    client.post("/webhook", json=updated(""), headers=secret)
    until(lambda: studio.patches, seconds=1.5)
    assert studio.state["model_version"] == "nextlabel-1-abcd"


def test_our_own_switch_is_not_undone(
    client: TestClient, studio: FakeStudio, rooms: House, project: int, secret: dict[str, str]
) -> None:
    add_ranking(rooms, project, [20001], version="nextlabel-2-abcd", cycle=2)
    with rooms.ledger.session() as session:
        session.get_one(Project, project).live_version = "nextlabel-1-abcd"
    until(lambda: client.post("/setup", json=payload("setup")).json()["model_version"] == "nextlabel-1-abcd")
    studio.state["model_version"] = "nextlabel-2-abcd"
    client.post("/webhook", json=updated("nextlabel-2-abcd"), headers=secret)
    with rooms.ledger.session() as session:
        session.get_one(Project, project).live_version = "nextlabel-2-abcd"
    hooks = client.app.state.protocol.hooks  # type: ignore[attr-defined]  # TestClient types any ASGI application
    until(lambda: not hooks._repairing)
    assert studio.patches == []
