"""Whole videos: what configs ask, what people answered, and which plans fit."""

from __future__ import annotations

from typing import Any

import pytest

from ml_backend.loop.house import House
from ml_backend.loop.plan import (
    ChosenSelector,
    ColdStart,
    PlanError,
    check_for_project,
    default_plan,
)
from ml_backend.studio.question import read_answer, read_question
from tests.loop import whole_videos
from tests.loop.whole_videos import (
    LABELED,
    QUESTION,
    WITH_TIMELINE,
    XML,
    track,
)

house, spots = whole_videos.house, whole_videos.spots


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
