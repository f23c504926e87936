"""Values of videos and tracks through sampled frames, against slow, literal references."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.loop.video_tracks import drawn_tracks, every_frame, linked
from ml_backend.loop.video_values import halfway, in_words, standing_out, stretches, video_values
from plugins.video.boxes import overlaps
from plugins.video.detections import Detections, Frames

VIDEOS = st.lists(st.lists(st.integers(-5, 9), min_size=1, max_size=8), min_size=1, max_size=6)


@given(VIDEOS, st.integers(1, 6), st.sampled_from(["sum", "mean"]))
def test_a_video_is_worth_its_best_frames(videos: list[list[int]], best: int, over: Literal["sum", "mean"]) -> None:
    values = np.array([value for video in videos for value in video], dtype=np.float64)
    first = np.cumsum([0, *(len(video) for video in videos)])
    floor = min(0, values.min())
    expected = []
    for video in videos:
        top = sorted(video, reverse=True)[:best]
        expected.append(sum(value - floor for value in top) if over == "sum" else sum(top) / len(top))
    np.testing.assert_allclose(video_values(values, first, best, over), expected, atol=1e-9)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 9))
def test_more_frames_never_make_a_video_worth_less(video: list[int], more: int) -> None:
    short, long = np.array(video, dtype=np.float64), np.array([*video, more], dtype=np.float64)
    before = video_values(short, np.array([0, len(short)]), 3, "sum")[0]
    assert video_values(long, np.array([0, len(long)]), 3, "sum")[0] >= before


def test_what_stands_out_is_at_least_half_as_doubtful_as_the_worst() -> None:
    values = np.array([0.0, 3.0, 1.5, 1.4, 2.9])
    assert standing_out(values, 0.0, 10).tolist() == [1, 2, 4]
    assert standing_out(values, 0.0, 2).tolist() == [1, 4]
    assert standing_out(np.zeros(4), 0.0, 3).tolist() == []
    assert standing_out(np.array([-0.9, -0.1]), -0.9, 3).tolist() == [1]


@given(st.sets(st.integers(0, 30)))
def test_stretches_cover_exactly_what_is_given(positions: set[int]) -> None:
    found = stretches(np.array(sorted(positions), dtype=np.int64))
    assert [one for start, end in found for one in range(start, end + 1)] == sorted(positions)
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(found))


def test_stretches_in_words() -> None:
    assert in_words([(1, 3), (5, 5), (9, 12)]) == "frames 1 to 3, 5 and 9 to 12"


@given(st.sets(st.integers(1, 60), min_size=1))
def test_sampled_frames_share_the_video_between_them(numbers: set[int]) -> None:
    number = np.array(sorted(numbers), dtype=np.int64)
    start, end = halfway(number, 60)
    assert [one for a, b in zip(start, end, strict=True) for one in range(a, b + 1)] == list(range(1, 61))
    assert ((start <= number) & (number <= end)).all()


def detections(rows: list[tuple[int, float, int, float]], frames: int, step: int = 12) -> Detections:
    """rows: (place, x, label, score) of boxes of 12 x 10 px."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    x = table[:, 1]
    return Detections(
        Frames(1 + step * np.arange(frames)),
        table[:, 0].astype(np.int64),
        np.stack([x, np.full(len(x), 5.0), x + 12, np.full(len(x), 15.0)], axis=1),
        table[:, 3],
        table[:, 2].astype(np.int64),
    )


def literal_chains(given: Detections, overlap: float) -> set[tuple[int, ...]]:
    """Boxes that stand still: pairs of a class within two frames, nearest and most overlapping first, one to one."""
    pairs = []
    for a in range(len(given)):
        for b in range(len(given)):
            gap = given.frame[b] - given.frame[a]
            if gap in (1, 2) and given.label[a] == given.label[b]:
                shared = float(overlaps(given.box[[a]], given.box[[b]])[0])
                if shared > overlap:
                    pairs.append((gap, -shared, a, b))
    follower: dict[int, int] = {}
    for _, _, a, b in sorted(pairs):
        if a not in follower and b not in follower.values():
            follower[a] = b
    chains = set()
    for start in range(len(given)):
        if start not in follower.values():
            chain = [start]
            while chain[-1] in follower:
                chain.append(follower[chain[-1]])
            chains.add(tuple(chain))
    return chains


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 1)), max_size=20))
def test_still_boxes_are_linked_as_a_literal_search_links_them(seen: set[tuple[int, int, int]]) -> None:
    rows = [(place, 40.0 * x, label, 0.5) for place, x, label in sorted(seen)]
    given_boxes = detections(rows, 6)
    found = {tuple(chain.tolist()) for chain in linked(given_boxes)}
    assert found == literal_chains(given_boxes, 0.3)
    assert sorted(row for chain in found for row in chain) == list(range(len(rows)))


@given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 40), st.integers(0, 1)), max_size=16))
def test_every_box_is_in_one_track_and_no_track_turns_back_in_time(seen: set[tuple[int, int, int]]) -> None:
    given_boxes = detections([(place, 4.0 * x, label, 0.5) for place, x, label in sorted(seen)], 5)
    chains = [chain.tolist() for chain in linked(given_boxes)]
    assert sorted(row for chain in chains for row in chain) == list(range(len(seen)))
    for chain in chains:
        assert (np.diff(given_boxes.frame[chain]) > 0).all()
        assert (np.diff(given_boxes.frame[chain]) <= 2).all()
        assert len(set(given_boxes.label[chain].tolist())) == 1


def test_a_fast_object_goes_on_at_the_nearest_box_like_it() -> None:
    """Without overlap: 15 px a sampled frame, boxes 12 px wide; and another of its class, too far to be it."""
    rows = [(place, 15.0 * place, 0, 0.9) for place in range(4)] + [(3, 150.0, 0, 0.9)]
    assert [chain.tolist() for chain in linked(detections(rows, 4))] == [[0, 1, 2, 3], [4]]
    larger = Detections(
        Frames(np.array([1, 13])),
        np.array([0, 1]),
        np.array([[0.0, 0, 12, 10], [15.0, 0, 45, 24]]),
        np.array([0.9, 0.9]),
        np.array([0, 0]),
    )
    assert len(linked(larger)) == 2, "another size is another object"


def test_a_moving_object_keeps_its_track_where_still_boxes_would_lose_it() -> None:
    rows = [(place, x, 0, 0.9) for place, x in enumerate([0.0, 4, 9, 15, 22])]
    (chain,) = linked(detections(rows, 5))
    assert chain.tolist() == [0, 1, 2, 3, 4]
    assert len(literal_chains(detections(rows, 5), 0.3)) == 2, "the last step is over half a box wide"


def test_a_track_outlives_one_frame_without_its_object_and_no_more() -> None:
    gone = [(place, 5.0, 0, 0.9) for place in (0, 1, 3, 6)]
    assert [chain.tolist() for chain in linked(detections(gone, 7))] == [[0, 1, 2], [3]]


def test_classes_make_tracks_of_their_own() -> None:
    rows = [(0, 5.0, 0, 0.9), (1, 5.0, 1, 0.9), (2, 5.0, 0, 0.9)]
    assert sorted(chain.tolist() for chain in linked(detections(rows, 3))) == [[0, 2], [1]]


def test_tracks_of_doubtful_frames_come_first_the_least_sure_before_others() -> None:
    sure = [(place, 0.0, 0, 0.9) for place in range(4)]
    unsure = [(place, 30.0, 0, 0.3) for place in range(2, 4)]
    calm = [(place, 60.0, 0, 0.1) for place in range(2)]
    tracks = drawn_tracks(detections([*sure, *unsure, *calm], 4), np.array([3]))
    assert [round(track.score, 3) for track in tracks] == [0.3, 0.9, 0.1]
    again = drawn_tracks(detections([*calm, *unsure, *sure], 4), np.array([], dtype=np.int64))
    assert {track.id for track in again} == {track.id for track in tracks}, "ids depend on the boxes alone"
    assert [int(track.place[0]) for track in again] == [0, 0, 2]


def test_doubles_of_a_box_get_ids_of_their_own() -> None:
    tracks = drawn_tracks(detections([(0, 5.0, 0, 0.9), (0, 5.0, 0, 0.8)], 1), np.array([0]))
    assert len({track.id for track in tracks}) == 2


def test_nothing_found_is_no_track() -> None:
    assert drawn_tracks(detections([], 3), np.array([1])) == []


@pytest.mark.parametrize("joined", [[True, True, False], [True, False, False], [False, False, False]])
def test_a_track_is_seen_in_every_frame_between_joined_ones(joined: list[bool]) -> None:
    frame = np.array([1, 5, 9])
    box = np.array([[0.0, 0, 8, 8], [4.0, 0, 12, 8], [4.0, 8, 12, 16]])
    seen, boxes = every_frame(frame, np.array(joined), box)
    expected: dict[int, Any] = {}
    for at in range(3):
        expected[frame[at]] = box[at]
        if joined[at]:
            for number in range(frame[at] + 1, frame[at + 1]):
                share = (number - frame[at]) / (frame[at + 1] - frame[at])
                expected[number] = box[at] + share * (box[at + 1] - box[at])
    assert seen.tolist() == sorted(expected)
    np.testing.assert_allclose(boxes, [expected[number] for number in seen.tolist()])
