"""Neighbours, trackers, links and candidates against the method word by word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.video.candidates import find_candidates
from plugins.video.clip import sorted_clip
from plugins.video.detections import Detections, Frames
from plugins.video.joining import Joiner
from plugins.video.linking import link
from plugins.video.motion import Linear, Still, linear, still
from tests.plugins.video_reference import Literal, iou, random_video

F = 14
LAYOUTS: dict[str, dict[str, Any]] = {
    "one video": {},
    "two videos": {"number": np.r_[np.arange(8), np.arange(6)], "video": np.repeat(["b", "a"], [8, 6])},
    "cuts": {"number": np.arange(F), "shot": np.repeat([5, 2, 5], [6, 3, 5])},
    "gaps": {"number": np.array([0, 1, 2, 3, 6, 7, 8, 20, 21, 22, 24, 25, 26, 27])},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("same_class", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_links_and_candidates_are_the_literal_ones(layout: str, moving: bool, same_class: bool, k: int) -> None:
    for seed in range(4):
        detections = random_video(seed, F, **LAYOUTS[layout])
        literal = Literal(detections, k=k, same_class=same_class, moving=moving)
        clip = sorted_clip(detections, k)
        tracked = linear(clip) if moving else still(clip)
        for row, i in enumerate(clip.box_rows.tolist()):
            for slot, place in enumerate(clip.offsets.tolist()):
                expected = literal.tracked(i).get(place)
                if expected is None:
                    assert np.isnan(tracked[row, slot]).all()
                else:
                    assert tracked[row, slot] == pytest.approx(expected)
        links = link(clip, tracked, same_class=same_class)
        rows = clip.box_rows
        found = list(zip(rows[links.earlier].tolist(), rows[links.later].tolist(), strict=True))
        assert set(found) == literal.links()
        assert len(set(found)) == len(found)
        candidates = find_candidates(clip, tracked, links)
        sources = [
            frozenset(rows[candidates.source[candidates.candidate == m]].tolist()) for m in range(len(candidates))
        ]
        frames = clip.frame_rows[candidates.frame].tolist()
        keys = list(zip(frames, candidates.label.tolist(), sources, strict=True))
        assert sorted(keys, key=lambda one: (one[0], one[1], sorted(one[2]))) == literal.candidates()
        for key, box in zip(keys, candidates.box, strict=True):
            assert box == pytest.approx(literal.mean_boxes[key])
        assert (clip.frame[candidates.source] - candidates.frame[candidates.candidate] == candidates.place).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_window_finds_every_overlap(seed: int, threshold: float, same_class: bool) -> None:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 30, (40, 2)).astype(np.float64)
    box = np.concatenate([low, low + rng.integers(1, 20, (40, 2))], axis=1)
    frame, label = np.sort(rng.integers(3, size=40)), rng.integers(2, size=40)
    query, found, shared = Joiner(frame, box, label, same_class).overlapping(box, frame, label, threshold)
    expected = {
        (i, j)
        for i in range(40)
        for j in range(40)
        if frame[i] == frame[j] and (label[i] == label[j] or not same_class)
        if iou(tuple(box[i]), tuple(box[j])) > threshold
    }
    assert set(zip(query.tolist(), found.tolist(), strict=True)) == expected
    assert (shared > threshold).all()


def test_a_stride_is_found_and_gaps_are_not_bridged() -> None:
    box = np.array([[10.0, 10.0, 50.0, 50.0]] * 6)
    frames = Frames(np.array([0, 5, 10, 15, 40, 45]))
    clip = sorted_clip(Detections(frames, np.arange(6), box, np.ones(6), np.zeros(6, dtype=int)), 3)
    assert clip.stride.tolist() == [5] * 6
    links = link(clip, still(clip))
    assert set(zip(links.earlier.tolist(), links.later.tolist(), strict=True)) == {
        *((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)),
        (4, 5),
    }
    assert clip.steps[4].tolist() == [0, 0, 0, 5, 0, 0]


def test_a_known_stride_is_used() -> None:
    frames = Frames(np.array([0, 5, 10]))
    detections = Detections(
        frames, np.arange(3), np.array([[0.0, 0.0, 9.0, 9.0]] * 3), np.ones(3), np.zeros(3, dtype=int)
    )
    assert (sorted_clip(detections, 3, stride=1).neighbours == -1).all()
    with pytest.raises(ValueError, match="stride is 0"):
        sorted_clip(detections, 3, stride=0)
    with pytest.raises(ValueError, match="k is 0"):
        sorted_clip(detections, 0)


def test_a_fast_object_is_followed_and_a_still_box_loses_it() -> None:
    left = 12.0 * np.arange(8)
    box = np.stack([left, np.zeros(8), left + 40, np.full(8, 40.0)], axis=1)
    detections = Detections(Frames(np.arange(8)), np.arange(8), box, np.ones(8), np.zeros(8, dtype=int))
    clip = sorted_clip(detections, 3)
    assert len(link(clip, Linear().track(clip)).earlier) == 7 + 6 + 5
    assert len(link(clip, Still().track(clip)).earlier) == 7


def test_a_shrinking_box_never_turns_inside_out() -> None:
    box = np.array([[0.0, 0.0, 40.0, 40.0], [10.0, 10.0, 30.0, 30.0], [13.0, 13.0, 27.0, 27.0]])
    detections = Detections(Frames(np.array([0, 1, 2])), np.arange(3), box, np.ones(3), np.zeros(3, dtype=int))
    moved = linear(sorted_clip(detections, 2), overlap=0.1)
    seen = moved[~np.isnan(moved[:, :, 0])]
    assert (seen[:, 2:] >= seen[:, :2]).all()


def test_tracked_boxes_of_another_shape_and_odd_thresholds_are_refused() -> None:
    clip = sorted_clip(random_video(0), 3)
    with pytest.raises(ValueError, match=r"Tracked boxes have shape \(1, 6, 4\)"):
        link(clip, np.zeros((1, 6, 4)))
    with pytest.raises(ValueError, match=r"IoU threshold is 1\.5"):
        link(clip, still(clip), iou=1.5)


def test_nothing_links_where_there_is_nothing() -> None:
    empty = Detections(Frames(np.arange(3)), np.empty(0, int), np.empty((0, 4)), np.empty(0), np.empty(0, int))
    clip = sorted_clip(empty, 3)
    links = link(clip, linear(clip))
    assert len(links.earlier) == 0
    assert len(find_candidates(clip, still(clip), links)) == 0
