"""Tracks: the fewest keyframes that stay true, and people's keyframes frame by frame, against literal references."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.regions.checks import check_regions_prediction
from ml_backend.studio.regions.config import TracksConfig
from ml_backend.studio.regions.geometry import FloatArray
from ml_backend.studio.regions.keyframes import expand, keyframes
from ml_backend.studio.regions.reading import RegionError
from ml_backend.studio.regions.tracks import Track, track_results, tracks_of

CLASSES = ("Car", "Person")
TRACKS = TracksConfig("box", "vid", "video", CLASSES, "$fps")
WIDTH, HEIGHT = 640, 360


def annotation(result: Any) -> dict[str, Any]:
    return {"id": 5, "result": result}


def misses(box: FloatArray, rows: list[int]) -> float:
    """The largest error of straight lines between these rows, frame by frame and side by side."""
    worst = 0.0
    for first, last in pairwise(rows):
        for row in range(first, last + 1):
            share = (row - first) / (last - first)
            for side in range(4):
                line = box[first, side] + (box[last, side] - box[first, side]) * share
                worst = max(worst, abs(line - box[row, side]))
    return worst


def fewest(box: FloatArray, tolerance: float) -> int:
    """The smallest number of rows that do, by trying every set of rows."""
    last = len(box) - 1
    if last == 0:
        return 1
    for inner in range(last):
        for chosen in combinations(range(1, last), inner):
            if misses(box, [0, *chosen, last]) <= tolerance:
                return inner + 2
    raise AssertionError("all rows miss nothing")


def walk(length: int, seed: int, size: float = 3.0) -> FloatArray:
    """(length, 4) a box that wanders and now and then stands still."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, size, (length, 4)) * (random.random((length, 1)) < 0.7)
    corners = np.array([200.0, 100.0, 260.0, 160.0]) + np.cumsum(steps, axis=0)
    return np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 2.0, 5.0]))
def test_keyframes_are_the_fewest_that_keep_the_tolerance(length: int, seed: int, tolerance: float) -> None:
    box = np.round(walk(length, seed))
    rows = keyframes(box, tolerance).tolist()
    assert (rows[0], rows[-1]) == (0, length - 1)
    assert misses(box, rows) <= tolerance + 1e-8
    assert fewest(box, tolerance + 1e-8) <= len(rows) <= fewest(box, tolerance)


@given(st.integers(1, 400), st.integers(0, 10**6), st.floats(0, 20))
def test_interpolated_keyframes_never_miss_by_more_than_the_tolerance(length: int, seed: int, tolerance: float) -> None:
    box = walk(length, seed)
    rows = keyframes(box, tolerance)
    assert misses(box, rows.tolist()) <= tolerance + 1e-8


def test_what_stands_still_or_moves_evenly_needs_two_keyframes() -> None:
    assert keyframes(np.ones((5000, 4)), 0.0).tolist() == [0, 4999]
    assert keyframes(np.arange(5000.0)[:, None] * [0.1, 0.7, 0.1, 0.7], 0.0).tolist() == [0, 4999]


def expanded_as_exported(value: dict[str, Any]) -> list[tuple[int, list[float]]]:
    """What Label Studio's export with interpolate_key_frames=true lists, written down step by step."""
    sequence = sorted(value["sequence"], key=lambda entry: entry["frame"])
    listed = [(entry["frame"], [entry[key] for key in ("x", "y", "width", "height")]) for entry in sequence]
    for position, entry in enumerate(sequence):
        if not entry["enabled"]:
            continue
        following = sequence[position + 1] if position + 1 < len(sequence) else None
        last = following["frame"] - 1 if following else value["framesCount"]
        for frame in range(entry["frame"] + 1, last + 1):
            share = (frame - entry["frame"]) / (following["frame"] - entry["frame"]) if following else 0
            to = following or entry
            listed.append(
                (frame, [entry[key] + (to[key] - entry[key]) * share for key in ("x", "y", "width", "height")])
            )
    return sorted(listed)


SEQUENCE = st.lists(
    st.tuples(
        st.integers(1, 60), st.booleans(), st.floats(0, 50), st.floats(0, 50), st.floats(1, 50), st.floats(1, 50)
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda entry: entry[0],
)


def tracked(sequence: list[dict[str, Any]], frames: int = 60, **changes: Any) -> dict[str, Any]:
    value = {"framesCount": frames, "duration": frames / 25, "sequence": sequence, "labels": ["Car"]}
    value |= changes.pop("value", {})
    return {"id": "t1", "from_name": "box", "to_name": "vid", "type": "videorectangle", "value": value, **changes}


def keyframe(frame: int = 1, enabled: Any = True, **changes: Any) -> dict[str, Any]:
    return {"frame": frame, "enabled": enabled, "rotation": 0, "x": 10, "y": 20, "width": 30, "height": 40, **changes}


@given(SEQUENCE)
def test_a_persons_keyframes_are_expanded_as_exported(entries: list[tuple[Any, ...]]) -> None:
    sequence = [
        keyframe(frame, enabled, x=x, y=y, width=width, height=height)
        for frame, enabled, x, y, width, height in entries
    ]
    region = tracked(sequence)
    (track,) = tracks_of(annotation([region]), TRACKS, 100, 100).tracks
    expected = expanded_as_exported(region["value"])
    assert track.frame.tolist() == [frame for frame, _ in expected]
    rows = np.array([place for _, place in expected])
    np.testing.assert_allclose(track.box, np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], 1), atol=1e-9)


@settings(max_examples=50)
@given(
    st.lists(st.booleans(), min_size=1, max_size=120).filter(any),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 1.0, 6.0]),
)
def test_written_tracks_are_read_in_the_same_frames_and_within_the_tolerance(
    seen: list[bool], seed: int, tolerance: float
) -> None:
    frame = np.flatnonzero(seen) + 1
    box = walk(len(seen), seed)[frame - 1] + [0, 0, 1, 1]
    track = Track("car-1", 1, frame, box, 0.25)
    result = track_results(
        TRACKS, [track], fps=25, frames=len(seen), width=WIDTH, height=HEIGHT, tolerance_px=tolerance
    )
    check_regions_prediction(TRACKS, {"task": 1, "score": 0.5, "model_version": "v", "result": result})
    assert result[0]["score"] == 0.25
    for entry in result[0]["value"]["sequence"]:
        following = int(entry["frame"]) < len(seen) and seen[entry["frame"]]
        assert entry["enabled"] == following
        assert entry["time"] == entry["frame"] / 25
    (read,) = tracks_of(annotation(result), TRACKS, WIDTH, HEIGHT).tracks
    assert (read.id, read.label) == ("car-1", 1)
    assert read.frame.tolist() == frame.tolist()
    assert np.abs(read.box - np.clip(box, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])).max() <= tolerance + 1e-6


def test_a_track_that_leaves_the_image_has_a_gap() -> None:
    x = np.array([600.0, 630, 650, 660, 620])
    box = np.stack([x, np.full(5, 10), x + 20, np.full(5, 30)], axis=1)
    result = track_results(
        TRACKS, [Track("a", 0, np.arange(1, 6), box)], fps=25, frames=5, width=WIDTH, height=HEIGHT, tolerance_px=0
    )
    sequence = result[0]["value"]["sequence"]
    assert [(entry["frame"], entry["enabled"]) for entry in sequence] == [(1, True), (2, False), (5, False)]
    outside = Track("b", 0, np.array([3]), box[3:4])
    assert track_results(TRACKS, [outside], fps=25, frames=5, width=WIDTH, height=HEIGHT) == []


def test_boxes_of_a_persons_track_outside_the_image_are_dropped_and_counted() -> None:
    sequence = [keyframe(1, x=80), keyframe(5, x=120), keyframe(9, False, x=80)]
    read = tracks_of(annotation([tracked(sequence)]), TRACKS, 100, 100)
    assert read.tracks[0].frame.tolist() == [1, 2, 8, 9]
    assert read.dropped == 5
    gone = tracks_of(annotation([tracked([keyframe(1, False, width=0)])]), TRACKS, 100, 100)
    assert (gone.tracks, gone.dropped) == ((), 1)


@pytest.mark.parametrize(
    ("region", "culprit"),
    [
        (tracked([]), "no list of keyframes"),
        (tracked([keyframe()], value={"sequence": "x"}), "no list of keyframes"),
        (tracked([keyframe(0)]), "frame 0"),
        (tracked([keyframe(2.5)]), "frame 2.5"),  # type: ignore[arg-type]  # what other programs may write
        (tracked([keyframe(3), keyframe(3, x=1)]), "several keyframes at frame 3"),
        (tracked([keyframe(enabled=None)]), "neither true nor false"),
        (tracked([keyframe(rotation=5)]), "rotated by 5"),
        (tracked([keyframe(x="left")]), "x 'left'"),
        (tracked([keyframe()], frames=10**12), "framesCount 1000000000000"),
        (tracked([keyframe()], value={"labels": ["Dog"]}), "'Dog'"),
    ],
)
def test_an_odd_track_is_refused_by_name(region: dict[str, Any], culprit: str) -> None:
    with pytest.raises(RegionError, match=culprit):
        tracks_of(annotation([region]), TRACKS, WIDTH, HEIGHT)


STILL = np.array([[0.0, 0, 9, 9]] * 3)


@pytest.mark.parametrize(
    ("track", "changes", "culprit"),
    [
        (Track("a b", 0, np.arange(1, 4), STILL), {}, "called 'a b'"),
        (Track("a", 7, np.arange(1, 4), STILL), {}, "label of track 'a' is 7"),
        (Track("a", 0, np.arange(1, 4), STILL, 2.0), {}, "score of track 'a' is 2.0"),
        (Track("a", 0, np.arange(0, 3), STILL), {}, "ascending between 1 and 9"),
        (Track("a", 0, np.arange(8, 11), STILL), {}, "ascending between 1 and 9"),
        (Track("a", 0, np.array([1, 3, 3]), STILL), {}, "ascending"),
        (Track("a", 0, np.array([1, 2]), STILL), {}, "3 boxes"),
        (Track("a", 0, np.arange(1, 4), -STILL), {}, "Box 0 of track 'a'"),
        (Track("a", 0, np.arange(1, 4), STILL), {"tolerance_px": -1}, "tolerance is -1"),
        (Track("a", 0, np.arange(1, 4), STILL), {"fps": 0}, "0 frames per second"),
        (Track("a", 0, np.arange(1, 4), STILL), {"frames": 0}, "has 0 frames"),
        (Track("a", 0, np.arange(1, 4), STILL), {"frames": 9.0}, "has 9.0 frames"),
    ],
)
def test_a_learners_wrong_tracks_are_refused(track: Track, changes: dict[str, Any], culprit: str) -> None:
    right: dict[str, Any] = {"fps": 25, "frames": 9, "width": 100, "height": 100}
    with pytest.raises(ValueError, match=culprit):
        track_results(TRACKS, [track], **{**right, **changes})


def test_two_tracks_of_one_id_and_another_frame_rate_are_refused() -> None:
    track = Track("a", 0, np.arange(1, 4), STILL)
    with pytest.raises(ValueError, match="Several tracks are called 'a'"):
        track_results(TRACKS, [track, track], fps=25, frames=9, width=100, height=100)
    with pytest.raises(ConfigError, match="counts 24"):
        track_results(TracksConfig("box", "vid", "v", CLASSES), [track], fps=25, frames=9, width=100, height=100)


def test_expand_holds_an_enabled_last_keyframe_to_the_end() -> None:
    seen, box = expand(np.array([3, 5]), np.array([[0.0] * 4, [4.0] * 4]), np.array([True, True]), frames=7)
    assert (seen.tolist(), box[:, 0].tolist()) == ([3, 4, 5, 6, 7], [0, 2, 4, 4, 4])
