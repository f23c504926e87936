"""Whole videos in which people mark time ranges: classes of sampled frames, a queue of videos, ranges to correct."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.loop.by_question import rank_items, recall, train
from ml_backend.loop.house import House
from ml_backend.loop.learning import Learned
from ml_backend.loop.plan import ChosenLearner, Plan, PlanError, answers_to, check_for_project, default_plan
from ml_backend.loop.predicted import check_row, predicted_result, told
from ml_backend.loop.ranking import Ranking
from ml_backend.loop.stored_ranking import stored_ranking
from ml_backend.loop.video_labels import NO_RANGE
from ml_backend.loop.video_pool import VideoPool, read_video_pool
from ml_backend.loop.video_ranges import runs_of
from ml_backend.settings import Settings
from ml_backend.store.tables import Item, Problem, Project
from ml_backend.studio.client import Studio
from ml_backend.studio.question import read_answer, read_question
from ml_backend.studio.regions.config import TimelineConfig
from ml_backend.studio.regions.timeline import ranges_of
from tests.loop.whole_videos import FPS, Spot, write_video

XML = (
    '<View><TimelineLabels name="when" toName="v"><Label value="Lit"/><Label value="Low"/></TimelineLabels>'
    '<Video name="v" value="$video" frameRate="$fps"/></View>'
)
QUESTION = TimelineConfig("when", "v", "video", ("Lit", "Low"), "$fps")
PLAN = Plan(learner=ChosenLearner(name="frozen", config={"features": "pixels"}), cold_start=None, control=0)
STUDIO = Studio("http://127.0.0.1:1", "token")
FRAMES = 100


def on(x: int, y: int, frames: range, grey: int = 250) -> Spot:
    return lambda frame: (x, y, grey) if frame in frames else None


def marked(start: int, end: int, label: str) -> dict[str, Any]:
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}
    return {"id": f"{label}-{start}", "from_name": "when", "to_name": "v", "type": "timelinelabels", "value": value}


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(Settings(_env_file=None, model_dir=tmp_path / "data"))
    with house.ledger.session() as session:
        session.add(Project(id=1, studio_url="u", studio_id=1, key="1.1", webhook_secret="s", label_config=XML))
    return house


def add(house: House, tmp: Path, task: int, *spots: Spot, **fields: Any) -> None:
    file = write_video(tmp / f"{task}.mp4", FRAMES, *spots)
    content = hashlib.sha256(file.read_bytes()).hexdigest()
    path = house.videos(STUDIO).path(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(file)
    with house.ledger.session() as session:
        answer = {"status": "unlabeled", "label": None, "regions": None, "fps": float(FPS), **fields}
        session.merge(Item(project_id=1, task_id=task, url="u", content=content, **answer))


def filled(house: House, tmp: Path) -> VideoPool:
    """A spot at the top is 'Lit', one at the bottom is 'Low'; in task 3 a grey one might be either."""
    regions = [marked(26, 60, "Lit"), marked(70, 100, "Low")]
    labeled = {"status": "labeled", "label": "1 Lit, 1 Low", "regions": regions}
    add(house, tmp, 1, on(10, 5, range(26, 61)), on(10, 35, range(70, 101)), **labeled)
    add(house, tmp, 2, on(10, 5, range(51, 89)))
    add(house, tmp, 3, on(10, 5, range(1, 101), 60), on(10, 35, range(1, 101), 60))
    return read_video_pool(house, STUDIO, 1, QUESTION, 2.0)


def ranked(house: House, pool: VideoPool) -> tuple[Learned, Ranking]:
    learned = train(house, 1, 1, PLAN, pool, QUESTION.classes)
    return learned, rank_items(pool, learned, PLAN, last=pool.skipped)


def test_frames_get_the_class_of_their_range(house: House, tmp_path: Path) -> None:
    pool = filled(house, tmp_path)
    assert pool.number[:8].tolist() == [1, 14, 26, 39, 51, 64, 76, 89]
    assert pool.frames.labels.tolist() == [2, 2, 0, 0, 0, 2, 1, 1]  # type: ignore[union-attr]  # of classes
    assert pool.classes == ("Lit", "Low", NO_RANGE)
    assert pool.counts.tolist() == [3, 2], "of what the config offers"
    assert pool.frames.counts.tolist() == [3, 2, 3]
    assert (pool.task_id.tolist(), pool.first.tolist()) == ([2, 3], [0, 8, 16])


def test_frames_in_ranges_of_two_classes_teach_nothing(house: House, tmp_path: Path) -> None:
    regions = [marked(1, 60, "Lit"), marked(40, 100, "Low")]
    add(house, tmp_path, 1, status="labeled", label="1 Lit, 1 Low", regions=regions)
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    assert pool.frames.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]  # type: ignore[union-attr]  # frame 51 is in both
    assert len(pool.frames.labeled_images) == 7


def test_an_unreadable_answer_is_named_and_left_out(house: House, tmp_path: Path) -> None:
    filled(house, tmp_path)
    with house.ledger.session() as session:
        session.get_one(Item, (1, 1)).regions = [marked(9, 3, "Lit")]
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    assert len(pool.labeled_task_id) == 0
    with house.ledger.session() as session:
        assert [(row.task_id, row.kind) for row in session.query(Problem)] == [(1, "unreadable_regions")]


def test_the_undecided_video_comes_first_and_ranges_are_drawn(house: House, tmp_path: Path) -> None:
    pool = filled(house, tmp_path)
    learned, ranking = ranked(house, pool)
    assert learned.accuracy is None
    assert any("too alike" in note for note in learned.notes), "held-out frames would be given away by their neighbours"
    assert pool.task_id[ranking.order].tolist() == [3, 2]
    assert ranking.reason(0).startswith("look at frames 1 to 89; frame ")
    assert ranking.shows is not None
    arrays = ranking.shows(ranking.order)
    result = predicted_result(QUESTION, arrays, 1)
    check_row(QUESTION, {"task": 2, "score": 0.5, "model_version": "v", "result": result})
    ranges = ranges_of({"id": 1, "result": result}, QUESTION)
    assert (ranges.start.tolist(), ranges.end.tolist(), ranges.label.tolist()) == ([46], [82], [0])
    said, sure = told(QUESTION, result)
    assert said == "1 Lit"
    assert sure is not None
    assert 0.4 < sure <= 1
    assert predicted_result(TimelineConfig("when", "v", "video", ("Low", "Lit"), "$fps"), arrays, 1) == []
    assert predicted_result(TimelineConfig("when", "v", "video", ("Lit", "Low"), "24"), arrays, 1) == []
    house.arrays.write("kept", {"task_id": ranking.order, **arrays})
    kept = house.arrays.read("kept")
    assert kept is not None
    assert stored_ranking(kept).says(QUESTION, 1) == (said, sure)


def test_a_ranking_needs_no_new_training(house: House, tmp_path: Path) -> None:
    pool = filled(house, tmp_path)
    learned, ranking = ranked(house, pool)
    again = recall(house, 1, 1, PLAN, pool, QUESTION.classes)
    assert again is not None
    assert np.array_equal(again.evidence.probabilities, learned.evidence.probabilities)
    assert rank_items(pool, again, PLAN).order.tolist() == ranking.order.tolist()


def test_without_a_range_the_queue_is_random(house: House, tmp_path: Path) -> None:
    for task in range(1, 5):
        add(house, tmp_path, task, on(task, 5, range(1, 30)))
    add(house, tmp_path, 5, status="labeled", label="nothing", regions=[])
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    _, ranking = ranked(house, pool)
    assert (ranking.phase, ranking.shows) == ("random", None)
    assert "range that is not a whole video" in ranking.notes[0]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
def test_runs_are_every_longest_stretch_of_a_class(labels: list[int]) -> None:
    found = runs_of(np.array(labels), outside=2)
    covered = {place: run for run in found for place in range(run[0], run[1] + 1)}
    assert set(covered) == {place for place, label in enumerate(labels) if label != 2}
    for place in range(1, len(labels)):
        same = labels[place] == labels[place - 1]
        if place in covered and place - 1 in covered:
            assert (covered[place] == covered[place - 1]) == same


def test_answers_and_plan(house: House) -> None:
    assert read_question(XML) == QUESTION
    task = {
        "id": 7,
        "data": {"video": "/v.mp4", "fps": 25},
        "annotations": [{"id": 1, "result": [marked(1, 5, "Lit")]}],
    }
    reading = read_answer(task, QUESTION)
    assert (reading.status, reading.label, reading.fps) == ("labeled", "1 Lit", 25.0)
    assert answers_to(QUESTION) == "classes"
    plan = default_plan(QUESTION)
    assert (plan.learner.name, plan.scorers[0].name, plan.cold_start, plan.control) == ("frozen", "margin", None, 0)
    with house.ledger.session() as session:
        check_for_project(session, 1, plan)
        with pytest.raises(PlanError, match="gives boxes"):
            check_for_project(session, 1, plan.model_copy(update={"learner": ChosenLearner(name="yolo")}))
        with pytest.raises(PlanError, match="cold_start to null"):
            check_for_project(session, 1, Plan(control=0))
        with pytest.raises(PlanError, match="set 0"):
            check_for_project(session, 1, Plan(cold_start=None))
