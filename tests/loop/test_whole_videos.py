"""Whole videos between ledger, evidence, queue and predictions, with the detector of bright spots."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_backend.loop import learning_boxes
from ml_backend.loop.box_pool import BoxPool
from ml_backend.loop.by_question import rank_items, recall, train
from ml_backend.loop.house import House
from ml_backend.loop.learning import Learned
from ml_backend.loop.plan import (
    ChosenScorer,
    ChosenSelector,
    ColdStart,
    Plan,
    PlanError,
    check_for_project,
    default_plan,
)
from ml_backend.loop.predicted import check_row, predicted_result, told
from ml_backend.loop.ranking import Ranking
from ml_backend.loop.stored_ranking import stored_ranking
from ml_backend.loop.sync import RETRY_MEDIA, _fetch_media
from ml_backend.loop.video_pool import VideoPool, read_video_pool
from ml_backend.settings import Settings
from ml_backend.store.tables import Item, Problem, Project, now
from ml_backend.studio.client import Studio
from ml_backend.studio.local_files import url_of
from ml_backend.studio.question import read_answer, read_question
from ml_backend.studio.regions.timeline import ranges_of
from ml_backend.studio.regions.tracks import tracks_of
from tests.loop.spots import Spots
from tests.loop.whole_videos import (
    CLASSES,
    FPS,
    QUESTION,
    SIZE,
    TIMELINE,
    WITH_TIMELINE,
    XML,
    flickering,
    moving,
    track,
    write_video,
)

PLAN = Plan(
    scorers=(ChosenScorer(name="detection_entropy", config={"over": "sum"}),),
    selector=ChosenSelector(name="top"),
    cold_start=None,
    control=0,
)
STUDIO = Studio("http://127.0.0.1:1", "token")


@pytest.fixture
def spots(monkeypatch: pytest.MonkeyPatch) -> Spots:
    detector = Spots()
    monkeypatch.setattr(learning_boxes, "make_detector", lambda _plan: detector)
    return detector


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(Settings(_env_file=None, model_dir=tmp_path / "data"))
    with house.ledger.session() as session:
        session.add(Project(id=1, studio_url="u", studio_id=1, key="1.1", webhook_secret="s", label_config=XML))
    return house


def add(house: House, tmp: Path, task: int, frames: int, *spots: Any, **fields: Any) -> str:
    """A task whose video is at hand."""
    file = write_video(tmp / f"{task}.mp4", frames, *spots)
    content = hashlib.sha256(file.read_bytes()).hexdigest()
    path = house.videos(STUDIO).path(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(file)
    with house.ledger.session() as session:
        answer = {"status": "unlabeled", "label": None, "regions": None, "fps": float(FPS), **fields}
        session.merge(Item(project_id=1, task_id=task, url="u", content=content, **answer))
    return content


LABELED = [track("a", [(1, 4, True), (26, 29, True), (40, 43, False)]), track("b", [(20, 60, False)], label="Dim")]


def filled(house: House, tmp: Path) -> VideoPool:
    """Task 3 is the most doubtful: a dim spot flickers. Task 5 was skipped; 2 and 6 are labeled, 6 as empty."""
    add(house, tmp, 1, 50, moving(2, 10, 250))
    add(house, tmp, 2, 50, moving(4, 10, 250), status="labeled", label="1 Bright, 1 Dim", regions=LABELED)
    add(house, tmp, 3, 50, moving(2, 10, 250), flickering(70, 30, 120, range(24, 45)))
    add(house, tmp, 4, 25, moving(2, 20, 200))
    add(house, tmp, 5, 50, moving(2, 20, 250), status="skipped")
    add(house, tmp, 6, 25, status="labeled", label="nothing", regions=[])
    return read_video_pool(house, STUDIO, 1, QUESTION, 2.0)


def frames_of(pool: VideoPool) -> BoxPool:
    assert isinstance(pool.frames, BoxPool)
    return pool.frames


def ranked(house: House, pool: VideoPool, plan: Plan = PLAN) -> tuple[Learned, Ranking]:
    learned = train(house, 1, 1, plan, pool, CLASSES)
    return learned, rank_items(pool, learned, plan, last=pool.skipped)


def problems(house: House) -> dict[int, str]:
    with house.ledger.session() as session:
        return {row.task_id: row.kind for row in session.query(Problem).filter(Problem.solved_at.is_(None))}


# the pool


def test_the_pool_holds_sampled_frames_and_whose_they_are(house: House, tmp_path: Path) -> None:
    pool = filled(house, tmp_path)
    assert pool.task_id.tolist() == [1, 3, 4, 5]
    assert pool.labeled_task_id.tolist() == [2, 6]
    assert pool.skipped.tolist() == [3]
    assert pool.first.tolist() == [0, 4, 8, 10, 14]
    assert pool.video_of.tolist() == [0] * 4 + [1] * 4 + [2] * 2 + [3] * 4
    assert frames_of(pool).frames.frame[:4].tolist() == [1, 14, 26, 39]
    assert (pool.length.tolist(), pool.fps.tolist()) == ([50, 50, 25, 50], [25.0] * 4)
    assert pool.size.tolist() == [list(SIZE)] * 4
    assert len(set(pool.frames.task_id.tolist()) | set(pool.frames.labeled_task_id.tolist())) == 14 + 6
    assert len(set(frames_of(pool).frames.video.tolist())) == 4
    assert frames_of(pool).in_videos


def test_peoples_tracks_are_boxes_on_the_sampled_frames(house: House, tmp_path: Path) -> None:
    """Literally: each track, frame by frame as Label Studio shows it, wherever that frame is sampled."""
    pool = filled(house, tmp_path)
    expected = []
    for place, number in enumerate(frames_of(pool).labeled_frames.frame[:4].tolist()):
        for each in tracks_of({"result": LABELED}, QUESTION, *SIZE).tracks:
            expected += [(place, each.label, *each.box[at]) for at in np.flatnonzero(each.frame == number)]
    boxes = frames_of(pool).boxes
    found = [(*pair, *box) for pair, box in zip(zip(boxes.item, boxes.label, strict=True), boxes.box, strict=True)]
    np.testing.assert_allclose(found, expected)
    assert boxes.item.tolist() == [0, 1, 2, 3], "between keyframes too, and none at frame 20, which is not sampled"
    np.testing.assert_allclose(boxes.box[1], [17, 10, 29, 20])
    assert pool.counts.tolist() == [0, 4]
    assert len(pool.frames.labeled_images) == 6, "the frames of the video without a box are known, and empty"


def test_a_video_that_cannot_be_decoded_is_named_and_left_out_until_it_can(house: House, tmp_path: Path) -> None:
    filled(house, tmp_path)
    file = tmp_path / "4.mp4"
    whole = file.read_bytes()
    for sampled in (house.settings.model_dir / "frames").rglob("*.json"):
        sampled.unlink()
    file.write_bytes(whole[:100])
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    assert pool.task_id.tolist() == [1, 3, 5]
    assert problems(house) == {4: "video_undecodable"}
    file.write_bytes(whole)
    assert read_video_pool(house, STUDIO, 1, QUESTION, 2.0).task_id.tolist() == [1, 3, 4, 5]
    assert problems(house) == {}


def test_a_damaged_video_is_used_as_far_as_it_goes_and_named(house: House, tmp_path: Path) -> None:
    content = add(house, tmp_path, 1, 50, moving(2, 10, 250))
    path = house.videos(STUDIO).path(content)
    cut = tmp_path / "1.mp4"
    data = cut.read_bytes()
    cut.write_bytes(data[: int(len(data) * 0.7)])
    changed = hashlib.sha256(cut.read_bytes()).hexdigest()
    path.rename(path.with_name(changed))
    with house.ledger.session() as session:
        session.query(Item).one().content = changed
    house.videos(STUDIO).path(changed).parent.mkdir(exist_ok=True)
    path.with_name(changed).rename(house.videos(STUDIO).path(changed))
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    assert 0 < len(pool.frames.images) < 4
    assert problems(house) == {1: "video_damaged"}
    read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    with house.ledger.session() as session:
        assert session.query(Problem).one().count == 1, "looking twice is no second problem"


def test_more_frames_a_second_are_a_setting(house: House, tmp_path: Path) -> None:
    filled(house, tmp_path)
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 5.0)
    assert pool.first.tolist() == [0, 10, 20, 25, 35]
    assert frames_of(pool).frames.frame[:10].tolist() == list(range(1, 50, 5))


def test_sync_brings_videos_here_and_names_those_that_cannot_be_had(tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    house = House(Settings(_env_file=None, model_dir=tmp_path / "data", local_files_document_root=served))
    good = write_video(served / "good.mp4", 3, moving(2, 10, 250))
    (served / "bad.mp4").write_bytes(b"no video")
    with house.ledger.session() as session:
        session.add(Project(id=1, studio_url="u", studio_id=1, key="1.1", webhook_secret="s"))
        session.flush()
        for task, name in {1: "good.mp4", 2: "bad.mp4"}.items():
            session.add(Item(project_id=1, task_id=task, url=url_of(name), fps=25.0))
    assert _fetch_media(house, STUDIO, 1, QUESTION) == {"video_unreadable": 1}
    assert problems(house) == {2: "video_unreadable"}
    assert _fetch_media(house, STUDIO, 1, QUESTION) == {}, "it is not tried at every look"
    write_video(served / "bad.mp4", 4, moving(2, 10, 250))
    with house.ledger.session() as session:
        session.query(Problem).one().last_seen = now() - RETRY_MEDIA - timedelta(minutes=1)
    assert _fetch_media(house, STUDIO, 1, QUESTION) == {}
    assert problems(house) == {}
    assert read_video_pool(house, STUDIO, 1, QUESTION, 2.0).task_id.tolist() == [1, 2]
    with house.ledger.session() as session:
        assert session.get_one(Item, (1, 1)).content == hashlib.sha256(good.read_bytes()).hexdigest()


# training


def test_the_detector_learns_from_frames_grouped_by_video(house: House, tmp_path: Path, spots: Spots) -> None:
    pool = filled(house, tmp_path)
    learned = train(house, 1, 1, PLAN, pool, CLASSES)
    assert learned.trained_in == 1
    assert len(set(spots.groups.tolist())) == 2, "frames of one video are never held out from each other"
    again = recall(house, 1, 1, PLAN, pool, CLASSES)
    assert again is not None
    for name in ("item", "box", "score", "label", "shown"):
        assert np.array_equal(learned.evidence.column(f"detection_{name}"), again.evidence.column(f"detection_{name}"))


def test_a_video_that_comes_later_is_looked_at_by_the_last_model(house: House, tmp_path: Path, spots: Spots) -> None:
    train(house, 1, 1, PLAN, filled(house, tmp_path), CLASSES)
    add(house, tmp_path, 9, 50, moving(2, 10, 90))
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    learned = recall(house, 1, 1, PLAN, pool, CLASSES)
    assert learned is not None
    assert learned.notes == ("4 items came after the last training; its model looked at them.",)
    assert rank_items(pool, learned, PLAN).order[0] == 4, "a grey spot is the least certain of all"


def test_another_video_in_a_task_is_looked_at_anew(house: House, tmp_path: Path, spots: Spots) -> None:
    train(house, 1, 1, PLAN, filled(house, tmp_path), CLASSES)
    add(house, tmp_path, 4, 25, moving(30, 20, 90))
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    learned = recall(house, 1, 1, PLAN, pool, CLASSES)
    assert learned is not None
    assert learned.notes == ("2 items came after the last training; its model looked at them.",)
    assert rank_items(pool, learned, PLAN).reason(1).startswith("look at frames 1 to 14; ")


# the queue


def test_the_most_doubtful_video_comes_first_and_says_where(house: House, tmp_path: Path, spots: Spots) -> None:
    pool = filled(house, tmp_path)
    learned, ranking = ranked(house, pool)
    assert pool.task_id[ranking.order].tolist()[0] == 3
    assert pool.task_id[ranking.order].tolist()[-1] == 5, "it was skipped"
    assert ranking.reason(0).startswith("look at frames 26 to 39; frame ")
    frames = learned.evidence
    doubt = np.zeros(len(frames))
    rows = np.flatnonzero(frames.detection_shown)
    chance = frames.detection_probabilities[rows].astype(np.float64)
    entropy = -np.where(chance > 0, chance * np.log(np.maximum(chance, 1e-300)), 0).sum(axis=1)
    np.add.at(doubt, frames.detection_item[rows], entropy)
    expected = [doubt[low:high].sum() for low, high in zip(pool.first[:-1], pool.first[1:], strict=True)]
    np.testing.assert_allclose(ranking.columns[0].scores.values, expected, atol=1e-6)
    assert ranking.detail(0)["detection_entropy"]["percentile"] == 1


def test_only_the_best_frames_count_and_the_mean_is_fair_to_short_videos(
    house: House, tmp_path: Path, spots: Spots
) -> None:
    add(house, tmp_path, 1, 150, moving(2, 10, 200, 0.5))
    add(house, tmp_path, 2, 25, moving(2, 10, 160))
    add(house, tmp_path, 3, 25, moving(2, 10, 250), status="labeled", label="1 Bright", regions=[LABELED[0]])
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)

    def first(**videos: Any) -> int:
        plan = PLAN.model_copy(update={"videos": PLAN.videos.model_copy(update=videos)})
        return int(pool.task_id[ranked(house, pool, plan)[1].order[0]])

    assert first(best=10) == 1, "ten frames of mild doubt are more than two of strong doubt"
    assert first(best=2) == 2
    assert first(best=10, over="mean") == 2


def test_several_scorers_are_mixed_over_videos(house: House, tmp_path: Path, spots: Spots) -> None:
    pool = filled(house, tmp_path)
    plan = PLAN.model_copy(
        update={"scorers": (*PLAN.scorers, ChosenScorer(name="temporal_coherence"), ChosenScorer(name="margin"))}
    )
    _, ranking = ranked(house, pool, plan)
    assert [column.name for column in ranking.columns] == ["detection_entropy", "temporal_coherence"]
    assert list(ranking.problems) == ["margin"], "it reads classes of images, and is named"
    assert pool.task_id[ranking.order[0]] == 3


def test_without_a_labeled_box_the_queue_of_videos_is_random(house: House, tmp_path: Path, spots: Spots) -> None:
    for task in range(1, 9):
        add(house, tmp_path, task, 3, moving(task, 10, 250))
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    learned, ranking = ranked(house, pool)
    assert (ranking.phase, learned.trained_in, ranking.shows) == ("random", None, None)
    assert sorted(ranking.order.tolist()) == list(range(8))
    assert "first labeled video" in ranking.notes[0]
    assert predicted_result(QUESTION, {}, 0) == []


# what people are shown


def test_predictions_hold_tracks_that_read_back_as_the_detections(house: House, tmp_path: Path, spots: Spots) -> None:
    pool = filled(house, tmp_path)
    _, ranking = ranked(house, pool)
    assert ranking.shows is not None
    arrays = ranking.shows(ranking.order)
    for rank, video in enumerate(ranking.order.tolist()):
        result = predicted_result(QUESTION, arrays, rank)
        task = int(pool.task_id[video])
        check_row(QUESTION, {"task": task, "score": 0.5, "model_version": "v", "result": result})
        numbers = frames_of(pool).frames.frame[pool.first[video] : pool.first[video + 1]]
        images = pool.frames.images.take(np.arange(pool.first[video], pool.first[video + 1]))
        found = spots.detect({}, images)
        tracks = tracks_of({"result": result}, QUESTION, *SIZE).tracks
        at_sampled = []
        for each in tracks:
            for place, number in enumerate(numbers.tolist()):
                at_sampled += [(place, each.label, *each.box[at]) for at in np.flatnonzero(each.frame == number)]
        expected = [(item, label, *box) for item, label, box in zip(found.item, found.label, found.box, strict=True)]
        assert len(at_sampled) == len(expected)
        for one, other in zip(sorted(at_sampled), sorted(expected), strict=True):
            np.testing.assert_allclose(one, other, atol=1.0 + 1e-6)
        assert len({region["id"] for region in result}) == len(result)
    result = predicted_result(QUESTION, arrays, 0)
    assert told(QUESTION, result)[0] == "1 Bright, 1 Dim"
    flicker, steady = (tracks_of({"result": [region]}, QUESTION, *SIZE).tracks[0] for region in result)
    assert flicker.frame.tolist() == list(range(26, 40)), "the least sure of the doubtful frames comes first"
    assert steady.frame.tolist() == list(range(1, 40))
    assert [len(region["value"]["sequence"]) for region in result] == [2, 2], "an even motion needs its ends alone"
    value = result[0]["value"]
    assert (value["framesCount"], value["duration"]) == (50, 2.0)
    assert [keyframe["enabled"] for keyframe in value["sequence"]] == [True, False]


def test_a_track_is_off_where_its_object_was_not_found(house: House, tmp_path: Path, spots: Spots) -> None:
    add(house, tmp_path, 1, 75, flickering(10, 10, 250, [*range(1, 30), *range(45, 76)]))
    add(house, tmp_path, 2, 25, moving(2, 10, 250), status="labeled", label="1 Bright", regions=[LABELED[0]])
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    _, ranking = ranked(house, pool)
    assert ranking.shows is not None
    (region,) = predicted_result(QUESTION, ranking.shows(ranking.order), 0)
    sequence = region["value"]["sequence"]
    assert [(one["frame"], one["enabled"]) for one in sequence] == [(1, True), (26, False), (51, True), (64, False)]


def test_a_timeline_with_a_label_for_doubt_points_at_the_frames(house: House, tmp_path: Path, spots: Spots) -> None:
    pool = filled(house, tmp_path)
    _, ranking = ranked(house, pool)
    assert ranking.shows is not None
    arrays = ranking.shows(ranking.order)
    result = predicted_result(WITH_TIMELINE, arrays, 0)
    check_row(WITH_TIMELINE, {"task": 3, "score": 0.0, "model_version": "v", "result": result})
    assert [region["type"] for region in result] == ["timelinelabels", "videorectangle", "videorectangle"]
    ranges = ranges_of({"id": 1, "result": result}, TIMELINE)
    assert (ranges.start.tolist(), ranges.end.tolist(), ranges.label.tolist()) == ([21], [50], [1])
    assert told(WITH_TIMELINE, result) == told(QUESTION, predicted_result(QUESTION, arrays, 0))
    other = replace(WITH_TIMELINE, timeline=replace(TIMELINE, classes=("Rain", "Tunnel")))
    assert predicted_result(other, arrays, 0) == predicted_result(QUESTION, arrays, 0), "people's labels are theirs"


def test_other_classes_or_another_rate_show_nothing(house: House, tmp_path: Path, spots: Spots) -> None:
    _, ranking = ranked(house, filled(house, tmp_path))
    assert ranking.shows is not None
    arrays = ranking.shows(ranking.order)
    assert predicted_result(replace(QUESTION, classes=("Dim", "Bright", "Black")), arrays, 0) == []
    assert predicted_result(replace(QUESTION, frame_rate="24"), arrays, 0) == []
    assert predicted_result(replace(QUESTION, frame_rate="25"), arrays, 0) != []


def test_predictions_survive_the_array_store(house: House, tmp_path: Path, spots: Spots) -> None:
    _, ranking = ranked(house, filled(house, tmp_path))
    assert ranking.shows is not None
    arrays = {"task_id": ranking.order, **ranking.shows(ranking.order)}
    house.arrays.write("kept", arrays)
    kept = house.arrays.read("kept")
    assert kept is not None
    for rank in range(4):
        assert predicted_result(WITH_TIMELINE, kept, rank) == predicted_result(WITH_TIMELINE, arrays, rank)
    assert stored_ranking(kept).says(QUESTION, 0) == told(QUESTION, predicted_result(QUESTION, arrays, 0))


# config, answers and plan


def test_configs_of_whole_videos_are_learned() -> None:
    assert read_question(XML) == WITH_TIMELINE


def task(*annotations: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": 7, "data": {"video": "/v.mp4", "fps": 25, **data}, "annotations": list(annotations)}


def answer(number: int, *regions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": number, "updated_at": f"2026-01-0{number}T00:00:00Z", "result": list(regions), **fields}


def test_the_latest_readable_answer_counts_and_ground_truth_before_it() -> None:
    early, late = answer(1, *LABELED), answer(2, LABELED[0])
    assert read_answer(task(early, late), QUESTION).label == "1 Bright"
    reading = read_answer(task({**early, "ground_truth": True}, late), QUESTION)
    assert (reading.label, reading.regions, reading.fps) == ("1 Bright, 1 Dim", LABELED, 25.0)
    purple = track("p", [(1, 5, True)], label="Purple")
    spoiled = read_answer(task(early, answer(2, purple)), QUESTION)
    assert spoiled.label == "1 Bright, 1 Dim"
    assert spoiled.problem is not None
    assert spoiled.problem[0] == "unknown_label"
    alone = read_answer(task(answer(2, purple)), QUESTION)
    assert (alone.status, alone.label) == ("labeled", None)


def test_ranges_are_no_part_of_the_answer() -> None:
    doubt = {"id": "d", "from_name": "where", "to_name": "video", "type": "timelinelabels",
             "value": {"ranges": [{"start": 1, "end": 9}], "timelinelabels": ["Doubtful"]}}  # fmt: skip
    assert read_answer(task(answer(1, doubt)), WITH_TIMELINE).label == "nothing"
    assert read_answer(task(answer(1, doubt, LABELED[0])), WITH_TIMELINE).regions == [LABELED[0]]


def test_skips_and_empty_answers() -> None:
    assert read_answer(task(), QUESTION).status == "unlabeled"
    assert read_answer(task(answer(1, was_cancelled=True)), QUESTION).status == "skipped"
    nothing = read_answer(task(answer(1)), QUESTION)
    assert (nothing.status, nothing.label, nothing.regions) == ("labeled", "nothing", [])


def test_a_task_without_its_frame_rate_or_video_is_named_and_cannot_be_used() -> None:
    without = read_answer({"id": 7, "data": {"video": "/v.mp4"}, "annotations": []}, QUESTION)
    assert without.url is None
    assert without.problem is not None
    assert without.problem[0] == "no_frame_rate"
    nothing = read_answer({"id": 7, "data": {"fps": 25}, "annotations": []}, QUESTION)
    assert nothing.problem == ("missing_key", "Task 7 holds nothing under 'video'; put the video's URL there.")


def test_a_plan_for_whole_videos(house: House) -> None:
    plan = default_plan(QUESTION)
    assert (plan.learner.name, plan.selector.name, plan.scorers[0].name) == ("yolo", "top", "temporal_coherence")
    with house.ledger.session() as session:
        check_for_project(session, 1, plan)
        for change, said in (
            ({"selector": ChosenSelector(name="spaced")}, "choose 'top'"),
            ({"cold_start": ColdStart()}, "set cold_start to null"),
        ):
            with pytest.raises(PlanError, match=said):
                check_for_project(session, 1, plan.model_copy(update=change))
