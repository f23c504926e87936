"""The split is stable, of about a fifth, by whole videos where there are enough, and says what it cannot do."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.learners.held_out import split


def contents_of(n: int, start: int = 0) -> list[str]:
    return [hashlib.sha256(str(i).encode()).hexdigest() for i in range(start, start + n)]


def test_about_a_fifth_is_held_out() -> None:
    parts = split(contents_of(2000), None, range(2000))
    assert 0.17 < len(parts.held) / 2000 < 0.23
    assert sorted([*parts.learned, *parts.held]) == list(range(2000))
    assert parts.notes == ()


@given(st.integers(60, 120))
def test_once_held_out_always_held_out_in_whatever_order(n: int) -> None:
    contents = contents_of(n)
    before = split(contents[: n // 2], None, range(n // 2))
    order = np.random.default_rng(n).permutation(n)
    after = split([contents[i] for i in order], None, range(n))
    held_now = {contents[order[i]] for i in after.held}
    assert {contents[i] for i in before.held} <= held_now
    assert not {contents[i] for i in before.learned} & held_now


def test_whole_videos_are_held_out_once_there_are_five() -> None:
    groups = np.repeat([f"drive {v}" for v in range(12)], 9)
    parts = split(contents_of(108), groups, range(108))
    assert len(parts.held)
    assert not set(groups[parts.held]) & set(groups[parts.learned])
    assert parts.notes == ()


def test_more_videos_do_not_move_those_there_are() -> None:
    def held(videos: int) -> set[str]:
        groups = np.repeat([f"drive {v}" for v in range(videos)], 4)
        return set(groups[split(contents_of(4 * videos), groups, range(4 * videos)).held].tolist())

    assert held(12) == {name for name in held(40) if int(name.split()[1]) < 12}


def test_few_videos_are_split_by_frames_with_a_note() -> None:
    groups = np.repeat(["a", "b"], 30)
    parts = split(contents_of(60), groups, range(60))
    assert len(parts.held)
    assert "flatters" in parts.notes[0]
    assert np.array_equal(parts.held, split(contents_of(60), None, range(60)).held)


def test_images_that_stand_alone_need_no_note() -> None:
    alone = np.array([f"video {i}" for i in range(60)])
    assert split(contents_of(60), alone, range(60)).notes == ()


@pytest.mark.parametrize(("n", "with_box", "why"), [(9, range(9), "there are 9"), (60, [0], "no labeled image")])
def test_what_cannot_be_measured_is_learned_from(n: int, with_box: list[int], why: str) -> None:
    parts = split(contents_of(n), None, with_box)
    assert len(parts.held) == 0
    assert parts.learned.tolist() == list(range(n))
    assert why in parts.notes[0]
