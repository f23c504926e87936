"""Runs and Models: what is shown of them, and what their buttons do to ledger, Redis and stored arrays."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from benchmarks.filled_ledger import fill
from ml_backend.loop import jobs, publish
from ml_backend.loop.house import House
from ml_backend.loop.learning import model_key
from ml_backend.loop.publish import ranking_key
from ml_backend.store.runs import CycleRun, KeptVersion
from ml_backend.store.tables import Change, Cycle, Publication
from tests.server.conftest import People

HTML = {"Accept": "text/html"}


@pytest.fixture
def filled(rooms: House) -> int:
    return fill(rooms, 300, cycles=12)


@pytest.fixture
def ada(client: TestClient, people: People) -> str:
    """An admin is logged in; the CSRF token."""
    return people.log_in(client, "ada")


# runs


def test_a_running_cycle_is_told_with_its_stage_and_log_and_can_be_stopped(
    client: TestClient, rooms: House, ada: str
) -> None:
    number = fill(rooms, 200, cycles=13, running=True)
    text = client.get(f"/projects/{number}/runs", headers=HTML).text
    assert "Stage: <strong>learn</strong>" in text
    assert "left" in text
    assert "learn: step 19 of 20" in text
    said = client.post(f"/projects/{number}/runs/13/cancel", data={"csrf": ada}, headers=HTML).text
    assert "Run 13 stops at its next step; the queue stays as it is." in said
    assert "asked by ada" in said
    with rooms.ledger.session() as session:
        cycle = session.query(Cycle).filter_by(number=13).one()
        assert session.get_one(CycleRun, cycle.id).cancelled_by == "ada"
    assert "does not run any more" in client.post(f"/projects/{number}/runs/1/cancel", data={"csrf": ada}).text


@pytest.mark.parametrize(
    ("phase", "kind"), [("publish", "rank"), ("rank", "rank"), ("learn", "train"), ("sync", "train")]
)
def test_a_failed_run_is_tried_again_from_where_it_stopped(
    client: TestClient, rooms: House, ada: str, filled: int, phase: str, kind: str
) -> None:
    with rooms.ledger.session() as session:
        session.query(Cycle).filter_by(number=4).one().phase = phase
    client.post(f"/projects/{filled}/runs/4/retry", data={"csrf": ada})
    assert jobs.wish(rooms, filled) == (kind, "tried again by ada")


def test_what_waits_is_shown_and_taken_back(client: TestClient, rooms: House, ada: str, filled: int) -> None:
    jobs.request_cycle(rooms, filled, "train", "10 new labels")
    assert "10 new labels" in client.get(f"/projects/{filled}/runs", headers=HTML).text
    said = client.post(f"/projects/{filled}/runs/withdraw", data={"csrf": ada}, headers=HTML).text
    assert "is taken back" in said
    assert jobs.wish(rooms, filled) is None
    assert "Nothing waits any more." in client.post(f"/projects/{filled}/runs/withdraw", data={"csrf": ada}).text


def test_a_run_in_full(client: TestClient, ada: str, filled: int) -> None:
    text = client.get(f"/projects/{filled}/runs/4", headers=HTML).text
    assert "Label Studio does not answer." in text
    assert "trainer-1" in text
    assert "learn: step 19 of 20" in text


# models


def test_a_version_is_kept_let_go_and_deleted_but_never_the_current_one(
    client: TestClient, rooms: House, ada: str, filled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[tuple[int, str]] = []

    class Theirs:
        def project(self, number: int) -> dict[str, Any]:
            return {"model_version": "nextlabel-12-abcd"}

        def delete_version(self, number: int, version: str) -> None:
            deleted.append((number, version))

        def close(self) -> None:
            return

    monkeypatch.setattr(House, "studio", lambda *_: Theirs())

    def press(version: str, action: str) -> str:
        answer = client.post(f"/projects/{filled}/models/{version}/{action}", data={"csrf": ada}, headers=HTML)
        return str(answer.text)

    assert "kept until you let them go" in press("nextlabel-8-abcd", "keep")
    assert "kept by ada" in client.get(f"/projects/{filled}/models", headers=HTML).text
    assert "is kept; let it go first" in press("nextlabel-8-abcd", "delete")
    assert "is pruned once newer ones" in press("nextlabel-8-abcd", "let-go")
    assert "is live; make another one current first" in press("nextlabel-12-abcd", "delete")
    assert deleted == []
    assert "nextlabel-8-abcd is deleted." in press("nextlabel-8-abcd", "delete")
    assert [version for _, version in deleted] == ["nextlabel-8-abcd"]
    assert not rooms.arrays.exists(ranking_key(filled, "nextlabel-8-abcd"))
    assert rooms.arrays.exists(model_key(filled, 8))  # the ranking of cycle 9 was made with it
    press("nextlabel-9-abcd", "delete")
    assert not rooms.arrays.exists(model_key(filled, 8))
    assert rooms.arrays.exists(model_key(filled, 11))
    with rooms.ledger.session() as session:
        assert session.query(KeptVersion).count() == 0
        assert session.query(Publication).filter_by(model_version="nextlabel-8-abcd").one().state == "pruned"
        assert session.query(Change).filter(Change.what.like("deleted%")).count() == 2
    assert "is not there any more" in press("nextlabel-8-abcd", "keep")


def test_an_older_version_is_made_current(
    client: TestClient, rooms: House, ada: str, filled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed: list[tuple[int, str, str]] = []

    def rollback(house: House, project_id: int, version: str, *, author: str) -> None:
        if version == "nextlabel-1-abcd":
            raise publish.PublishError("Version 'nextlabel-1-abcd' cannot be made live; these can: none.")
        pressed.append((project_id, version, author))

    monkeypatch.setattr("ml_backend.loop.publish.rollback", rollback)
    said = client.post(f"/projects/{filled}/models/nextlabel-9-abcd/current", data={"csrf": ada}, headers=HTML)
    assert "nextlabel-9-abcd is current" in said.text
    assert pressed == [(filled, "nextlabel-9-abcd", "ada")]
    said = client.post(f"/projects/{filled}/models/nextlabel-1-abcd/current", data={"csrf": ada}, headers=HTML)
    assert "cannot be made live" in said.text


def test_a_model_is_taken_along(client: TestClient, ada: str, filled: int) -> None:
    answer = client.get(f"/projects/{filled}/models/nextlabel-12-abcd/model.npz")
    assert answer.headers["content-disposition"] == 'attachment; filename="nextlabel-12-abcd.npz"'
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as model:
        assert model["weights"].shape == (512, 10)
    assert client.get(f"/projects/{filled}/models/nextlabel-1-abcd/model.npz", headers=HTML).status_code == 404
    assert client.get(f"/projects/{filled}/models/..%2Fx/model.npz", headers=HTML).status_code == 404
