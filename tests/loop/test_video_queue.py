"""The queue of whole videos and what people are shown of them, with the detector of bright spots."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ml_backend.loop.house import House
from ml_backend.loop.plan import ChosenScorer
from ml_backend.loop.predicted import check_row, predicted_result, told
from ml_backend.loop.stored_ranking import stored_ranking
from ml_backend.loop.video_cover import cover_of
from ml_backend.loop.video_pool import read_video_pool
from ml_backend.store.tables import Item
from ml_backend.studio.regions.timeline import ranges_of
from ml_backend.studio.regions.tracks import tracks_of
from tests.loop import whole_videos
from tests.loop.spots import Spots
from tests.loop.whole_videos import (
    LABELED,
    PLAN,
    QUESTION,
    SIZE,
    STUDIO,
    TIMELINE,
    WITH_TIMELINE,
    add,
    filled,
    flickering,
    frames_of,
    moving,
    ranked,
)

house, spots = whole_videos.house, whole_videos.spots

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


def test_a_video_is_shown_by_its_most_doubtful_frame(house: House, tmp_path: Path, spots: Spots) -> None:
    pool = filled(house, tmp_path)
    _, ranking = ranked(house, pool)
    assert ranking.shows is not None
    arrays = ranking.shows(ranking.order)
    most = int(ranking.reason(0).rpartition("; frame ")[2].partition(":")[0])
    assert arrays["cover"][0] == most
    kept = stored_ranking({"task_id": pool.task_id[ranking.order], **arrays})
    with house.ledger.session() as session:
        item = session.get_one(Item, (1, 3))
        cover = cover_of(house, item, kept, 2.0)
        assert cover is not None
        assert cover.number == most
        assert hashlib.sha256(cover.file.read_bytes()).hexdigest() == cover.content
        first = cover_of(house, item, None, 2.0)
        assert first is not None
        assert first.number == 1
        assert cover_of(house, item, kept, 3.0) is None, "no frames were taken at that rate"
        item.fps = None
        assert cover_of(house, item, kept, 2.0) is None
        session.rollback()


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
