"""The admin interface: what it tells, which levers it has, and sentences where something is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan
from ml_backend.server.app import create_app
from ml_backend.settings import Settings
from ml_backend.store.ledger import note_problem
from ml_backend.store.tables import Change, Item
from plugins.registry import GROUPS
from tests.server.conftest import KEY, add_project, add_ranking
from tests.server.test_webhook import wishes


def test_projects(client: TestClient, project: int) -> None:
    (listed,) = client.get("/api/projects").json()
    assert (listed["id"], listed["key"], listed["live_version"]) == (project, KEY, "nextlabel-1-abcd")
    assert "token" not in listed
    assert "webhook_secret" not in listed


def test_a_project_in_full(client: TestClient, rooms: House, project: int) -> None:
    with rooms.ledger.session() as session:
        session.get_one(Item, (project, 20003)).status = "labeled"
        note_problem(session, project, "image_missing", "gone", 20001)
    view = client.get(f"/api/projects/{project}").json()
    assert view["items"] == {"labeled": 1, "unlabeled": 3}
    assert view["problems"] == {"image_missing": 1}
    assert (view["head_left"], view["unpublished"], view["plan_number"]) == (3, 0, 0)
    cycle = view["last_cycle"]
    assert (cycle["number"], cycle["status"], cycle["accuracy"], cycle["accuracy_low"]) == (1, "published", 0.9, 0.8)
    assert not any("secret" in str(value) for value in view.values())


def test_cycles_versions_problems(client: TestClient, rooms: House, project: int) -> None:
    add_ranking(rooms, project, [20001], version="nextlabel-2-abcd", cycle=2)
    with rooms.ledger.session() as session:
        note_problem(session, project, "image_missing", "gone", 20001)
    assert [row["number"] for row in client.get(f"/api/projects/{project}/cycles").json()] == [2, 1]
    assert [row["number"] for row in client.get(f"/api/projects/{project}/cycles?limit=1&offset=1").json()] == [1]
    versions = client.get(f"/api/projects/{project}/versions").json()
    assert [(row["model_version"], row["cycle"]) for row in versions] == [
        ("nextlabel-2-abcd", 2),
        ("nextlabel-1-abcd", 1),
    ]
    (problem,) = client.get(f"/api/projects/{project}/problems").json()
    assert (problem["kind"], problem["task_id"], problem["count"]) == ("image_missing", 20001, 1)


def test_the_queue_and_why_an_item_stands_there(client: TestClient, rooms: House, project: int) -> None:
    with rooms.ledger.session() as session:
        session.get_one(Item, (project, 20003)).status = "labeled"
    queue = client.get(f"/api/projects/{project}/queue").json()
    assert [item["task_id"] for item in queue["items"]] == [20003, 20001, 20002, 20004]
    assert [item["score"] for item in queue["items"]] == [0.0, 0.25, 0.5, 0.75]
    assert queue["items"][0]["status"] == "labeled"
    waiting = client.get(f"/api/projects/{project}/queue?waiting=true&limit=2").json()
    assert [item["task_id"] for item in waiting["items"]] == [20001, 20002]
    item = client.get(f"/api/projects/{project}/items/20001").json()
    assert item["place"]["rank"] == 1
    assert item["place"]["reason"] == "rank 1"
    assert item["place"]["detail"]["margin"]["value"] == 0.1
    missing = client.get(f"/api/projects/{project}/items/1")
    assert missing.status_code == 404


def test_an_unranked_project_has_an_empty_queue(client: TestClient, rooms: House) -> None:
    number = add_project(rooms)
    assert client.get(f"/api/projects/{number}/queue").json()["items"] == []
    assert client.get(f"/api/projects/{number}").json()["last_cycle"] is None


def test_a_change_of_plan_is_kept_with_its_author_and_ranks_again(
    client: TestClient, rooms: House, project: int
) -> None:
    assert client.get(f"/api/projects/{project}/plan").json()["number"] == 0
    body = {"changes": {"scorers": [{"name": "entropy"}]}, "note": "try entropy"}
    changed = client.patch(f"/api/projects/{project}/plan", json=body, headers={"X-NextLabel-Author": "Ada"}).json()
    assert (changed["cycle"], changed["request"]) == ("rank", "queued")
    assert (changed["plan"]["number"], changed["plan"]["author"], changed["plan"]["note"]) == (1, "Ada", "try entropy")
    assert wishes(rooms, project) == {"rank": "plan 1 by Ada"}
    plan = client.get(f"/api/projects/{project}/plan").json()
    assert [scorer["name"] for scorer in plan["body"]["scorers"]] == ["entropy"]
    assert plan["body"]["learner"] == Plan().model_dump(mode="json")["learner"]


def test_a_change_of_learner_trains_and_history_can_be_restored(client: TestClient, rooms: House, project: int) -> None:
    url = f"/api/projects/{project}/plan"
    client.patch(url, json={"changes": {"seed": 1}, "author": "Ada"})
    trained = client.patch(url, json={"changes": {"learner": {"name": "frozen", "config": other_frozen()}}}).json()
    assert trained["cycle"] == "train"
    restored = client.post(f"{url}/restore", json={"number": 1, "author": "Bob"}).json()
    assert (restored["cycle"], restored["plan"]["number"], restored["plan"]["author"]) == ("train", 3, "Bob")
    history = client.get(f"{url}/history").json()
    assert [(row["number"], row["author"]) for row in history] == [(3, "Bob"), (2, "api"), (1, "Ada")]
    assert client.post(f"{url}/restore", json={"number": 9}).status_code == 422
    with rooms.ledger.session() as session:
        assert session.query(Change).count() == 3


def other_frozen() -> dict[str, Any]:
    """A valid setting of the frozen learner that is not its default."""
    from plugins.registry import plugin_class

    schema = plugin_class("learner", "frozen").Config.model_json_schema()["properties"]
    for name, field in schema.items():
        if "enum" in field:
            return {name: next(value for value in field["enum"] if value != field.get("default"))}
        if field.get("type") == "integer" and "minimum" in field:
            return {name: field["minimum"] + (field["minimum"] == field.get("default"))}
    raise AssertionError(schema)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "changes"),
        ({"scorers": [{"name": "entrpy"}]}, "Did you mean 'entropy'?"),
        ({"scorers": []}, "scorers"),
        ({"batch": 0}, "batch"),
        ({"colour": "red"}, "colour"),
        ({"scorers": [{"name": "margin", "config": {"nonsense": 1}}]}, "nonsense"),
        ({"selector": {"name": "class_balanced", "config": {"target": {"cow": 1}}}}, "target names 'cow', which is no"),
        ({"selector": {"name": "class_balanced", "config": {"target": {"cow": -1}}}}, "target.cow = -1: Input"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_a_sentence(
    client: TestClient, rooms: House, project: int, changes: dict[str, Any], words: str
) -> None:
    answer = client.patch(f"/api/projects/{project}/plan", json={"changes": changes})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert isinstance(answer.json()["detail"], str)
    assert wishes(rooms, project) == {}


def test_train(client: TestClient, rooms: House, project: int) -> None:
    answer = client.post(f"/api/projects/{project}/train", headers={"X-NextLabel-Author": "Ada"})
    assert (answer.status_code, answer.json()) == (202, {"request": "queued"})
    assert wishes(rooms, project) == {"train": "asked by Ada"}
    gone = add_project(rooms, key="5.1", state="gone")
    assert client.post(f"/api/projects/{gone}/train").status_code == 409


def test_without_redis_a_plan_is_kept_and_train_says_so(settings: Settings, project: int) -> None:
    alone = House(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    with TestClient(create_app(alone)) as client:
        assert client.post(f"/api/projects/{project}/train").status_code == 503
        changed = client.patch(f"/api/projects/{project}/plan", json={"changes": {"seed": 5}}).json()
        assert changed["request"] == "unavailable"
        assert client.get(f"/api/projects/{project}/plan").json()["number"] == 1


def test_rollback_refuses_what_cannot_be_live(client: TestClient, project: int) -> None:
    answer = client.post(f"/api/projects/{project}/rollback", json={"model_version": "nextlabel-7-abcd"})
    assert answer.status_code == 409
    assert "nextlabel-1-abcd" in answer.json()["detail"]


def test_rollback_without_label_studio_changes_nothing(client: TestClient, rooms: House, project: int) -> None:
    add_ranking(rooms, project, [20001], version="nextlabel-2-abcd", cycle=2)
    answer = client.post(f"/api/projects/{project}/rollback", json={"model_version": "nextlabel-1-abcd"})
    assert answer.status_code in {409, 502}
    assert client.get(f"/api/projects/{project}").json()["live_version"] == "nextlabel-2-abcd"


def test_plugins_come_with_their_schema(client: TestClient) -> None:
    found = {(plugin["kind"], plugin["name"]): plugin for plugin in client.get("/api/plugins").json()}
    entropy = found["scorer", "entropy"]
    assert entropy["needs"] == ["probabilities"]
    assert entropy["settings"]["type"] == "object"
    assert entropy["package"] == "nextlabel"
    assert {kind for kind, _ in found} == set(GROUPS)


def test_openapi_names_every_route(client: TestClient) -> None:
    paths = client.get("/openapi").json()["paths"]
    wanted = (
        "",
        "/cycles",
        "/queue",
        "/balance",
        "/items/{task_id}",
        "/problems",
        "/versions",
        "/plan",
        "/plan/history",
    )
    for path in (*wanted, "/plan/restore", "/train", "/rollback"):
        assert f"/api/projects/{{project_id}}{path}" in paths


@pytest.mark.parametrize("number", ["0", "-1", "x", "99999999999999999999", "1.5"])
def test_a_number_that_is_none_is_refused_with_a_sentence(client: TestClient, number: str) -> None:
    answer = client.get(f"/api/projects/{number}")
    assert answer.status_code == 422
    assert "project_id" in answer.json()["detail"]


def test_an_unknown_project_says_which_there_are(client: TestClient, project: int) -> None:
    answer = client.get("/api/projects/77/queue")
    assert answer.status_code == 404
    assert f"connected: {project}." in answer.json()["detail"]
