"""Ranges of frames between Label Studio's JSON and our arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.studio.regions.checks import check_regions_prediction
from ml_backend.studio.regions.config import TimelineConfig
from ml_backend.studio.regions.reading import RegionError
from ml_backend.studio.regions.timeline import Ranges, merged, ranges_of, timeline_results

CLASSES = ("Car", "Person")
TIMELINE = TimelineConfig("when", "vid", "video", CLASSES, "$fps")


def annotation(result: Any) -> dict[str, Any]:
    return {"id": 5, "result": result}


SPANS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9), st.integers(0, 1)), max_size=8)


@given(SPANS)
def test_ranges_merge_to_the_same_frames_and_come_back(spans: list[tuple[int, int, int]]) -> None:
    start, end, label = np.array([(a, a + n, c) for a, n, c in spans], dtype=np.int64).reshape(-1, 3).T
    result = timeline_results(TIMELINE, Ranges(start, end, label, np.full(len(start), 0.5)), fps=25, frames=60)
    check_regions_prediction(TIMELINE, {"task": 1, "score": 0.5, "model_version": "v", "result": result})
    read = ranges_of(annotation(result), TIMELINE)
    for each in (0, 1):
        frames = {f for a, b, c in zip(start, end, label, strict=True) if c == each for f in range(a, b + 1)}
        again = [
            f for a, b, c in zip(read.start, read.end, read.label, strict=True) if c == each for f in range(a, b + 1)
        ]
        assert again == sorted(frames)
        runs = sum(frame - 1 not in frames for frame in frames)
        assert int((read.label == each).sum()) == runs
    assert all(region["score"] == pytest.approx(0.5) for region in result)


def test_a_merged_score_is_the_mean_by_frames() -> None:
    one = merged(Ranges(np.array([1, 3]), np.array([2, 8]), np.array([0, 0]), np.array([1.0, 0.2])))
    assert one.score is not None
    assert one.score.tolist() == pytest.approx([(2 * 1.0 + 6 * 0.2) / 8])


def marked(ranges: Any, **changes: Any) -> dict[str, Any]:
    value = {"ranges": ranges, "timelinelabels": ["Car"]}
    return {"id": "m", "from_name": "when", "to_name": "vid", "type": "timelinelabels", "value": value, **changes}


@pytest.mark.parametrize(
    ("ranges", "culprit"),
    [
        ([], "no list of ranges"),
        ("all", "no list of ranges"),
        ([{"start": 0, "end": 3}], "start 0"),
        ([{"start": 5, "end": 3}], "end 3"),
        ([{"start": 5}], "end None"),
        ([{"start": 1.5, "end": 3}], "start 1.5"),
    ],
)
def test_odd_ranges_are_refused_by_name(ranges: Any, culprit: str) -> None:
    with pytest.raises(RegionError, match=culprit):
        ranges_of(annotation([marked(ranges)]), TIMELINE)


def test_several_ranges_of_one_region_are_read() -> None:
    read = ranges_of(annotation([marked([{"start": 9, "end": 9}, {"start": 1, "end": 3.0}])]), TIMELINE)
    assert (read.start.tolist(), read.end.tolist(), read.label.tolist()) == ([1, 9], [3, 9], [0, 0])


@pytest.mark.parametrize(
    ("start", "end", "label", "culprit"),
    [
        ([0], [3], [0], "from frame 0 to 3"),
        ([3], [2], [0], "from frame 3 to 2"),
        ([3], [10], [0], "within 1 and 9"),
        ([3], [4], [5], "label of the ranges is 5"),
        ([3, 4], [4], [0], "starts"),
        ([3.5], [4], [0], "whole frame numbers"),
    ],
)
def test_a_learners_wrong_ranges_are_refused(start: Any, end: Any, label: Any, culprit: str) -> None:
    ranges = Ranges(np.array(start), np.array(end), np.array(label))
    with pytest.raises(ValueError, match=culprit):
        timeline_results(TIMELINE, ranges, fps=25, frames=9)
