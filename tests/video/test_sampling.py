"""Every n-th frame, or the first in each slot of time: against the words, slot by slot."""

from __future__ import annotations

import math
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.video.container import VideoError
from ml_backend.video.folder import FrameFolder
from ml_backend.video.sampling import Sampling
from tests.video.making import make_folder

milliseconds = st.lists(st.integers(1, 500), min_size=1, max_size=60).map(lambda steps: [0, *accumulate(steps)])


def taken(sampling: Sampling, times: list[float | None]) -> list[int]:
    takes = sampling.start()
    return [number for number, time in enumerate(times, 1) if takes(number, time)]


def first_in_each_slot(rate: int, times: list[int]) -> list[int]:
    """The words, with whole milliseconds: slot k holds what is shown from k / rate seconds on, 1.5 ms early."""
    chosen = []
    for slot in range(max(times) * rate // 1000 + 2):
        here = [n for n, time in enumerate(times, 1) if slot * 2000 <= (2 * time + 3) * rate < (slot + 1) * 2000]
        chosen += here[:1]
    return chosen


@given(st.integers(1, 20), st.integers(1, 100))
def test_every_nth(every: int, frames: int) -> None:
    assert taken(Sampling(every), [None] * frames) == list(range(1, frames + 1, every))


@given(st.sampled_from([1, 2, 4, 5, 8, 10, 20]), milliseconds)
def test_a_rate_takes_the_first_of_each_slot(rate: int, times: list[int]) -> None:
    times = [time for time in times if (2 * time + 3) * rate % 2000]  # a float cannot tell which side of a border
    if times:
        assert taken(Sampling(rate=rate), [time / 1000 for time in times]) == first_in_each_slot(rate, times)


@given(st.floats(0.1, 60), milliseconds)
def test_a_rate_is_never_exceeded(rate: float, times: list[int]) -> None:
    chosen = taken(Sampling(rate=rate), [time / 1000 for time in times])
    assert chosen[0] == 1
    assert len(chosen) <= math.floor((times[-1] / 1000 + 1.5e-3) * rate) + 1


@pytest.mark.parametrize("fps", [10, 24, 25, 30, 60, 30000 / 1001, 60000 / 1001])
def test_the_own_rate_takes_every_frame_though_times_are_rounded(fps: float) -> None:
    rounded = [round(n / fps, 3) for n in range(500)]
    cut = [math.floor(n / fps * 1000) / 1000 for n in range(500)]
    for times in (rounded, cut, [n / fps for n in range(500)]):
        assert taken(Sampling(rate=fps), [*times]) == list(range(1, 501))


def test_half_the_rate_takes_every_other_frame() -> None:
    assert taken(Sampling(rate=15), [n / 30 for n in range(300)]) == list(range(1, 301, 2))


@pytest.mark.parametrize(
    "wish", [{"every": 0}, {"every": -3}, {"rate": 0.0}, {"rate": -1.0}, {"rate": math.nan}, {"rate": math.inf}]
)
def test_impossible_samplings_are_refused(wish: dict[str, float]) -> None:
    with pytest.raises(VideoError, match=r"impossible; give"):
        Sampling(**wish)  # type: ignore[arg-type]


def test_two_wishes_are_refused() -> None:
    with pytest.raises(VideoError, match="two wishes"):
        Sampling(2, 5.0)


def test_a_source_must_have_the_rate(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", ["1.png", "2.png"])
    Sampling(7).check(FrameFolder(folder))
    Sampling(rate=10.0).check(FrameFolder(folder, 10.0))
    with pytest.raises(VideoError, match=r"a' has 10 frames a second, so 11 are impossible"):
        Sampling(rate=11.0).check(FrameFolder(folder, 10.0))
    with pytest.raises(VideoError, match="has no times"):
        Sampling(rate=1.0).check(FrameFolder(folder))
