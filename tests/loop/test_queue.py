"""The queue is ours: Label Studio's own next-task endpoint serves exactly what was published."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial

import pytest

from ml_backend.loop.cycle import run_cycle
from ml_backend.loop.jobs import request_cycle
from ml_backend.loop.plan import ChosenScorer, ColdStart, Plan, Policy, changed_plan, read_plan
from ml_backend.loop.publish import rollback
from ml_backend.loop.switch import switch_plan
from ml_backend.loop.sync import sync
from ml_backend.loop.upkeep import KEEP_VERSIONS, extend, prune, reassert
from ml_backend.store.tables import Project, PublishedItem, now
from ml_backend.studio.client import Studio
from tests.loop.conftest import Loop, sign_up, until

pytestmark = pytest.mark.studio

QUIET = Plan(policy=Policy(new_labels=1000, minutes=10_000), cold_start=ColdStart(labels_per_class=1, at_most=1))


def unlabeled(loop: Loop, order: list[int]) -> list[int]:
    labeled = {int(task["id"]) for task in loop.studio.tasks(loop.number) if task["annotations"]}
    return [task for task in order if task not in labeled]


def serves(loop: Loop, order: list[int], count: int = 2) -> bool:
    """Whether Label Studio serves the first unlabeled tasks of an order."""
    expected = unlabeled(loop, order)[:count]
    return loop.next_ids(count) == expected


def shows_predictions(loop: Loop, shown: bool) -> bool:
    with loop.house.ledger.session() as session:
        return read_plan(session, loop.project)[1].show_predictions is shown


def test_one_turn_and_then_one_and_three_annotators_get_the_published_order(loop: Loop) -> None:
    loop.create(120)
    loop.label_some(40)
    loop.start_backend()
    done = loop.connect(QUIET)
    assert done.cycle is not None, loop.tail()
    assert (done.cycle.status, done.cycle.labels, done.cycle.pool) == ("published", 40, 80), done.cycle.error
    assert done.cycle.accuracy is not None
    assert 0 < (done.cycle.accuracy_low or 0) < done.cycle.accuracy < (done.cycle.accuracy_high or 0) <= 1
    assert "pixels" in done.cycle.features
    order = loop.order()
    assert len(order) == 80

    assert loop.next_ids(6) == order[:6]

    people = [loop.studio, sign_up(loop.studio), sign_up(loop.studio)]
    first_round = [(person, (person.next_task(loop.number) or {})["id"]) for person in people]
    assert [task for _, task in first_round] == order[6:9], "three annotators hold three locks, in order"
    for person, task in first_round:
        loop.annotate(task, studio=person)
    served = [task for _ in range(3) for person in people for task in loop.next_ids(1, person)]
    assert served == order[9:18]

    taken: list[int] = []
    lock = threading.Lock()

    def work(person: Studio) -> None:
        for task in loop.next_ids(4, person):
            with lock:
                taken.append(task)

    threads = [threading.Thread(target=work, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # In the same instant Label Studio on SQLite may hand one task to two people: its row lock needs PostgreSQL.
    assert set(taken) <= set(order[18:30]), "at the same time: nothing is served before its turn"
    assert taken.count(order[18]) >= 1


def test_the_order_holds_after_retrain_plan_change_rollback_and_toggle(loop: Loop) -> None:
    loop.create(120)
    loop.label_some(40)
    loop.start_backend()
    loop.start("worker")
    first = loop.connect(QUIET)
    assert first.cycle is not None
    assert loop.next_ids(2) == loop.order()[:2]

    request_cycle(loop.house, loop.project, "train", "test")
    retrained = loop.published_since(first.cycle.number)
    assert (retrained.kind, retrained.labels) == ("train", 42)
    assert serves(loop, loop.order())
    by_margin = loop.order()

    entropy = changed_plan(QUIET, {"scorers": [ChosenScorer(name="entropy").model_dump()]})
    switch_plan(loop.house, loop.project, entropy, author="test")
    ranked = loop.published_since(retrained.number)
    assert (ranked.kind, ranked.evidence_cycle) == ("rank", retrained.number), "no retraining"
    assert loop.order() != by_margin
    assert serves(loop, loop.order())

    assert retrained.model_version is not None
    rollback(loop.house, loop.project, retrained.model_version, author="test")
    assert loop.row().live_version == retrained.model_version
    assert serves(loop, by_margin)

    for shown in (False, True):
        loop.studio.update_project(loop.number, show_collab_predictions=shown)
        until(lambda: loop.studio.project(loop.number)["model_version"] == loop.row().live_version, 20, "the version")
        assert serves(loop, by_margin)
        until(partial(shows_predictions, loop, shown), 20, "the plan's adoption of Label Studio's toggle")
    assert reassert(loop.house, loop.project) == "kept"


def test_a_check_keeps_still_while_a_version_is_being_made_live(loop: Loop) -> None:
    loop.create(40)
    loop.label_some(20)
    loop.start_backend()
    assert loop.connect(QUIET).cycle is not None
    older = loop.row().live_version
    run_cycle(loop.house, loop.project, "train", "test")
    newer = loop.row().live_version
    with loop.house.ledger.session() as session:
        session.get_one(Project, loop.project).switching_at = now()
    loop.studio.update_project(loop.number, model_version=older)  # as a switch does, before the ledger follows
    assert reassert(loop.house, loop.project) == "kept"
    assert loop.studio.project(loop.number)["model_version"] == older
    with loop.house.ledger.session() as session:
        session.get_one(Project, loop.project).switching_at = now() - timedelta(minutes=2)  # its process died
    assert reassert(loop.house, loop.project) != "kept"
    assert loop.studio.project(loop.number)["model_version"] == newer


def test_the_live_queue_is_never_empty_or_mixed_while_versions_change(loop: Loop) -> None:
    """A reader asks all the time which version is live, and each answer must be a complete, known order."""
    loop.create(60)
    loop.label_some(20)
    loop.start_backend()
    loop.start("worker")
    connected = loop.connect(QUIET)
    assert connected.cycle is not None
    number, seen, over = connected.cycle.number, set[str](), threading.Event()
    wrong: list[str] = []

    def watch() -> None:
        reader = Studio(loop.studio.url, loop.studio.token)
        while not over.is_set():
            version = reader.project(loop.number)["model_version"]
            if reader.model_versions(loop.number).get(version, 0) != 40:
                wrong.append(f"{version} is live with {reader.model_versions(loop.number)}")
            seen.add(version)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for turn in range(3):
        plan = changed_plan(
            QUIET, {"scorers": [{"name": ("entropy", "margin")[turn % 2]}], "show_predictions": turn != 1}
        )
        switch_plan(loop.house, loop.project, plan, author="test")
        number = loop.published_since(number).number
    over.set()
    watcher.join()
    assert not wrong
    assert len(seen) >= 3


def test_labels_given_in_label_studio_start_the_next_cycle(loop: Loop) -> None:
    """Webhook, policy, worker and publication, with nothing but an annotator at work."""
    loop.create(100)
    loop.start_backend()
    loop.start("worker")
    plan = Plan(policy=Policy(new_labels=15, minutes=10_000))
    connected = loop.connect(plan)
    assert connected.cycle is not None
    assert connected.cycle.metrics["phase"] == "random"
    assert any("two classes" in note for note in connected.cycle.notes)
    loop.next_ids(15)
    cycle = loop.published_since(connected.cycle.number)
    assert (cycle.kind, cycle.labels) == ("train", 15)
    assert cycle.metrics["phase"] == "coverage"
    assert loop.next_ids(1) == loop.order()[:1]


def test_a_head_that_runs_low_is_extended_with_the_same_order(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("publish", "upkeep"):
        monkeypatch.setattr(f"ml_backend.loop.{module}.head_length", lambda *_: 10)
    loop.create(60)
    loop.label_some(20)
    loop.start_backend()
    loop.connect(QUIET)
    assert len(loop.order()) == 10
    served = loop.next_ids(6)
    sync(loop.house, loop.studio, loop.project)
    assert extend(loop.house, loop.project, loop.studio) == 10
    assert extend(loop.house, loop.project, loop.studio) == 0
    order = loop.order()
    assert len(order) == 20
    assert served + loop.next_ids(14) == order
    with loop.house.ledger.session() as session:
        later = session.query(PublishedItem).filter_by(rank=15).one()
        assert 0 <= later.detail["margin"]["percentile"] <= 1
        assert "rank 15" in later.reason


def test_old_versions_are_pruned_in_quiet_times_and_the_live_one_never(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.create(30)
    loop.start_backend()
    first = loop.connect(QUIET)
    assert first.cycle is not None
    for _ in range(7):
        run_cycle(loop.house, loop.project, "train", "test")
    assert prune(loop.house, loop.project, loop.studio) == [], "someone was at work a moment ago"
    monkeypatch.setattr("ml_backend.loop.upkeep.QUIET", timedelta(0))
    assert first.cycle.model_version is not None
    rollback(loop.house, loop.project, first.cycle.model_version, author="test")
    pruned = prune(loop.house, loop.project, loop.studio)
    assert len(pruned) == 3
    assert first.cycle.model_version not in pruned
    kept = loop.studio.model_versions(loop.number)
    assert len(kept) == KEEP_VERSIONS
    assert not set(kept) & set(pruned)
    assert loop.studio.project(loop.number)["model_version"] == first.cycle.model_version
    assert serves(loop, loop.order())
