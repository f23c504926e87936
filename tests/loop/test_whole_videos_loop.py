"""Whole videos through the whole loop: imported, tracked by people, learned, ranked, shown and exported."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_backend.loop import learning_boxes
from ml_backend.loop.cycle import run_cycle
from ml_backend.loop.health import project_checks
from ml_backend.loop.import_video import import_videos
from ml_backend.loop.import_wish import Wish
from ml_backend.loop.jobs import request_cycle
from ml_backend.loop.plan import (
    ChosenLearner,
    ChosenScorer,
    ChosenSelector,
    Plan,
    Policy,
    WholeVideos,
    changed_plan,
    read_plan,
)
from ml_backend.loop.upkeep import reassert
from ml_backend.store.tables import Cycle, Item, PublishedItem
from ml_backend.studio.regions.timeline import ranges_of
from ml_backend.studio.regions.tracks import Track, tracks_of
from tests.loop import test_video_ranges as ranges
from tests.loop.conftest import Loop
from tests.loop.spots import Spots
from tests.loop.whole_videos import FPS, QUESTION, SIZE, TIMELINE, WITH_TIMELINE, XML, moving, track, write_video

pytestmark = pytest.mark.studio

FRAMES = 50
PLAN = Plan(
    learner=ChosenLearner(name="yolo", config={"weights": "scratch", "image_side": 96, "epochs": 8}),
    scorers=(ChosenScorer(name="detection_entropy", config={"over": "sum"}),),
    selector=ChosenSelector(name="top"),
    cold_start=None,
    control=0,
    shown_from=0.05,
    policy=Policy(new_labels=1000, minutes=10_000),
    videos=WholeVideos(frames_per_second=5),
)
GREY = {"a": 250, "b": 245, "c": 235, "d": 100}  # how bright each video's spot is; the dim one is hard


def imported(loop: Loop, media: Path) -> dict[str, dict[str, Any]]:
    """A project of four videos as `nextlabel import-video --as video` makes it: name -> task."""
    folder = media / uuid.uuid4().hex
    folder.mkdir()
    for name, grey in GREY.items():
        write_video(folder / f"{name}.mp4", FRAMES, moving(4, 10, grey))
    loop.number = int(loop.studio.create_project(title="Whole videos", label_config=XML)["id"])
    done = import_videos(loop.house, Wish(loop.number, (folder,), as_video=True))
    assert (done.added, done.refused) == (4, [])
    return {task["data"]["name"].partition("-")[0]: task for task in loop.studio.tasks(loop.number)}


def people_track(loop: Loop, task: dict[str, Any]) -> None:
    """The spot from its first frame to the last, as a person draws it: two keyframes."""
    loop.studio.annotate(int(task["id"]), [track("t", [(1, 4, True), (FRAMES, 4 + 0.4 * (FRAMES - 1), True)])])


def same(one: Track, other: Track) -> bool:
    return one.frame.tolist() == other.frame.tolist() and np.allclose(one.box, other.box, atol=1e-6)


def published(loop: Loop, task: int) -> PublishedItem:
    with loop.house.ledger.session() as session:
        query = session.query(PublishedItem).filter_by(task_id=task).order_by(PublishedItem.publication_id.desc())
        found = query.first()
        assert found is not None
        return found


def test_the_most_doubtful_video_is_served_and_its_prediction_survives(
    loop: Loop, studio_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_boxes, "make_detector", lambda _plan: Spots())
    tasks = imported(loop, studio_server.media_dir)
    loop.start_backend()
    connected = loop.connect(PLAN)
    assert connected.cycle is not None
    assert connected.cycle.status == "published", connected.cycle.error
    assert (connected.cycle.metrics["phase"], connected.cycle.pool) == ("random", 4)
    assert sorted(loop.order()) == sorted(int(task["id"]) for task in tasks.values())
    for name in "ab":
        people_track(loop, tasks[name])

    cycle: Cycle = run_cycle(loop.house, loop.project, "train", "test")
    assert cycle.status == "published", cycle.error
    assert (cycle.labels, cycle.pool, cycle.metrics["phase"]) == (2, 2, "scored")
    assert sum(cycle.metrics["counts"]) == 20, "a box on each of ten sampled frames of two videos"
    hard = int(tasks["d"]["id"])
    assert loop.order() == [hard, int(tasks["c"]["id"])]
    served = loop.studio.next_task(loop.number)
    assert served is not None
    assert int(served["id"]) == hard
    assert published(loop, hard).reason.startswith("look at frames 1 to 46; frame ")
    assert published(loop, hard).label == "1 Dim"

    (shown,) = [row for row in served["predictions"] if row["model_version"] == cycle.model_version]
    (drawn,) = tracks_of(shown, QUESTION, *SIZE).tracks
    assert drawn.frame.tolist() == list(range(1, 47))
    assert ranges_of(shown, TIMELINE).start.tolist() == [1], "all of it is doubtful, and the timeline says so"
    again = run_cycle(loop.house, loop.project, "rank", "test")
    assert (again.status, again.kind) == ("published", "rank")
    assert loop.order()[0] == hard
    assert reassert(loop.house, loop.project) == "kept"

    loop.studio.annotate(hard, shown["result"])
    for interpolate in ("false", "true"):
        rows = loop.studio.call(
            "GET",
            f"/api/projects/{loop.number}/export",
            params={"exportType": "JSON", "interpolate_key_frames": interpolate},
        )
        (exported,) = [row for row in rows if row["id"] == hard]
        assert same(tracks_of(exported["annotations"][0], WITH_TIMELINE, *SIZE).tracks[0], drawn)
    last = run_cycle(loop.house, loop.project, "train", "test")
    assert (last.labels, last.pool) == (3, 1)
    assert sum(last.metrics["counts"]) == 30, "what a person accepted is learned, and the range is no answer"
    with loop.house.ledger.session() as session:
        assert {item.task_id: item.fps for item in session.query(Item).all()}[hard] == FPS


def test_yolo_learns_whole_videos_in_the_worker(loop: Loop, studio_server: Any) -> None:
    tasks = imported(loop, studio_server.media_dir)
    loop.start_backend()
    loop.start("worker")
    connected = loop.connect()
    assert connected.cycle is not None
    with loop.house.ledger.session() as session:
        _, plan = read_plan(session, loop.project)
    assert (plan.learner.name, plan.selector.name) == ("yolo", "top"), "connecting reads the config and picks"
    assert changed_plan(plan, {"videos": {"best": 3}}).videos.best == 3
    loop.connect(PLAN)
    for name in "ab":
        people_track(loop, tasks[name])
    before = loop.last_cycle()
    assert before is not None
    request_cycle(loop.house, loop.project, "train", "test")
    trained = loop.published_since(before.number, 240)
    assert (trained.labels, trained.pool, trained.metrics["phase"]) == (2, 2, "scored")
    assert "YOLO11" in trained.features
    order = loop.order()
    assert sorted(order) == sorted(int(tasks[name]["id"]) for name in "cd")
    served = loop.studio.next_task(loop.number)
    assert served is not None
    assert int(served["id"]) == order[0]
    rows = loop.studio.call("GET", "/api/predictions/", params={"project": loop.number})
    live = [row for row in rows if row["model_version"] == trained.model_version]
    assert len(live) == 2
    for row in live:
        for each in tracks_of(row, WITH_TIMELINE, *SIZE).tracks:
            assert 1 <= each.frame[0] <= each.frame[-1] <= FRAMES
    first, second = (published(loop, task).detail["detection_entropy"] for task in order)
    assert first["value"] >= second["value"]
    checks = {check.name: check for check in project_checks(loop.house, loop.project)}
    assert checks["labeling config"].result.startswith("'box' asks for boxes through a video of 2 classes")


def test_time_ranges_are_learned_and_shown(loop: Loop, studio_server: Any) -> None:
    folder = studio_server.media_dir / uuid.uuid4().hex
    folder.mkdir()
    for name, start in {"a": 20, "b": 26, "c": 10}.items():
        write_video(folder / f"{name}.mp4", FRAMES, moving(4, 10, 250, 0.0, range(start, 41)))
    loop.number = int(loop.studio.create_project(title="Ranges", label_config=ranges.XML)["id"])
    import_videos(loop.house, Wish(loop.number, (folder,), as_video=True))
    tasks = {task["data"]["name"].partition("-")[0]: int(task["id"]) for task in loop.studio.tasks(loop.number)}
    loop.start_backend()
    connected = loop.connect()
    assert connected.cycle is not None
    assert connected.cycle.status == "published", connected.cycle.error
    with loop.house.ledger.session() as session:
        _, plan = read_plan(session, loop.project)
    assert (plan.learner.name, plan.scorers[0].name) == ("frozen", "margin"), "connecting reads the config and picks"
    loop.studio.annotate(tasks["a"], [ranges.marked(20, 40, "Lit")])
    cycle = run_cycle(loop.house, loop.project, "train", "test")
    assert cycle.status == "published", cycle.error
    assert (cycle.labels, cycle.pool, cycle.metrics["phase"], cycle.accuracy) == (1, 2, "scored", None)
    served = loop.studio.next_task(loop.number)
    assert served is not None
    assert int(served["id"]) == loop.order()[0]
    rows = loop.studio.call("GET", "/api/predictions/", params={"project": loop.number})
    live = {row["task"]: row for row in rows if row["model_version"] == cycle.model_version}
    assert set(live) == {tasks["b"], tasks["c"]}
    for name, start in {"b": 26, "c": 14}.items():
        (region,) = live[tasks[name]]["result"]
        shown = region["value"]["ranges"][0]
        assert shown["start"] <= start <= shown["end"], "the sampled frame where it is lit"
        assert published(loop, tasks[name]).label == "1 Lit"
