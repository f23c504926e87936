"""The gain over REST, and that only admins can tell a control item from a ranked one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ml_backend.loop.house import House
from ml_backend.loop.publish import PROPENSITY, ranking_key
from ml_backend.store.tables import ControlAnswer, Cycle, Publication, PublishedItem
from tests.server.conftest import KEY, payload

SAVINGS = {
    "labels": 90,
    "labeled": 100,
    "draws": 31,
    "accuracy": {"value": 0.9, "low": 0.8, "high": 0.95},
    "needed": {"value": 140.0, "low": 110.0, "high": None},
    "saved": {"value": 50.0, "low": 20.0, "high": None},
    "curve": {"12": {"value": 0.5, "low": 0.4, "high": 0.6}},
}


def draw(rooms: House, project: int, task: int) -> None:
    """Makes a task of the live queue a control item."""
    key = ranking_key(project, "nextlabel-1-abcd")
    arrays = rooms.arrays.read(key)
    assert arrays is not None
    propensity = np.where(arrays["task_id"] == task, 1 / 3, np.nan)
    rooms.arrays.write(key, {**arrays, PROPENSITY: propensity})
    with rooms.ledger.session() as session:
        live = session.query(Publication).filter_by(project_id=project).one()
        item = session.get_one(PublishedItem, (live.id, task))
        item.arm, item.propensity = "control", 1 / 3


def test_before_any_control_answer(client: TestClient, rooms: House, project: int) -> None:
    draw(rooms, project, 20001)
    gain = client.get(f"/api/projects/{project}/gain").json()
    assert (gain["share"], gain["answered"], gain["waiting"]) == (0.05, 0, 1)
    assert gain["remaining"] is gain["collection"] is gain["savings"] is None
    assert "0 of the 30" in gain["sentences"][1]


def test_the_gain_in_full(client: TestClient, rooms: House, project: int) -> None:
    with rooms.ledger.session() as session:
        cycle = session.query(Cycle).filter_by(project_id=project).one()
        cycle.metrics = {"savings": SAVINGS}
        for task, label in enumerate(("cat", "cat", "dog"), start=1):
            session.add(
                ControlAnswer(
                    project_id=project,
                    task_id=task,
                    cycle=task,
                    model_version="v",
                    rank=0,
                    propensity=0.1,
                    predicted="cat",
                    label=label,
                    status="answered",
                    answered_at=datetime(2026, 1, task, tzinfo=UTC),
                )
            )
    gain = client.get(f"/api/projects/{project}/gain").json()
    assert gain["remaining"]["value"] == pytest.approx(2 / 3)
    assert gain["remaining"]["low"] < 2 / 3 < gain["remaining"]["high"]
    assert (gain["remaining"]["n"], gain["cycles"], gain["savings_cycle"]) == (3, [1, 3], 1)
    assert gain["savings"]["saved"] == {"value": 50.0, "low": 20.0, "high": None}
    assert gain["savings"]["curve"]["12"]["value"] == 0.5
    assert any("At least 20 labels saved" in sentence for sentence in gain["sentences"])
    newest = client.get(f"/api/projects/{project}/gain?window=1&since=2").json()
    assert (newest["remaining"]["value"], newest["cycles"]) == (0.0, [3, 3])


@pytest.mark.parametrize("query", ["window=0", "window=x", "since=0", "since=99999999999"])
def test_a_wrong_window_is_a_sentence(client: TestClient, project: int, query: str) -> None:
    answer = client.get(f"/api/projects/{project}/gain?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["detail"]


def test_openapi_says_what_the_gain_is(client: TestClient) -> None:
    openapi = client.get("/openapi").json()
    assert "/api/projects/{project_id}/gain" in openapi["paths"]
    assert all("description" in field for field in openapi["components"]["schemas"]["GainView"]["properties"].values())


def test_admins_see_the_arm_and_label_studio_does_not(client: TestClient, rooms: House, project: int) -> None:
    body = payload("predict")
    task = next(int(asked["id"]) for asked in body["tasks"] if int(asked["id"]) in (20001, 20002, 20003, 20004))
    before = client.post("/predict", json=body).json()
    draw(rooms, project, task)
    client.app.state.protocol.answers._rankings.clear()  # type: ignore[attr-defined]  # FastAPI's state is untyped
    after = client.post("/predict", json=body)
    assert after.json() == before
    assert "control" not in after.text
    assert "propensity" not in json.dumps(before)
    items = {item["task_id"]: item for item in client.get(f"/api/projects/{project}/queue").json()["items"]}
    assert (items[task]["arm"], items[task]["propensity"]) == ("control", pytest.approx(1 / 3))
    assert {item["arm"] for number, item in items.items() if number != task} == {"ranked"}
    assert body["project"] == KEY
