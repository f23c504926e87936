"""Steering by REST: overrides that are kept, shown and undone, and why any task stands where it stands."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from rq import SimpleWorker

from ml_backend.loop import preview_job
from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan
from ml_backend.loop.preview_job import read_preview, request_preview
from ml_backend.store.ledger import note_problem
from ml_backend.store.tables import Change, Item, Publication, PublishedItem, now
from tests.server.conftest import KEY, add_project, payload, until
from tests.server.steered import TOTAL, steered_project
from tests.server.test_webhook import wishes


@pytest.fixture
def project(rooms: House) -> int:
    return steered_project(rooms)


def why(client: TestClient, project: int, task: int) -> dict[str, Any]:
    answer = client.get(f"/api/projects/{project}/tasks/{task}/why")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_why_a_task_of_the_batch_stands_there(client: TestClient, project: int) -> None:
    told = why(client, project, 101)
    assert (told["rank"], told["total"], told["written"], told["arm"]) == (1, TOTAL, True, "ranked")
    assert told["sentence"] == (
        "Rank 1 of 12: margin 0.464 (percentile 0.91); chosen in the batch of 3 by 'top': the two likeliest are close."
    )
    assert told["scorers"]["margin"]["reason"] == "the two likeliest are close"


def test_why_a_task_far_behind_the_written_head_stands_there(client: TestClient, project: int) -> None:
    told = why(client, project, 110)
    assert (told["rank"], told["written"], told["predicted"]) == (10, False, "cat")
    assert told["confidence"] == pytest.approx(0.5 + 0.4 * 10 / 11)
    assert told["sentence"] == (
        "Rank 10 of 12: margin 0.136 (percentile 0.09); it stands behind the batch of 3 that 'top' chose, "
        "in order of score."
    )


def test_admins_see_the_control_arm(client: TestClient, project: int) -> None:
    told = why(client, project, 105)
    assert (told["arm"], told["propensity"]) == ("control", pytest.approx(1 / 7))
    assert "control: drawn at random from the 7 items that were left" in told["sentence"]


def test_why_a_task_has_no_place(client: TestClient, rooms: House, project: int) -> None:
    with rooms.ledger.session() as session:
        session.add(Item(project_id=project, task_id=200, url="u", content="c" * 64))
        session.add(Item(project_id=project, task_id=201, url="u", status="unusable"))
        session.add(Item(project_id=project, task_id=202, url="u", content="d" * 64, status="labeled"))
        session.get_one(Item, (project, 101)).status = "labeled"
        session.get_one(Item, (project, 111)).status = "skipped"
        note_problem(session, project, "image_missing", "Its image answers 404.", 201)
    assert "came after nextlabel-1-abcd was ranked" in why(client, project, 200)["sentence"]
    assert why(client, project, 201)["sentence"] == "Task 201 cannot be ranked: Its image answers 404."
    assert "is labeled, so the queue does not hold it" in why(client, project, 202)["sentence"]
    assert why(client, project, 101)["sentence"].endswith("It is labeled since.")
    assert "it was skipped" in why(client, project, 111)["sentence"]
    assert client.get(f"/api/projects/{project}/tasks/7/why").status_code == 404
    empty = add_project(rooms, key="5.1")
    with rooms.ledger.session() as session:
        session.add(Item(project_id=empty, task_id=1, url="u", content="c" * 64))
    assert why(client, empty, 1)["sentence"] == "Task 1 has no place: no ranking is live yet."


def test_an_override_is_kept_shown_and_undone(client: TestClient, rooms: House, project: int) -> None:
    url = f"/api/projects/{project}/tasks/110/override"
    changed = client.put(url, json={"kind": "front"}, headers={"X-NextLabel-Author": "Ada"}).json()
    assert changed == {"task_id": 110, "kind": "front", "request": "queued"}
    assert wishes(rooms, project) == {"rank": "task 110 pinned to the front by Ada"}
    (row,) = client.get(f"/api/projects/{project}/overrides").json()
    assert (row["task_id"], row["kind"], row["author"], row["status"]) == (110, "front", "Ada", "unlabeled")
    told = why(client, project, 110)
    assert told["override"] == "front"
    assert told["sentence"].endswith("it was pinned to the front by Ada, and the ranking that obeys is on its way.")
    assert client.put(url, json={"kind": "exclude", "author": "Ben"}).json()["request"] == "coalesced"
    assert client.delete(url).json()["kind"] is None
    assert client.delete(url).status_code == 404
    assert client.get(f"/api/projects/{project}/overrides").json() == []
    with rooms.ledger.session() as session:
        assert [row.what for row in session.query(Change).order_by(Change.id)] == [
            "task 110 pinned to the front",
            "task 110 excluded from the queue",
            "task 110 is no longer excluded from the queue",
        ]


def test_why_an_overridden_task_stands_there_once_a_ranking_obeyed(
    client: TestClient, rooms: House, project: int
) -> None:
    client.put(f"/api/projects/{project}/tasks/100/override", json={"kind": "front", "author": "Ada"})
    with rooms.ledger.session() as session:
        live = session.query(Publication).one()
        live.created_at = now()
        session.get_one(PublishedItem, (live.id, 100)).reason = "pinned to the front by Ada"
    assert why(client, project, 100)["sentence"].endswith("it was pinned to the front by Ada.")
    client.delete(f"/api/projects/{project}/tasks/100/override")
    assert why(client, project, 100)["sentence"].endswith(
        "it was pinned to the front by Ada, which is undone, and the ranking that obeys is on its way."
    )


@pytest.mark.parametrize(
    ("task", "body", "status", "words"),
    [
        (110, {"kind": "top"}, 422, "kind"),
        (110, {}, 422, "kind"),
        (7, {"kind": "front"}, 409, "Task 7 is not among"),
        (0, {"kind": "front"}, 422, "task_id"),
    ],
)
def test_what_cannot_be_overridden_is_refused(
    client: TestClient, rooms: House, project: int, task: int, body: dict[str, str], status: int, words: str
) -> None:
    answer = client.put(f"/api/projects/{project}/tasks/{task}/override", json=body)
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True)
    assert wishes(rooms, project) == {}


def work(rooms: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that works off what waits, in this process."""
    monkeypatch.setattr(preview_job, "house", lambda: rooms)
    SimpleWorker([rooms.queue], connection=rooms.redis).work(burst=True, logging_level="WARNING")


def test_a_preview_is_computed_by_a_worker_and_fetched(
    client: TestClient, rooms: House, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"/api/projects/{project}/plan/preview"
    asked = client.post(url, json={"changes": {"seed": 7}})
    assert asked.status_code == 202
    number = asked.json()["id"]
    assert client.get(f"{url}/{number}").json()["status"] == "waiting"
    work(rooms, monkeypatch)
    told = client.get(f"{url}/{number}").json()
    assert (told["status"], told["error"]) == ("done", None)
    result = told["result"]
    assert (result["phase"], result["compared"], result["changed"]) == ("random", TOTAL, 0)
    assert result["changes"] == ["seed: 0 -> 7"]
    assert client.get(f"/api/projects/{project}/plan").json()["number"] == 0
    assert wishes(rooms, project) == {}


def test_a_preview_that_cannot_be_says_why(
    client: TestClient, rooms: House, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"/api/projects/{project}/plan/preview"
    number = client.post(url, json={"changes": {"learner": {"name": "small_network"}}}).json()["id"]
    work(rooms, monkeypatch)
    told = client.get(f"{url}/{number}").json()
    assert (told["status"], told["result"]) == ("failed", None)
    assert "only after a training" in told["error"]
    refused = client.post(url, json={"changes": {"batch": 0}})
    assert (refused.status_code, "batch = 0" in refused.json()["detail"]) == (422, True)
    for unknown in ("x", f"preview-{project}-{'0' * 32}", f"preview-{project + 1}-{number[-32:]}"):
        assert client.get(f"{url}/{unknown}").json()["status"] == "unknown"


def test_a_newer_preview_takes_the_place_of_one_that_waits(rooms: House, project: int) -> None:
    older = request_preview(rooms, project, Plan())
    newer = request_preview(rooms, project, Plan(seed=1))
    assert (read_preview(rooms, project, older).status, read_preview(rooms, project, newer).status) == (
        "unknown",
        "waiting",
    )


def test_two_versions_of_the_plan_side_by_side(client: TestClient, project: int) -> None:
    url = f"/api/projects/{project}/plan"
    client.patch(url, json={"changes": {"batch": 20}})
    client.patch(url, json={"changes": {"scorers": [{"name": "entropy", "weight": 2}]}})
    told = client.get(f"{url}/diff?old=0&new=2").json()
    assert [change["sentence"] for change in told["changes"]] == [
        "scorer margin: weight 1 -> off",
        "batch: by default -> 20",
        "scorer entropy: off -> weight 2",
    ]
    assert client.get(f"{url}/diff?old=0&new=9").status_code == 404


def test_a_plan_in_extra_params_arrives_with_setup(client: TestClient, rooms: House, project: int) -> None:
    body = {**payload("setup"), "project": KEY, "extra_params": '{"batch": 33}'}
    assert client.post("/setup", json=body).json()["model_version"] == "nextlabel-1-abcd"
    until(lambda: client.get(f"/api/projects/{project}/plan").json()["number"] == 1)
    plan = client.get(f"/api/projects/{project}/plan").json()
    assert (plan["body"]["batch"], plan["author"]) == (33, "Label Studio extra_params")
    until(lambda: wishes(rooms, project) == {"rank": "plan 1"})


def test_a_preview_that_breaks_is_told_and_logged(
    client: TestClient, rooms: House, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = client.post(f"/api/projects/{project}/plan/preview", json={"changes": {"seed": 1}}).json()["id"]

    def breaks(*_: object) -> None:
        raise KeyError("label_history")

    monkeypatch.setattr("ml_backend.loop.preview.preview", breaks)
    work(rooms, monkeypatch)
    told = client.get(f"/api/projects/{project}/plan/preview/{number}").json()
    assert told["status"] == "failed"
    assert told["error"] == "The preview failed (KeyError: 'label_history'); the worker's log says more."
