"""Bad input and bad days: each ends as a named problem, nothing loops and nothing is lost."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from sqlalchemy import select

from ml_backend.loop.cycle import run_cycle
from ml_backend.loop.jobs import request_cycle
from ml_backend.loop.plan import Plan, Policy
from ml_backend.loop.reconcile import reconcile
from ml_backend.loop.sync import ProjectGoneError, UnusableProjectError, sync
from ml_backend.store.tables import Cycle, Item, Problem
from ml_backend.studio.client import Studio, StudioError
from ml_backend.studio.config_xml import ConfigError
from tests.loop.conftest import CONFIG, Loop, digit_images, until

pytestmark = pytest.mark.studio

QUIET = Plan(policy=Policy(new_labels=1000, minutes=10_000))


def problems(loop: Loop) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    with loop.house.ledger.session() as session:
        query = select(Problem).where(Problem.project_id == loop.project, Problem.solved_at.is_(None))
        for row in session.scalars(query):
            found.setdefault(row.kind, []).append(row.task_id)
    return found


def test_bad_items_are_named_and_the_rest_is_served(loop: Loop) -> None:
    good = loop.create(40)
    uris, answers = digit_images(4, seed=9)
    bad = loop.studio.import_tasks(
        loop.number,
        [
            {"image": "data:image/png;base64,AAAA"},
            {"image": "/data/upload/1/nothing-here.png"},
            {"picture": uris[0], "image": ""},
            {"image": "http://127.0.0.1:9/closed.png"},
        ],
    )
    strange = loop.studio.import_tasks(loop.number, [{"image": uris[1]}])[0]
    loop.truth[strange] = answers[1]
    loop.label_some(20)
    loop.start_backend()
    done = loop.connect(QUIET)
    assert done.cycle is not None
    assert done.cycle.status == "published", done.cycle.error
    assert not set(loop.order()) & set(bad)
    named = problems(loop)
    assert {task for tasks in named.values() for task in tasks} >= set(bad)
    again = run_cycle(loop.house, loop.project, "train", "again")
    assert again.status == "published"
    with loop.house.ledger.session() as session:
        counts = list(session.scalars(select(Problem.count).where(Problem.task_id.in_(bad))))
    assert max(counts) == 1, "what failed a moment ago is not fetched again at once"
    assert set(loop.order()) <= set(good) | {strange}


def test_labels_that_the_config_no_longer_has_are_counted_and_come_back(loop: Loop) -> None:
    loop.create(60)
    loop.label_some(30)
    loop.start_backend()
    loop.connect(QUIET)
    without_nine = CONFIG.replace('<Choice value="9"/>', '<Choice value="other"/>')
    with loop.house.ledger.session() as session:
        nines = len(list(session.scalars(select(Item).where(Item.project_id == loop.project, Item.label == "9"))))
    assert nines
    answer = loop.studio.update_project(loop.number, label_config=without_nine)
    assert answer["label_config"] == without_nine
    sync(loop.house, loop.studio, loop.project)
    assert len(problems(loop)["unknown_label"]) == nines
    loop.studio.update_project(loop.number, label_config=CONFIG)
    sync(loop.house, loop.studio, loop.project)
    assert "unknown_label" not in problems(loop)


@pytest.mark.parametrize(
    "config",
    [
        '<View><Image name="image" value="$image"/></View>',
        CONFIG.replace('toName="image">', 'toName="image" choice="multiple">'),
        '<View><Text name="t" value="$image"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>',
    ],
)
def test_a_config_that_cannot_be_learned_is_refused_and_nothing_is_kept(loop: Loop, config: str) -> None:
    loop.create(3, config=config)
    loop.start_backend()
    with pytest.raises(ConfigError):
        loop.connect()
    assert not loop.studio.backends(loop.number)
    with loop.house.ledger.session() as session:
        assert session.query(Cycle).count() == 0


def test_a_config_that_becomes_unusable_stops_the_loop_but_not_the_queue(loop: Loop) -> None:
    loop.create(30)
    loop.start_backend()
    loop.connect(QUIET)
    before = loop.row().live_version
    loop.studio.update_project(loop.number, label_config='<View><Image name="image" value="$image"/></View>')
    with pytest.raises(UnusableProjectError):
        sync(loop.house, loop.studio, loop.project)
    for _ in range(3):
        assert reconcile(loop.house, loop.project).kind is None
    assert loop.row().live_version == before
    assert any(kind.startswith("config_") for kind in problems(loop))
    loop.studio.update_project(loop.number, label_config=CONFIG)
    assert run_cycle(loop.house, loop.project, "train", "mended").status == "published"
    assert not any(kind.startswith("config_") for kind in problems(loop))


def test_a_project_deleted_under_way_is_marked_gone(loop: Loop) -> None:
    loop.create(20)
    loop.start_backend()
    loop.connect(QUIET)
    loop.studio.call("DELETE", f"/api/projects/{loop.number}")
    assert run_cycle(loop.house, loop.project, "train", "test").status == "failed"
    assert loop.row().state == "gone"
    with pytest.raises(ProjectGoneError):
        sync(loop.house, loop.studio, loop.project)
    assert reconcile(loop.house, loop.project).kind is None


def test_a_wrong_token_is_one_sentence(loop: Loop) -> None:
    loop.create(5)
    loop.studio = Studio(loop.studio.url, "0" * 40)
    with pytest.raises(StudioError, match="Check the token"):
        loop.connect()


class _Failing(Studio):
    """Label Studio that goes away, or drops rows, at the moment of the import."""

    fault = "away"

    def import_predictions(self, project: int, predictions: list[dict[str, Any]]) -> int:
        if self.fault == "away":
            raise StudioError("Label Studio does not answer (injected).")
        return super().import_predictions(project, predictions[:-1])


@pytest.mark.parametrize("fault", ["away", "drops"])
def test_a_fault_while_publishing_leaves_the_old_queue_and_is_made_good(
    loop: Loop, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.create(50)
    loop.label_some(20)
    loop.start_backend()
    first = loop.connect(QUIET)
    assert first.cycle is not None
    order, version = loop.order(), loop.row().live_version
    failing = _Failing(loop.studio.url, loop.studio.token)
    failing.fault = fault
    with monkeypatch.context() as patched:
        patched.setattr(type(loop.house), "studio", lambda *_: failing)
        failed = run_cycle(loop.house, loop.project, "train", "test")
    assert (failed.status, failed.phase) == ("failed", "publish")
    assert loop.row().live_version == version == loop.studio.project(loop.number)["model_version"]
    assert loop.next_ids(2) == order[:2]
    assert "cycle_failed" in problems(loop)
    decision = reconcile(loop.house, loop.project)
    assert decision.kind == "rank", "what was learned is not learned again"
    loop.start("worker")
    made_good = loop.published_since(failed.number)
    assert made_good.evidence_cycle == failed.number
    assert "cycle_failed" not in problems(loop)


def test_a_killed_worker_costs_only_delay(loop: Loop) -> None:
    loop.create(50)
    loop.label_some(20)
    loop.start_backend()
    connected = loop.connect(QUIET)
    assert connected.cycle is not None
    worker = loop.start("worker")
    request_cycle(loop.house, loop.project, "train", "test")
    until(lambda: (loop.last_cycle() or connected.cycle).number > connected.cycle.number, what="the cycle to start")  # type: ignore[union-attr]  # narrowed above
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    loop.house.redis.delete(
        f"{loop.house.settings.queue_prefix}:lock:{loop.project}"
    )  # what waiting out its expiry does
    loop.start("worker")
    done = loop.published_since(connected.cycle.number)
    assert done.labels == 20


def test_lost_webhooks_cost_only_delay(loop: Loop) -> None:
    loop.create(60)
    loop.start_backend()
    connected = loop.connect(Plan(policy=Policy(new_labels=12, minutes=10_000)))
    assert connected.cycle is not None
    for hook in loop.studio.webhooks(loop.number):
        loop.studio.delete_webhook(hook["id"])
    loop.label_some(12)
    loop.start("worker")
    assert loop.published_since(connected.cycle.number).labels == 12


def test_new_and_deleted_tasks_are_followed(loop: Loop) -> None:
    ids = loop.create(40)
    loop.label_some(20)
    loop.start_backend()
    loop.start("worker")
    connected = loop.connect(QUIET)
    assert connected.cycle is not None
    uris, answers = digit_images(5, seed=3)
    added = loop.studio.import_tasks(loop.number, [{"image": uri} for uri in uris])
    loop.truth.update(zip(added, answers, strict=True))
    ranked = loop.published_since(connected.cycle.number)
    assert ranked.kind == "rank", "new tasks are predicted by the last model, not trained on"
    assert set(added) <= set(loop.order())
    gone = loop.order()[0]
    loop.studio.call("DELETE", f"/api/tasks/{gone}/")
    assert loop.next_ids(1) == loop.order()[1:2]
    sync(loop.house, loop.studio, loop.project)
    with loop.house.ledger.session() as session:
        assert session.get(Item, (loop.project, gone)) is None
        assert session.query(Item).filter_by(project_id=loop.project).count() == len(ids) + 4


def test_deleted_live_predictions_are_published_again(loop: Loop) -> None:
    loop.create(30)
    loop.start_backend()
    loop.start("worker")
    connected = loop.connect(QUIET)
    assert connected.cycle is not None
    assert connected.cycle.model_version is not None
    loop.studio.delete_version(loop.number, connected.cycle.model_version)
    renewed = loop.published_since(connected.cycle.number)
    assert loop.next_ids(2) == loop.order(renewed.model_version)[:2]
