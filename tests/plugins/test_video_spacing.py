"""Frames with distance between them, against the rule word by word."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.conformance import suite
from plugins.contract import PluginError
from plugins.evidence import Evidence
from plugins.registry import make
from plugins.video.spacing import Spaced, SpacedConfig, spaced


def literal(
    values: Any,
    ties: Any,
    video: Any,
    number: Any,
    budget: int,
    k: int,
    cap: int | None,
    labeled: list[tuple[int, int]],
) -> list[int]:
    """Every video in turn gives its best frame away from what is taken; then without the cap; then closer."""
    n = len(values)
    stride = {}
    for one in set(video.tolist()) | {v for v, _ in labeled}:
        line = sorted([int(number[i]) for i in range(n) if video[i] == one] + [f for v, f in labeled if v == one])
        steps = sorted(b - a for a, b in itertools.pairwise(line))
        stride[one] = steps[(len(steps) - 1) // 2] if steps else 1
    order: list[int] = []
    for distance, most in [(k, cap), *((d, None) for d in range(k, -1, -1))]:
        while len(order) < min(budget, n):
            round_ = []
            for one in stride:
                taken = [int(number[i]) for i in order if video[i] == one]
                near = taken + [f for v, f in labeled if v == one]
                if most is not None and len(taken) >= most:
                    continue
                free = [
                    i
                    for i in range(n)
                    if video[i] == one and i not in order
                    if distance == 0 or all(abs(int(number[i]) - f) > distance * stride[one] for f in near)
                ]
                if free:
                    round_.append(min(free, key=lambda i: (-values[i], ties[i])))
            if not round_:
                break
            order += sorted(round_, key=lambda i: (-values[i], ties[i]))[: min(budget, n) - len(order)]
    return order


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 30),
    st.integers(0, 3),
    st.sampled_from([None, 1, 2, 5]),
    st.integers(1, 4),
)
@settings(max_examples=80, deadline=None)
def test_the_order_is_the_literal_one(seed: int, budget: int, k: int, cap: int | None, step: int) -> None:
    rng = np.random.default_rng(seed)
    every = [(v, step * f) for v, length in enumerate((14, 1, 6)) for f in range(length)]
    seen = rng.random(len(every)) < 0.15
    pool = [one for one, labeled in zip(every, seen, strict=True) if not labeled]
    labeled = [one for one, known in zip(every, seen, strict=True) if known]
    order = rng.permutation(len(pool))
    video, number = (np.array([pool[i][side] for i in order], dtype=np.int64) for side in (0, 1))
    values, ties = rng.integers(4, size=len(pool)).astype(float), rng.random(len(pool))
    found = spaced(
        values,
        video,
        number,
        budget,
        ties=ties,
        k=k,
        cap=cap,
        labeled_video=np.array([v for v, _ in labeled], dtype=np.int64),
        labeled_number=np.array([f for _, f in labeled], dtype=np.int64),
    )
    assert found.order.tolist() == literal(values, ties, video, number, budget, k, cap, labeled)
    assert found.strict <= found.distant <= len(found.order)
    kept = found.order[: found.strict]
    for one in range(3):
        mine = np.sort(number[kept][video[kept] == one])
        assert cap is None or len(mine) <= cap


def test_no_more_than_one_in_four_fits_at_three_frames_distance() -> None:
    n = 100
    found = spaced(np.zeros(n), np.zeros(n, dtype=int), np.arange(n), 40, ties=np.random.default_rng(0).random(n), k=3)
    assert len(found.order) == 40
    assert found.strict == found.distant <= 25
    chosen = np.sort(found.order[: found.strict])
    assert np.diff(chosen).min() > 3


def test_a_long_video_does_not_swallow_the_budget() -> None:
    video = np.repeat(["long", "short"], [90, 10])
    number = np.r_[np.arange(90), np.arange(10)]
    values = np.r_[np.linspace(2, 1, 90), np.linspace(0.9, 0.8, 10)]
    found = spaced(values, video, number, 4, ties=np.zeros(100), k=1)
    assert video[found.order].tolist() == ["long", "short", "long", "short"]


def test_edges() -> None:
    none = np.empty(0, dtype=np.int64)
    assert spaced(np.empty(0), none, none, 5, ties=np.empty(0)).order.tolist() == []
    assert spaced(np.ones(2), np.zeros(2, int), np.arange(2), 0, ties=np.zeros(2)).order.tolist() == []
    with pytest.raises(ValueError, match=r"2 values came with videos \(1,\)"):
        spaced(np.ones(2), np.zeros(1, int), np.arange(2), 1, ties=np.zeros(2))


@pytest.mark.parametrize("check", suite(Spaced), ids=lambda check: check.__name__)
def test_the_selector_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def two_videos(labeled: list[tuple[int, int]] | None = None, **replaced: Any) -> Evidence:
    """Videos 4 and 9 of 15 frames each, and labeled frames of them."""
    side = np.array(labeled or [], dtype=np.int64).reshape(-1, 2)
    columns = {
        "task_id": np.arange(30),
        "video": np.repeat([4, 9], 15),
        "frame": np.tile(np.arange(15), 2),
        "labeled_video": side[:, 0],
        "labeled_frame": side[:, 1],
    }
    return Evidence({**columns, **replaced}, classes=("car",)).for_plugin("spaced", Spaced.needs)


def test_frames_beside_labeled_ones_leave_the_batch() -> None:
    values = np.r_[np.linspace(1, 2, 15), np.linspace(1, 2, 15)]
    before = Spaced().select(two_videos(), values, 4).order
    assert set(before[:2].tolist()) == {14, 29}
    after = Spaced().select(two_videos([(4, 13), (9, 2)]), values, 4).order
    assert 29 in after
    assert not {10, 11, 12, 13, 14} & set(after.tolist())
    literal_ = literal(
        values, two_videos().jitter, two_videos().video, two_videos().frame, 4, 3, None, [(4, 13), (9, 2)]
    )
    assert after.tolist() == literal_


def test_random_around_it_is_random_with_representativeness() -> None:
    chosen = {}
    for seed in (0, 1):
        evidence = Evidence({"task_id": np.arange(30)}, classes=("car",), seed=seed)
        order = Spaced().select(two_videos(), make("scorer", "random").score(evidence).values, 6).order
        frames = np.sort(two_videos().frame[order[order < 15]])
        assert len(frames) == 3
        assert np.diff(frames).min() > 3
        chosen[seed] = order.tolist()
    assert chosen[0] != chosen[1]


def test_columns_that_do_not_fit_are_named() -> None:
    with pytest.raises(PluginError, match="'spaced' got labeled_frame of type float64; give whole numbers"):
        Spaced().select(two_videos(labeled_frame=np.ones(2), labeled_video=np.ones(2, int)), np.zeros(30), 3)
    with pytest.raises(PluginError, match=r"'spaced': 30 values came with videos \(30,\)"):
        Spaced().select(two_videos(labeled_video=np.ones(2, int)), np.zeros(30), 3)


def test_a_video_that_was_imported_twice_gives_each_moment_once() -> None:
    twice = two_videos(video=np.full(30, 4))
    found = Spaced(SpacedConfig(distance=0)).select(twice, np.zeros(30), 30)
    assert sorted(found.order.tolist()) == list(range(30))
    found = Spaced(SpacedConfig(distance=1)).select(twice, np.zeros(30), 5)
    assert np.diff(np.sort(twice.frame[found.order])).min() > 1


def test_the_selector_says_what_it_kept() -> None:
    evidence = two_videos()
    values = np.r_[np.linspace(1, 2, 15), np.zeros(15)]
    found = Spaced(SpacedConfig(distance=4)).select(evidence, values, 4)
    assert found.notes == ()
    assert found.order[0] == 14
    assert found.reason is None, "what the scorer says of a frame is why it is asked about"
    many = Spaced(SpacedConfig(distance=4, cap=2)).select(evidence, values, 10)
    assert "at most 1 frame in 5 fits" in many.notes[0]
