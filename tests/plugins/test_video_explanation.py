"""Sentences on frames, and what a picture of them needs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from plugins.video.detections import Detections, Frames
from plugins.video.explanation import drawing, explain
from plugins.video.motion import Still
from plugins.video.temporal_coherence import estimate_errors
from tests.plugins.video_reference import random_video

SQUARE = [10.0, 10.0, 50.0, 50.0]


def scene() -> Detections:
    """Frames 38-46 with one lasting object that frames 42 and 43 lack, and a stray box in frame 40."""
    frame = [0, 1, 2, 3, 6, 7, 8, 2]
    box = [SQUARE] * 7 + [[100.0, 100.0, 130.0, 130.0]]
    score = np.array([0.9] * 7 + [0.2])
    return Detections(Frames(np.arange(38, 47)), np.array(frame), np.array(box), score, np.zeros(8, dtype=np.int64))


def test_a_sentence_says_which_boxes_and_where_a_miss_may_be() -> None:
    detections = scene()
    cut = estimate_errors(detections, Still(), mode="thesis")
    assert explain(cut, detections, 2) == "1 of 2 boxes looks wrong: it has no counterpart within 3 frames"
    assert explain(cut, detections, 4) == "1 possible miss between frames 41 and 44"
    assert explain(cut, detections, 0) == "1 box, all with support from the frames around"
    expected = estimate_errors(detections, Still())
    assert explain(expected, detections, 2).startswith(
        "1 of 2 boxes looks wrong: it has no counterpart within 3 frames"
    )
    assert explain(expected, detections, 0).startswith("no box stands out: 0.")


def test_frames_without_boxes_or_neighbours_have_a_sentence() -> None:
    nothing = Detections(Frames(np.arange(2)), np.empty(0, int), np.empty((0, 4)), np.empty(0), np.empty(0, int))
    assert explain(estimate_errors(nothing, Still()), nothing, 1) == (
        "no box here, and none that is missed by the frames around"
    )
    alone = Detections(Frames(np.arange(1)), np.array([0]), np.array([SQUARE]), np.array([0.1]), np.array([0]))
    assert explain(estimate_errors(alone, Still()), alone, 0) == (
        "1 of 1 box looks wrong: the frames around are not known, and the scores are low"
    )


def test_misses_at_an_end_name_the_one_side() -> None:
    detections = Detections(
        Frames(np.arange(4)), np.arange(3), np.array([SQUARE] * 3), np.ones(3), np.zeros(3, dtype=np.int64)
    )
    cut = estimate_errors(detections, Still(), mode="thesis")
    assert explain(cut, detections, 3) == "1 possible miss after frame 2"


@pytest.mark.parametrize("mode", ["calibrated", "thesis"])
def test_every_frame_has_one_line_and_a_drawing_that_is_json(mode: str) -> None:
    detections = random_video(1, 20)
    errors = estimate_errors(detections, Still(), mode=mode)  # type: ignore[arg-type]  # both are modes
    rows, linked = set(), 0
    for frame in range(20):
        line = explain(errors, detections, frame)
        assert line
        assert "\n" not in line
        picture = json.loads(json.dumps(drawing(errors, detections, frame)))
        assert picture["frame"] == detections.frames.number[frame]
        rows |= {one["row"] for one in picture["boxes"]}
        linked += len(picture["links"])
        for one in picture["candidates"]:
            assert 0 <= one["missed"] <= 1
            assert all(abs(seen - picture["frame"]) <= 3 for seen in one["from"])
    assert rows == set(np.flatnonzero(~detections.dropped).tolist())
    assert linked == 2 * len(errors.links)
