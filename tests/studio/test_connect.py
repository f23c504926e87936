"""Connecting and examining a project of a real Label Studio."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from ml_backend.studio.client import Json, Studio, StudioError
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.connect import ACTIONS, SECRET_HEADER, ConnectError, attach, check_health, detach
from ml_backend.studio.doctor import Check, studio_checks
from ml_backend.studio.labels import check_prediction, choice_result, read_config, read_task

CONFIG = (
    '<View><Image name="img" value="$image"/><Choices name="cls" toName="img">'
    '<Choice value="Katze" alias="cat"/><Choice value="dog"/></Choices></View>'
)
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


class Backend(ThreadingHTTPServer):
    """A model server that answers what Label Studio asks and remembers it: (path, headers, body)."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Answer)
        self.received: list[tuple[str, dict[str, str], Json]] = []
        self.heard = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def wait_for(self, action: str) -> tuple[dict[str, str], Json]:
        """Headers and body of the first webhook with this action."""

        def found() -> list[tuple[dict[str, str], Json]]:
            return [(headers, body) for path, headers, body in self.received if body.get("action") == action]

        with self.heard:
            assert self.heard.wait_for(found, timeout=20), f"no {action} among {[row[2] for row in self.received]}"
            return found()[0]


class Answer(BaseHTTPRequestHandler):
    server: Backend

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        with self.server.heard:
            self.server.received.append((self.path, dict(self.headers), body))
            self.server.heard.notify_all()
        answers: dict[str, Json] = {
            "/health": {"status": "UP"},
            "/setup": {"model_version": ""},
            "/predict": {"results": []},
        }
        data = json.dumps(answers.get(self.path, {})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def backend() -> Iterator[Backend]:
    server = Backend()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def studio(studio_server: Any) -> Iterator[Studio]:
    studio = Studio(studio_server.url, studio_server.token)
    yield studio
    studio.close()


@pytest.fixture
def project(studio: Studio) -> Iterator[int]:
    project = int(studio.create_project(title="room of label studio", label_config=CONFIG)["id"])
    yield project
    studio.call("DELETE", f"/api/projects/{project}/")


def connect(studio: Studio, project: int, url: str, **changes: Any) -> Any:
    return attach(
        studio, project, **{"backend_url": url, "secret": "s3cret", "user": None, "password": None, **changes}
    )


def publish(studio: Studio, project: int, tasks: list[int], version: str) -> None:
    config = read_config(CONFIG)
    rows = [
        {"task": task, "score": i / len(tasks), "model_version": version, "result": choice_result(config, "cat", 0.75)}
        for i, task in enumerate(tasks)
    ]
    for row in rows:
        check_prediction(config, row)
    assert studio.import_predictions(project, rows) == len(rows)
    studio.update_project(project, model_version=version)


def ours(studio: Studio, project: int, url: str) -> tuple[list[Json], list[Json]]:
    backends = [row for row in studio.backends(project) if row["url"] == url]
    return backends, [row for row in studio.webhooks(project) if row["url"] == f"{url}/webhook"]


def test_a_backend_that_does_not_answer_is_named() -> None:
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1:9 does not answer /health"):
        check_health("http://127.0.0.1:9")
    with pytest.raises(ConnectError, match="does not answer"):
        check_health("nonsense")


@pytest.mark.studio
def test_connecting_leaves_one_backend_one_webhook_and_the_right_settings(
    studio: Studio, project: int, backend: Backend
) -> None:
    attachment = connect(studio, project, backend.url + "/", user="ls", password="pw")
    rows, hooks = ours(studio, project, backend.url)
    assert [row["id"] for row in rows] == [attachment.backend_id]
    assert [row["id"] for row in hooks] == [attachment.webhook_id]
    assert rows[0]["readable_state"] == "Connected"
    assert hooks[0]["headers"] == {SECRET_HEADER: "s3cret"}
    assert set(hooks[0]["actions"]) == set(ACTIONS)
    assert attachment.project["sampling"] == "Uncertainty sampling"
    assert attachment.project["model_version"] == ""
    assert attachment.config.classes == ("cat", "dog")
    assert attachment.notes == ()
    setups = [headers for path, headers, _ in backend.received if path == "/setup"]
    assert setups[0]["Authorization"] == "Basic " + base64.b64encode(b"ls:pw").decode()


@pytest.mark.studio
def test_connecting_again_changes_nothing_and_repairs_what_was_broken(
    studio: Studio, project: int, backend: Backend
) -> None:
    first = connect(studio, project, backend.url)
    again = connect(studio, project, backend.url)
    assert (again.backend_id, again.webhook_id) == (first.backend_id, first.webhook_id)

    studio.add_backend(project, url=backend.url, title="twin")
    studio.add_webhook(project, url=f"{backend.url}/webhook", headers={})
    studio.call(
        "PATCH", f"/api/webhooks/{first.webhook_id}/", json={"url": f"{backend.url}/webhook", "is_active": False}
    )
    studio.update_project(project, sampling="Sequential sampling", model_version="twin")
    repaired = connect(studio, project, backend.url, secret="new", user="a", password="b")
    rows, hooks = ours(studio, project, backend.url)
    assert [row["id"] for row in rows] == [first.backend_id]
    assert rows[0]["auth_method"] == "BASIC_AUTH"
    assert [(row["id"], row["headers"]) for row in hooks] == [(repaired.webhook_id, {SECRET_HEADER: "new"})]
    assert (repaired.project["sampling"], repaired.project["model_version"]) == ("Uncertainty sampling", "")

    open_again = connect(studio, project, backend.url, secret="new")
    assert open_again.webhook_id == repaired.webhook_id
    backend.received.clear()
    studio.backends(project)
    assert all("Authorization" not in headers for _, headers, _ in backend.received)


@pytest.mark.studio
def test_a_moved_backend_takes_its_row_and_webhook_along(studio: Studio, project: int, backend: Backend) -> None:
    first = connect(studio, project, backend.url)
    moved = backend.url.replace("127.0.0.1", "localhost")
    second = connect(studio, project, moved)
    assert second.backend_id == first.backend_id
    assert [row["url"] for row in studio.backends(project)] == [moved]
    assert [row["url"] for row in studio.webhooks(project)] == [f"{moved}/webhook"]


@pytest.mark.studio
def test_a_live_version_survives_connecting_and_strangers_stay(studio: Studio, project: int, backend: Backend) -> None:
    tasks = studio.import_tasks(project, [{"image": PIXEL}] * 3)
    publish(studio, project, tasks, "round 1")
    stranger = studio.add_backend(project, url=backend.url + "/other", title="theirs")
    attachment = connect(studio, project, backend.url)
    assert attachment.project["model_version"] == "round 1"
    assert studio.model_versions(project) == {"round 1": 3}
    assert stranger["id"] in [row["id"] for row in studio.backends(project)]
    assert f"{backend.url}/other/webhook" in [row["url"] for row in studio.webhooks(project)]
    assert len(attachment.notes) == 2

    detach(studio, project, backend.url)
    assert ours(studio, project, backend.url) == ([], [])
    assert [row["id"] for row in studio.backends(project)] == [stranger["id"]]
    assert studio.project(project)["model_version"] == "round 1"


@pytest.mark.studio
def test_the_webhook_carries_the_secret(studio: Studio, project: int, backend: Backend) -> None:
    connect(studio, project, backend.url)
    [task] = studio.import_tasks(project, [{"image": PIXEL}])
    headers, _ = backend.wait_for("TASKS_CREATED")
    assert headers[SECRET_HEADER] == "s3cret"
    studio.annotate(task, choice_result(read_config(CONFIG), "cat", 1.0))
    headers, body = backend.wait_for("ANNOTATION_CREATED")
    assert headers[SECRET_HEADER] == "s3cret"
    assert body["task"]["id"] == task


@pytest.mark.studio
def test_what_cannot_be_connected_leaves_nothing_behind(studio: Studio, project: int, backend: Backend) -> None:
    with pytest.raises(ConnectError, match="does not answer /health"):
        connect(studio, project, "http://127.0.0.1:9")
    with pytest.raises(ConnectError, match="only one of user and password"):
        connect(studio, project, backend.url, user="a")
    with pytest.raises(StudioError, match="404"):
        connect(studio, 10**8, backend.url)
    studio.update_project(project, label_config=CONFIG.replace('toName="img"', 'toName="img" choice="multiple"'))
    with pytest.raises(ConfigError) as refusal:
        connect(studio, project, backend.url)
    assert refusal.value.kind == "multiple_choice"
    assert studio.backends(project) == []
    assert studio.webhooks(project) == []


@pytest.mark.studio
def test_tasks_as_label_studio_gives_them_are_read(studio: Studio, project: int) -> None:
    config = read_config(studio.project(project)["label_config"])
    tasks = studio.import_tasks(project, [{"image": PIXEL}] * 4)
    studio.annotate(tasks[0], choice_result(config, "cat", 1.0), lead_time=2.5)
    studio.annotate(tasks[1], [], was_cancelled=True)
    studio.annotate(tasks[2], [])
    readings = [read_task(row, config) for row in studio.tasks(project)]
    assert [reading.status for reading in readings] == ["labeled", "skipped", "labeled", "unlabeled"]
    assert [reading.label for reading in readings] == ["cat", None, None, None]
    assert readings[0].lead_time == 2.5
    assert readings[0].annotator == studio.whoami()["id"]
    assert readings[0].labeled_at is not None
    assert readings[2].problem is not None
    assert readings[2].problem[0] == "empty_annotation"


def examine(studio: Studio, project: int, url: str, **changes: Any) -> dict[str, Check]:
    values = {"backend_url": url, "secret": "s3cret", "live_version": None, "head": None, **changes}
    checks = studio_checks(studio, project, **values)
    assert all(check.result for check in checks)
    assert all(check.remedy for check in checks if not check.ok)
    return {check.name: check for check in checks}


@pytest.mark.studio
def test_a_healthy_project_has_no_finding(studio: Studio, project: int, backend: Backend) -> None:
    tasks = studio.import_tasks(project, [{"image": PIXEL}] * 6)
    connect(studio, project, backend.url)
    publish(studio, project, tasks[:4], "round 1")
    before = (
        studio.project(project),
        studio.backends(project),
        studio.webhooks(project),
        studio.model_versions(project),
    )
    checks = examine(studio, project, backend.url, live_version="round 1", head=tasks[:4])
    assert {name for name, check in checks.items() if check.ok is False} == set()
    assert checks["queue head"].ok
    assert checks["webhook"].ok
    assert checks["images"].ok
    assert checks["project members"].ok is None
    after = (
        studio.project(project),
        studio.backends(project),
        studio.webhooks(project),
        studio.model_versions(project),
    )
    for then, now in zip(before, after, strict=True):
        assert _without_times(now) == _without_times(then)


def _without_times(value: Any) -> Any:
    return json.loads(json.dumps(value), object_hook=lambda row: {k: v for k, v in row.items() if k != "updated_at"})


@pytest.mark.studio
def test_every_fault_is_found(studio: Studio, project: int, backend: Backend) -> None:
    tasks = studio.import_tasks(project, [{"image": PIXEL}] * 3 + [{"other": "x", "image": "/data/upload/0/none.png"}])
    connect(studio, project, backend.url)
    publish(studio, project, tasks[:2], "round 1")
    publish(studio, project, tasks, "round 10")
    studio.add_webhook(project, url=f"{backend.url}/webhook")
    studio.update_project(project, sampling="Uniform sampling", maximum_annotations=2, model_version="NextLabel")
    checks = examine(studio, project, backend.url, live_version="round 1", head=tasks)
    found = {name for name, check in checks.items() if check.ok is False}
    assert found >= {"sampling", "overlap", "webhook", "model_version", "queue head", "images"}
    assert "2 of 4" in checks["queue head"].result
    assert "title" in checks["model_version"].result
    assert "1 without the secret" in checks["webhook"].result
    assert "image_missing" in checks["images"].result

    studio.update_project(project, model_version="round 10")
    checks = examine(studio, project, "http://127.0.0.1:9", live_version="round 1", head=tasks)
    assert checks["backend"].ok is False
    assert "'round 1' is live" in checks["model_version"].result


@pytest.mark.studio
def test_a_stopped_backend_is_found(studio: Studio, project: int) -> None:
    server = Backend()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    connect(studio, project, server.url)
    server.shutdown()
    server.server_close()
    thread.join()
    checks = examine(studio, project, server.url)
    assert checks["backend"].ok is False
    assert "Disconnected" in checks["backend"].result


@pytest.mark.studio
def test_the_first_finding_that_hides_the_rest_is_the_last(studio: Studio, backend: Backend) -> None:
    wrong = Studio(studio.url, "f" * 40)
    assert list(examine(wrong, 1, backend.url)) == ["Label Studio", "token"]
    assert list(examine(Studio("http://127.0.0.1:9", "f" * 40), 1, backend.url)) == ["Label Studio"]
    assert examine(Studio(backend.url, "f" * 40), 1, backend.url)["Label Studio"].ok is False
    checks = examine(studio, 10**8, backend.url)
    assert checks["project"].ok is False


@pytest.mark.studio
def test_a_personal_access_token_is_told_from_a_legacy_one(studio: Studio, project: int, backend: Backend) -> None:
    assert "legacy" in examine(studio, project, backend.url)["token"].result
    with httpx.Client(base_url=studio.url, headers={"Authorization": f"Token {studio.token}"}) as http:
        made = http.post("/api/token/")
    if made.is_error:
        pytest.skip(f"this Label Studio makes no personal token for a token ({made.status_code})")
    checks = examine(Studio(studio.url, made.json()["token"]), project, backend.url)
    assert "personal" in checks["token"].result
