"""Cuts between shots: made-up scenes that cut, move, brighten and fade."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.contract import IntArray
from plugins.video import shots as module
from plugins.video.footage import Side, footage
from plugins.video.frame_source import Image, Pictures
from plugins.video.shots import changes, histograms, shots, shots_of


def test_cuts_are_seen_and_motion_light_and_slides_are_none() -> None:
    rng = np.random.default_rng(0)
    scenes = [np.clip(rng.normal(mean, 25, (90, 160, 3)), 0, 255) for mean in ([60, 90, 200], [180, 160, 70])]
    shown = [np.roll(scenes[t >= 6], 2 * t, axis=1) * (1 + 0.01 * t) for t in range(12)]
    known = np.stack([histograms(np.clip(one, 0, 255).astype(np.uint8)) for one in shown])
    assert np.allclose(known.sum(axis=1), 1, atol=1e-5)
    assert shots(changes(known)).tolist() == [0] * 6 + [1] * 6
    fading = [scenes[0] * (1 - t / 11) + scenes[1] * t / 11 for t in range(12)]
    known = np.stack([histograms(one.astype(np.uint8)) for one in fading])
    assert shots(changes(known)).tolist() == [0] * 12
    assert shots(np.empty(0)).tolist() == [0]


def test_histograms_are_the_literal_ones() -> None:
    image = np.random.default_rng(3).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    counts = np.zeros((2, 2, 3, 16))
    for y in range(64):
        for x in range(64):
            for colour in range(3):
                counts[y // 32, x // 32, colour, image[y, x, colour] // 16] += 1
    assert np.allclose(histograms(image), counts.ravel() / counts.sum())


def literal(change: list[float]) -> list[int]:
    found = [0]
    for t, here in enumerate(change):
        near = sorted([change[s] for s in range(len(change)) if s != t and abs(s - t) <= 5])
        middle = (near[(len(near) - 1) // 2] + near[len(near) // 2]) / 2 if near else 0.0
        found.append(found[-1] + (here >= 0.25 and here >= 3 * middle))
    return found


@given(st.lists(st.floats(0, 1), max_size=30))
@settings(max_examples=60, deadline=None)
def test_shots_are_the_literal_ones(change: list[float]) -> None:
    assert shots(np.array(change)).tolist() == literal(change)


def test_histograms_are_kept_and_each_video_has_shots_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    dark, bright = (rng.integers(low, low + 60, (40, 60, 3)).astype(np.uint8) for low in (0, 180))
    pictures = {"a": [dark, dark, bright], "b": [bright, bright], "c": []}  # c has one frame, which is not read
    read: list[int] = []

    def counting(image: Image) -> NDArray[np.float32]:
        read.append(1)
        return histograms(image)

    monkeypatch.setattr(module, "histograms", counting)
    none: IntArray = np.empty(0, dtype=np.int64)
    boxes = (none, np.empty((0, 4)), np.empty(0), none, np.empty(0, dtype=bool))
    number = np.array([0, 1, 2, 0, 1, 7])
    pool = Side(np.array(list("aaabbc")), number, np.full((6, 2), np.nan), *boxes)
    film = footage(pool, Side(np.empty(0, dtype=np.str_), none, np.empty((0, 2)), *boxes), np.arange(6))
    frames = {name: Pictures(dict(enumerate(images))) for name, images in pictures.items()}
    for reads in (3, 3):  # equal pictures of a video are one
        assert shots_of(film, frames, tmp_path).tolist() == [0, 0, 1, 0, 0, 0]
        assert len(read) == reads
