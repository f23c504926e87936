"""Windows of a stream give what the whole video gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plugins.video.calibrated import Calibration
from plugins.video.detections import Detections, Frames
from plugins.video.frame_errors import FrameErrors
from plugins.video.motion import Linear
from plugins.video.ranks import KEPT, ScoreRanks
from plugins.video.slicing import joined, taken
from plugins.video.streaming import stream_errors
from plugins.video.temporal_coherence import estimate_errors
from tests.plugins.video_reference import random_video


def videos() -> Detections:
    """Videos of 90, 3, 1 and 40 frames, one after the other, in time order."""
    parts = []
    for seed, frames in enumerate((90, 3, 1, 40)):
        one = random_video(seed, frames, video=np.full(frames, 10 - seed))
        parts.append(taken(one, np.argsort(one.frames.number)))
    return joined(parts)


def windows(whole: Detections, size: int) -> list[Detections]:
    return [taken(whole, np.arange(start, min(start + size, 134))) for start in range(0, 134, size)]


def total(parts: list[FrameErrors], column: str) -> Any:
    return np.concatenate([getattr(one, column) for one in parts])


def high(detections: Detections) -> Any:
    return detections.score > 0.3


@pytest.mark.parametrize("size", [1, 7, 25, 60, 200])
def test_calibrated_windows_give_what_the_whole_gives(size: int) -> None:
    whole = videos()
    known = Calibration(ScoreRanks.of([(whole.score, whole.label)]))
    expected = estimate_errors(whole, Linear(), calibration=known, shown=high(whole), slow=False)
    parts = list(stream_errors(windows(whole, size), Linear(), calibration=known, shown=high, slow=False))
    assert [len(one.false_positives) for one in parts] == [len(one.frames) for one in windows(whole, size)]
    order = np.concatenate([np.flatnonzero(np.isin(whole.frame, np.arange(s, s + size))) for s in range(0, 134, size)])
    for column in ("false_positives", "false_negatives"):
        assert total(parts, column) == pytest.approx(getattr(expected, column))
    for column in ("wrong", "linked", "neighbours", "judged"):
        assert total(parts, column) == pytest.approx(getattr(expected, column)[order], nan_ok=True)
    assert sorted(total(parts, "missed")) == pytest.approx(sorted(expected.missed))
    for one, window in zip(parts, windows(whole, size), strict=True):
        assert one.links.max(initial=-1) < len(window)
        assert one.candidate_frame.max(initial=-1) < len(window.frames)
        assert (np.abs(window.frames.number[window.frame[one.links]] @ [1, -1]) <= 3).all()


def test_a_cut_in_windows_is_the_cut_of_the_whole_where_its_margin_suffices() -> None:
    whole = videos()
    expected = estimate_errors(whole, Linear(), mode="thesis")
    wide = list(stream_errors(windows(whole, 30), Linear(), mode="thesis", margin=90))
    assert total(wide, "false_positives").tolist() == expected.false_positives.tolist()
    assert total(wide, "false_negatives").tolist() == expected.false_negatives.tolist()
    narrow = list(stream_errors(windows(whole, 30), Linear(), mode="thesis"))
    assert np.mean(total(narrow, "false_positives") == expected.false_positives) > 0.9


def test_a_window_is_answered_as_soon_as_what_follows_is_known() -> None:
    whole = videos()
    known = Calibration(ScoreRanks.of([(whole.score, whole.label)]))
    given: list[int] = []

    def feed() -> Any:
        for number, one in enumerate(windows(whole, 30)):
            given.append(number)
            yield one

    stream = stream_errors(feed(), Linear(), calibration=known)
    next(stream)
    assert given == [0, 1]
    assert len(list(stream)) == 4


def test_what_a_stream_cannot_do_is_said() -> None:
    whole = videos()
    with pytest.raises(ValueError, match="A stream needs a calibration"):
        list(stream_errors([whole], Linear()))
    with pytest.raises(ValueError, match="Frame 0 of video 10 comes after frame 89"):
        list(stream_errors([taken(whole, np.arange(90))] * 2, Linear(), mode="thesis"))
    assert list(stream_errors([], Linear(), mode="thesis")) == []


def test_ranks_of_a_stream_are_those_of_all_scores_nearly() -> None:
    rng = np.random.default_rng(0)
    score, label = rng.normal(size=200_000), rng.integers(2, size=200_000)
    chunks = [(score[i : i + 999], label[i : i + 999]) for i in range(0, 200_000, 999)]
    kept = ScoreRanks.of(chunks)
    assert all(len(one) <= 2 * KEPT for one in [*kept.by_class.values(), kept.overall])
    exact = np.searchsorted(np.sort(score[label == 1]), score[label == 1]) / (label == 1).sum()
    found = 1 / (1 + np.exp(-kept.logits(score[label == 1], label[label == 1])))
    assert np.abs(found - exact).max() < 0.01
    few = ScoreRanks.of([(score[:500], label[:500])])
    assert few.logits(np.array([np.median(score[:500])]), np.array([7])).round(1).tolist() == [0.0]
    assert ScoreRanks.of([]).logits(np.ones(2), np.zeros(2, dtype=int)).tolist() == [0.0, 0.0]


def test_parts_keep_probabilities_and_sizes() -> None:
    frames = Frames(np.arange(2), size=np.array([[9.0, 9.0], [8.0, 8.0]]))
    box = np.array([[0.0, 0.0, 2.0, 2.0]] * 2)
    one = Detections(frames, np.arange(2), box, np.ones(2), np.zeros(2, dtype=int), np.array([[0.1, 0.9], [0.2, 0.8]]))
    last = taken(one, np.array([1]))
    assert last.probabilities is not None
    assert last.probabilities.tolist() == [[0.2, 0.8]]
    assert np.asarray(last.frames.size).tolist() == [[8.0, 8.0]]
