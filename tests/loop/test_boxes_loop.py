"""Boxes through the whole loop: Label Studio, a real detector, the queue, and the regions that annotators see."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rq import Worker

from ml_backend.loop.health import project_checks
from ml_backend.loop.jobs import request_cycle
from ml_backend.loop.plan import (
    ChosenLearner,
    ChosenScorer,
    ChosenSelector,
    Plan,
    PlanError,
    Policy,
    changed_plan,
    check_for_project,
    read_plan,
)
from ml_backend.loop.publish import rollback
from ml_backend.loop.switch import switch_plan
from ml_backend.store.tables import Item, PublishedItem
from ml_backend.studio.regions.boxes import boxes_of
from simulation.demo_video import run_video_demo
from tests.loop import frames
from tests.loop.conftest import Loop, until

pytestmark = pytest.mark.studio

# A few passes teach little, and all that is asked here is what becomes of what the detector says.
QUICK = ChosenLearner(name="yolo", config={"weights": "scratch", "image_side": 192, "epochs": 15})
PLAN = Plan(
    learner=QUICK,
    scorers=(ChosenScorer(name="temporal_coherence"),),
    selector=ChosenSelector(name="spaced"),
    cold_start=None,
    control=0,
    shown_from=0.01,
    policy=Policy(new_labels=1000, minutes=10_000),
)


def places(loop: Loop, order: list[int]) -> list[tuple[str, int]]:
    with loop.house.ledger.session() as session:
        rows = {row.task_id: (row.video or "", row.frame or 0) for row in session.query(Item).all()}
    return [rows[task] for task in order]


def test_frames_are_served_learned_ranked_and_shown(loop: Loop) -> None:
    truth = frames.create(loop, videos=3, frames=20)
    loop.start_backend()
    loop.start("worker")
    connected = loop.connect(PLAN)
    assert connected.cycle is not None
    assert connected.cycle.status == "published", connected.cycle.error
    assert connected.cycle.metrics["phase"] == "random"
    served = frames.label(loop, truth, 10)
    assert [int(task["id"]) for task in served] == loop.order()[:10]

    request_cycle(loop.house, loop.project, "train", "test")
    trained = loop.published_since(connected.cycle.number, 240)
    assert (trained.labels, trained.pool) == (10, 50)
    assert "YOLO11" in trained.features
    assert trained.metrics["measure"] == "map50"
    assert trained.metrics["classes"] == list(frames.CLASSES)
    assert trained.metrics["phase"] == "scored"

    order = loop.order()
    known = {(task["data"]["video"], task["data"]["frame"]) for task in served}
    first = places(loop, order[:3])
    for video, frame in first:
        near = [f for v, f in known if v == video and abs(f - frame) <= 9]
        assert not near, "a frame beside a labeled one waits"
    task = loop.studio.next_task(loop.number)
    assert task is not None
    assert int(task["id"]) == order[0]

    rows = loop.studio.call("GET", "/api/predictions/", params={"project": loop.number})
    live = [row for row in rows if row["model_version"] == trained.model_version]
    assert len(live) == 50
    regions = [region for row in live for region in row["result"]]
    assert regions, "some frame shows a box"
    for row in live:
        boxes = boxes_of(row, frames.QUESTION, *frames.SIZE)
        assert (boxes.box >= 0).all()
        assert (boxes.box[:, 2:] <= np.array(frames.SIZE) + 1e-6).all()
    with loop.house.ledger.session() as session:
        item = (
            session.query(PublishedItem)
            .filter_by(task_id=order[0])
            .order_by(PublishedItem.publication_id.desc())
            .first()
        )
        assert item is not None
        assert item.reason
        assert "temporal_coherence" in item.detail

    checks = {check.name: check for check in project_checks(loop.house, loop.project)}
    assert checks["Labels"].ok
    assert "Pedestrian" in checks["Labels"].result
    assert checks["labeling config"].result.startswith("'box' asks for boxes of 4 classes")

    entropy = changed_plan(PLAN, {"scorers": [{"name": "detection_entropy", "config": {"over": "sum"}}]})
    switch_plan(loop.house, loop.project, entropy, author="test")
    ranked = loop.published_since(trained.number)
    assert (ranked.kind, ranked.evidence_cycle) == ("rank", trained.number), "no retraining"
    assert loop.order() != order
    assert trained.model_version is not None
    rollback(loop.house, loop.project, trained.model_version, author="test")
    task = loop.studio.next_task(loop.number)
    assert task is not None
    assert int(task["id"]) == order[0]


def test_connecting_reads_the_config_and_picks_the_learner(loop: Loop) -> None:
    frames.create(loop, videos=1, frames=6)
    loop.start_backend()
    connected = loop.connect()
    assert connected.cycle is not None
    assert connected.cycle.status == "published", connected.cycle.error
    with loop.house.ledger.session() as session:
        _, plan = read_plan(session, loop.project)
        assert (plan.learner.name, plan.selector.name) == ("yolo", "spaced")
        with pytest.raises(PlanError, match=r"'frozen' gives classes.*asks for boxes; choose one of .*yolo"):
            check_for_project(session, loop.project, changed_plan(plan, {"learner": {"name": "frozen"}}))


def test_the_demo_of_videos_makes_imports_learns_and_ranks(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"VIDEOS": 2, "SECONDS": 2.0, "EVERY": 5, "TEST_VIDEOS": 1, "SIZE": (192, 108)}.items():
        monkeypatch.setattr(f"simulation.demo_video.{name}", value)
    loop.start_backend()
    loop.start("worker")
    until(lambda: Worker.all(connection=loop.house.redis), what="the worker")
    words, output = io.StringIO(), tmp_path / "curve.png"
    console = Console(file=words, width=200)
    plan = changed_plan(PLAN, {"policy": {"new_labels": 4, "minutes": 10_000}})
    points = run_video_demo(labels=8, seed=0, output=output, console=console, rooms=loop.house, step=4, plan=plan)
    assert [point.labels for point in points] == [4, 8]
    assert all(0 <= point.low <= point.map50 <= point.high <= 1 for point in points)
    assert "20 frames of 2 drives" in words.getvalue()
    assert "Next in the queue: task" in words.getvalue()
    assert output.stat().st_size > 1000
    assert len(json.loads(output.with_suffix(".json").read_text())) == 2
