"""The levers for programs: watch and stop a cycle, keep and delete versions, read who changed what."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from benchmarks.filled_ledger import fill
from ml_backend.loop import jobs
from ml_backend.loop.house import House


@pytest.fixture
def filled(rooms: House) -> int:
    return fill(rooms, 100, cycles=13, running=True)


@pytest.fixture
def ask(client: TestClient, filled: int) -> Any:
    def ask(method: str, path: str) -> Any:
        answer = client.request(method, f"/api/projects/{filled}{path}", headers={"X-NextLabel-Author": "Ada"})
        return answer.status_code, answer.json()

    return ask


def test_a_cycle_is_watched_and_stopped(ask: Any) -> None:
    status, run = ask("GET", "/cycles/13")
    assert (status, run["status"], run["phase"], run["machine"]) == (200, "running", "learn", "trainer-1")
    assert 0 < run["share"] < 1
    assert run["log"][-1].endswith("step 19 of 20")
    assert ask("POST", "/cycles/13/cancel") == (200, {"said": "Cycle 13 stops at its next step."})
    assert ask("GET", "/cycles/13")[1]["cancelled_by"] == "Ada"
    assert ask("POST", "/cycles/12/cancel") == (409, {"detail": "Cycle 12 does not run; it is published."})
    assert ask("GET", "/cycles/99")[0] == 404


def test_a_failed_cycle_is_tried_again(ask: Any, rooms: House, filled: int) -> None:
    assert ask("POST", "/cycles/4/retry") == (200, {"said": "A cycle is queued."})
    assert jobs.wish(rooms, filled) == ("rank", "tried again by Ada")
    assert ask("POST", "/cycles/12/retry")[0] == 409


def test_versions(ask: Any, client: TestClient, filled: int) -> None:
    assert ask("PUT", "/versions/nextlabel-9-abcd/keep") == (200, {"said": "nextlabel-9-abcd is kept."})
    status, refused = ask("DELETE", "/versions/nextlabel-9-abcd")
    assert (status, refused["detail"]) == (409, "Version 'nextlabel-9-abcd' is kept; let it go first.")
    assert ask("DELETE", "/versions/nextlabel-9-abcd/keep")[0] == 200
    assert ask("DELETE", "/versions/nextlabel-9-abcd")[0] == 502  # Label Studio is nowhere, so nothing was deleted
    assert ask("PUT", "/versions/nextlabel-1-abcd/keep")[0] == 409
    packed = client.get(f"/api/projects/{filled}/versions/nextlabel-12-abcd/model")
    with np.load(io.BytesIO(packed.content)) as arrays:
        assert list(arrays) == ["weights"]
    assert ask("GET", "/versions/nextlabel-1-abcd/model")[0] == 404


def test_changes(ask: Any) -> None:
    ask("PUT", "/versions/nextlabel-9-abcd/keep")
    status, changes = ask("GET", "/changes?limit=2")
    assert (status, changes[0]["author"], changes[0]["what"]) == (200, "Ada", "keeps nextlabel-9-abcd")
    assert len(changes) == 2
