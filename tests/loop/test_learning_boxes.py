"""Boxes between the ledger and the evidence, with a detector that needs no training: it sees bright spots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml_backend.loop import learning_boxes
from ml_backend.loop.box_pool import read_box_pool
from ml_backend.loop.house import House
from ml_backend.loop.learning import Learned
from ml_backend.loop.learning_boxes import make_detector, recall_boxes, train_boxes
from ml_backend.loop.plan import ChosenSelector, Plan, PlanError, answers_to, default_plan
from ml_backend.loop.predicted import predicted_arrays, predicted_result, told
from ml_backend.loop.ranking import rank
from ml_backend.settings import Settings
from ml_backend.store.tables import Item, Problem
from ml_backend.studio.labels import ImageClassification
from ml_backend.studio.question import read_answer
from ml_backend.studio.regions.boxes import boxes_of
from tests.loop.spots import CONFIG, HEIGHT, PLAN, STUDIO, WIDTH, Spots, add, filled, region


@pytest.fixture
def spots(monkeypatch: pytest.MonkeyPatch) -> Spots:
    detector = Spots()
    monkeypatch.setattr(learning_boxes, "make_detector", lambda _plan: detector)
    return detector


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(Settings(_env_file=None, model_dir=tmp_path))


def literal(evidence: Any, side: str, task_id: list[int], task: int) -> list[tuple[float, ...]]:
    at = task_id.index(task)
    rows = np.flatnonzero(evidence.column(f"{side}detection_item") == at)
    return [tuple(evidence.column(f"{side}detection_box")[row].tolist()) for row in rows]


def test_the_pool_holds_frames_sizes_and_boxes(house: House) -> None:
    pool = filled(house)
    assert pool.task_id.tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11, 14]
    assert pool.skipped.tolist() == [9]
    assert pool.labeled_task_id.tolist() == [4, 8, 12, 13]
    assert pool.boxes.item.tolist() == [0, 1, 2], "the labeled frame without a box is known, and holds none"
    assert pool.boxes.box[0].tolist() == [3, 10, 15, 20]
    assert pool.counts.tolist() == [0, 3]
    assert pool.frames.size.tolist() == [[WIDTH, HEIGHT]] * 10
    assert pool.in_videos
    assert pool.labeled_frames.frame.tolist() == [4, 8, 12, 13]


def test_an_answer_drawn_on_another_image_is_named_and_left_out(house: House) -> None:
    filled(house)
    add(house, 4, status="labeled", label="1 Bright", regions=[region(original_width=600, original_height=60)])
    pool = read_box_pool(house, STUDIO, 1, CONFIG)
    assert pool.labeled_task_id.tolist() == [8, 12, 13]
    with house.ledger.session() as session:
        (problem,) = session.query(Problem).filter_by(task_id=4).all()
    assert problem.kind == "other_image"


def test_images_turned_by_exif_have_the_size_that_people_see(house: House) -> None:
    add(house, 1)
    with house.ledger.session() as session:
        content = session.query(Item).one().content or ""
    image = Image.new("L", (WIDTH, HEIGHT))
    turned = image.getexif()
    turned[0x0112] = 6
    image.save(house.media(STUDIO).path(content), "JPEG", exif=turned)
    assert read_box_pool(house, STUDIO, 1, CONFIG).frames.size.tolist() == [[HEIGHT, WIDTH]]


def test_without_a_box_there_is_no_model_and_the_queue_is_random(house: House, spots: Spots) -> None:
    for task in range(1, 31):
        add(house, task, video="drive", frame=task)
    pool = read_box_pool(house, STUDIO, 1, CONFIG)
    apart = PLAN.model_copy(update={"selector": ChosenSelector(name="spaced"), "batch": 5})
    learned = train_boxes(house, 1, 1, apart, pool, CONFIG.classes)
    assert learned.trained_in is None
    ranking = rank(learned.evidence, apart, labels=0)
    assert ranking.phase == "random"
    first = np.sort(pool.frames.frame[ranking.order[:5]])
    assert (np.diff(first) > 3).all(), "even a random batch keeps frames of a video apart"
    assert sorted(ranking.order.tolist()) == list(range(30))


def test_a_training_is_recalled_as_it_was(house: House, spots: Spots) -> None:
    pool = filled(house)
    trained = train_boxes(house, 1, 1, PLAN, pool, CONFIG.classes)
    assert spots.groups.tolist() == ["drive"] * 4
    again = recall_boxes(house, 1, 1, PLAN, pool, CONFIG.classes)
    assert again is not None
    for name in ("item", "box", "score", "label", "shown"):
        for side in ("", "labeled_"):
            column = f"{side}detection_{name}"
            assert np.array_equal(trained.evidence.column(column), again.evidence.column(column)), column
    assert np.array_equal(trained.evidence.detection_probabilities, again.evidence.detection_probabilities)


def test_frames_change_sides_and_come_later(house: House, spots: Spots) -> None:
    pool = filled(house)
    before = train_boxes(house, 1, 1, PLAN, pool, CONFIG.classes).evidence
    add(house, 5, video="drive", frame=5, status="labeled", label="1 Dim", regions=[region(label="Dim")])
    add(house, 8, video="drive", frame=8)  # its answer was withdrawn
    add(house, 20, video="drive", frame=20)
    after_pool = read_box_pool(house, STUDIO, 1, CONFIG)
    learned = recall_boxes(house, 1, 1, PLAN, after_pool, CONFIG.classes)
    assert learned is not None
    assert learned.notes == ("1 items came after the last training; its model looked at them.",)
    after = learned.evidence
    waiting, known = after_pool.task_id.tolist(), after_pool.labeled_task_id.tolist()
    for task in (1, 2, 3, 6, 14):
        assert literal(after, "", waiting, task) == literal(before, "", pool.task_id.tolist(), task)
    assert literal(after, "labeled_", known, 5) == literal(before, "", pool.task_id.tolist(), 5)
    assert literal(after, "", waiting, 8) == literal(before, "labeled_", pool.labeled_task_id.tolist(), 8)
    expected = spots.detect({}, after_pool.images)
    at = waiting.index(20)
    assert literal(after, "", waiting, 20) == [tuple(box.tolist()) for box in expected.box[expected.item == at]]
    assert (np.diff(after.detection_item) >= 0).all()
    assert before.labeled_held.tolist() == [True, False, False, False], "the first was held out of the training"
    assert dict(zip(known, after.labeled_held.tolist(), strict=True)) == {4: True, 5: True, 12: False, 13: False}


def test_other_classes_need_a_training_and_another_case_does_not(house: House, spots: Spots) -> None:
    pool = filled(house)
    train_boxes(house, 1, 1, PLAN, pool, CONFIG.classes)
    assert recall_boxes(house, 1, 1, PLAN, pool, ("Dim", "Bright", "Black")) is None
    assert recall_boxes(house, 1, 1, PLAN, pool, ("dim", "BRIGHT")) is not None
    assert recall_boxes(house, 1, 7, PLAN, pool, CONFIG.classes) is None


def test_predictions_hold_the_shown_boxes_of_their_own_rank(house: House, spots: Spots) -> None:
    pool = filled(house)
    plan = PLAN.model_copy(update={"shown_from": 0.4})
    learned = train_boxes(house, 1, 1, plan, pool, CONFIG.classes)
    ranking = rank(learned.evidence, plan, labels=len(pool.labeled_task_id))
    arrays = predicted_arrays(learned, ranking.order)
    seen = 0
    for place, item in enumerate(ranking.order.tolist()):
        result = predicted_result(CONFIG, arrays, place)
        found = spots.detect({}, pool.images.take(np.array([item])))
        wanted = found.box[found.score >= 0.4]
        boxes = boxes_of({"result": result}, CONFIG, WIDTH, HEIGHT)
        assert np.allclose(boxes.box, wanted, atol=1e-3)
        said, sure = told(CONFIG, result)
        assert (said is None) == (not len(wanted))
        assert sure is None or np.isclose(sure, found.score[found.score >= 0.4].min())
        seen += len(wanted)
    assert 0 < seen < len(learned.evidence.detection_score)
    other = replace(CONFIG, classes=("Dim", "Bright", "Black"))
    assert predicted_result(other, arrays, 0) == []


def test_nothing_found_is_an_empty_prediction(house: House, spots: Spots) -> None:
    pool = filled(house)
    learned = train_boxes(house, 1, 1, PLAN, pool, CONFIG.classes)
    bare = Learned(learned_without_model(learned), None, None)
    assert predicted_result(CONFIG, predicted_arrays(bare, np.arange(10)), 3) == []


def learned_without_model(learned: Learned) -> Any:
    class Bare:
        def has(self, _column: str) -> bool:
            return False

    return Bare()


def test_a_classifier_is_refused_for_boxes() -> None:
    with pytest.raises(PlanError, match="asks for boxes"):
        make_detector(Plan())


def test_a_new_project_gets_what_fits_its_question() -> None:
    assert default_plan(ImageClassification("c", "i", "image", ("a", "b"))) == Plan()
    assert answers_to(CONFIG) == "boxes"
    frames, images = default_plan(CONFIG, in_videos=True), default_plan(CONFIG)
    assert frames.learner.name == images.learner.name == "yolo"
    assert (frames.selector.name, frames.scorers[0].name) == ("spaced", "temporal_coherence")
    assert (images.selector.name, images.scorers[0].name) == ("top", "detection_entropy")


def task(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": 7, "data": {"image": "/i.png", **data}, "annotations": list(annotations)}


def answer(number: int, *regions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": number, "updated_at": f"2026-01-0{number}T00:00:00Z", "result": list(regions), **fields}


def test_the_latest_answer_counts_and_ground_truth_before_it() -> None:
    early, late = answer(1, region(5), region(50)), answer(2, region(30, "Dim"))
    assert read_answer(task(early, late), CONFIG).label == "1 Dim"
    trusted = answer(1, region(5), region(50), ground_truth=True)
    reading = read_answer(task(trusted, late), CONFIG)
    assert (reading.status, reading.label, reading.regions) == ("labeled", "2 Bright", [region(5), region(50)])
    assert reading.annotation_id == 1


def test_an_answer_that_cannot_be_read_gives_way_and_is_named() -> None:
    late = answer(2, region(30, "Purple"))
    reading = read_answer(task(answer(1, region()), late), CONFIG)
    assert reading.label == "1 Bright"
    assert reading.problem is not None
    assert reading.problem[0] == "unknown_label"
    alone = read_answer(task(late), CONFIG)
    assert (alone.status, alone.label, alone.regions) == ("labeled", None, None)


def test_an_answer_without_a_box_says_that_nothing_is_there() -> None:
    reading = read_answer(task(answer(1)), CONFIG)
    assert (reading.status, reading.label, reading.regions) == ("labeled", "nothing", [])


def test_skips_count_when_there_is_nothing_else() -> None:
    skipped = answer(1, was_cancelled=True)
    assert read_answer(task(skipped), CONFIG).status == "skipped"
    assert read_answer(task(skipped, answer(2, region())), CONFIG).label == "1 Bright"


def test_a_frame_says_its_place_and_half_a_place_is_named() -> None:
    reading = read_answer(task(video="drive", frame=9), CONFIG)
    assert (reading.video, reading.frame, reading.problem) == ("drive", 9, None)
    half = read_answer(task(video="drive"), CONFIG)
    assert half.problem is not None
    assert half.problem[0] == "no_frame"
    assert half.status == "unlabeled", "it can still be served as an image of its own"
