"""The pages' levers against a real Label Studio and worker: cancel, make current, keep, delete, connect again."""

from __future__ import annotations

import re

import httpx
import pytest

from ml_backend.loop.cycle import run_cycle
from ml_backend.loop.kept import kept_publications
from ml_backend.loop.plan import ChosenLearner, ColdStart, Plan, Policy, save_plan
from ml_backend.server import accounts
from ml_backend.store.runs import CycleRun
from ml_backend.store.tables import Problem, Publication
from tests.loop.conftest import PASSWORD, USER, Loop, until

pytestmark = pytest.mark.studio

QUIET = Policy(new_labels=1000, minutes=10_000)
COLD = ColdStart(labels_per_class=1, at_most=1)
SLOW = ChosenLearner(name="small_network", config={"epochs": 10_000})


class Visit:
    """An admin's browser without a screen."""

    def __init__(self, loop: Loop) -> None:
        with loop.house.ledger.session() as session:
            user = accounts.add_user(session, "ada", "a password of 10", "admin", author="test")
            cookie = accounts.open_session(session, user)
        self._base = f"{loop.house.settings.backend_url}/projects/{loop.project}"
        self.client = httpx.Client(
            cookies={"nextlabel_session": cookie}, follow_redirects=True, timeout=60, headers={"Accept": "text/html"}
        )
        found = re.search(r'name="csrf" value="([^"]+)"', self.see("/models"))
        assert found is not None
        self._csrf = found.group(1)

    def see(self, path: str) -> str:
        return self.client.get(self._base + path).raise_for_status().text

    def press(self, path: str) -> str:
        return self.client.post(self._base + path, data={"csrf": self._csrf}).raise_for_status().text


def states(loop: Loop) -> dict[str, str]:
    with loop.house.ledger.session() as session:
        return {row.model_version: row.state for row in session.query(Publication)}


def test_versions_are_made_current_kept_and_deleted(loop: Loop) -> None:
    loop.create(60)
    loop.label_some(30)
    loop.start_backend()
    first = loop.connect(Plan(policy=QUIET, cold_start=COLD)).cycle
    assert first is not None
    second = run_cycle(loop.house, loop.project, "rank", "test")
    assert first.model_version is not None
    visit = Visit(loop)
    assert f"{first.model_version} is current" in visit.press(f"/models/{first.model_version}/current")
    assert loop.studio.project(loop.number)["model_version"] == first.model_version
    assert loop.next_ids(1) == loop.order(first.model_version)[:1]
    assert "make another one current first" in visit.press(f"/models/{first.model_version}/delete")
    visit.press(f"/models/{second.model_version}/keep")
    assert len(kept_publications(loop.house, loop.project)) == 1
    visit.press(f"/models/{second.model_version}/let-go")
    assert "is deleted" in visit.press(f"/models/{second.model_version}/delete")
    assert states(loop) == {first.model_version: "live", second.model_version: "pruned"}
    packed = visit.client.get(
        f"{loop.house.settings.backend_url}/projects/{loop.project}/models/{first.model_version}/model.npz"
    )
    assert packed.content[:2] == b"PK"
    checks = visit.see("/health")
    assert "model_version" in checks
    assert "Start one with <code>nextlabel worker</code>" in checks


def test_a_disconnected_project_is_connected_again(loop: Loop) -> None:
    loop.create(40)
    loop.label_some(20)
    backend = loop.start_backend()
    loop.connect(Plan(policy=QUIET, cold_start=COLD))
    for webhook in loop.studio.webhooks(loop.number):
        loop.studio.delete_webhook(int(webhook["id"]))
    with loop.house.ledger.session() as session:
        session.add(Problem(project_id=loop.project, kind="project_gone", message="gone"))
    row = loop.row()
    with loop.house.ledger.session() as session:
        session.merge(row).state = "gone"
    visit = Visit(loop)
    assert "Connect again" in visit.see("")
    assert "Connected again. A cycle is queued." in visit.press("/reconnect")
    assert len(loop.studio.webhooks(loop.number)) == 1
    assert loop.row().state == "connected"
    assert backend.poll() is None


def test_a_training_under_way_is_watched_and_cancelled(loop: Loop) -> None:
    loop.create(60)
    loop.label_some(40)
    loop.start_backend()
    loop.connect(Plan(policy=QUIET, cold_start=COLD))
    live = loop.row().live_version
    with loop.house.ledger.session() as session:
        save_plan(session, loop.project, Plan(policy=QUIET, cold_start=COLD, learner=SLOW), author="test")
    visit = Visit(loop)
    assert "A training is queued." in visit.press("/train")
    assert "asked by ada" in visit.see("/runs")
    loop.start("worker")

    def learns() -> bool:
        cycle = loop.last_cycle()
        return cycle is not None and cycle.number == 2 and cycle.phase == "learn"

    until(learns, 120, "the training's second stage")
    assert "Stage: <strong>learn</strong>" in visit.see("/runs")
    assert "stops at its next step" in visit.press("/runs/2/cancel")

    def ended() -> bool:
        cycle = loop.last_cycle()
        return cycle is not None and cycle.status != "running"

    until(ended, 120, "the end of the training")
    cycle = loop.last_cycle()
    assert cycle is not None
    assert (cycle.status, cycle.error) == ("cancelled", "Cancelled by ada; the queue stays as it was.")
    assert loop.row().live_version == live
    with loop.house.ledger.session() as session:
        lines = session.get_one(CycleRun, cycle.id).log
    assert any("learn ..." in line for line in lines)
    assert any("cycle project=" in line for line in lines)
    with httpx.Client(auth=(USER, PASSWORD)) as program:
        listed = program.get(f"{loop.house.settings.backend_url}/api/projects/{loop.project}/cycles").json()
    assert listed[0]["status"] == "cancelled"
