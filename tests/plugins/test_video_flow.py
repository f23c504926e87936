"""Flow recovers a known motion, is extended and kept, and carries boxes as a literal loop does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.video.clip import sorted_clip
from plugins.video.detections import Detections, Frames
from plugins.video.flow import Flow, follow
from plugins.video.flow_fields import INVERSIONS, FlowFields, compute_flow
from plugins.video.temporal_coherence import estimate_errors

STEP = np.array([3.0, -2.0])  # px a frame


def images(count: int, size: tuple[int, int] = (120, 160), zoom: float = 1.0) -> list[tuple[int, Any]]:
    """A texture that moves by STEP * zoom a frame, numbered 10, 11, ..."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (size[0] + 80, size[1] + 80)).astype(np.uint8), (9, 9), 2)
    texture = cv2.normalize(texture, np.empty(0), 0, 255, cv2.NORM_MINMAX)
    found = []
    for t in range(count):
        x, y = np.round(40 - STEP * t).astype(int)
        part = texture[y : y + size[0], x : x + size[1]]
        part = cv2.resize(part, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR) if zoom != 1 else part
        found.append((10 + t, np.repeat(part[:, :, None], 3, axis=2)))
    return found


def boxes(count: int, first: int = 10, zoom: float = 1.0) -> Detections:
    low = zoom * (np.array([60.0, 60.0]) + STEP * np.arange(count)[:, None])
    box = np.concatenate([low, low + zoom * 30], axis=1)
    frames = Frames(np.arange(first, first + count), video=np.full(count, 7))
    return Detections(frames, np.arange(count), box, np.ones(count), np.zeros(count, dtype=np.int64))


@pytest.mark.parametrize("zoom", [1.0, 4.0])
def test_a_known_motion_is_followed_whatever_the_size_of_the_frames(zoom: float) -> None:
    fields = compute_flow(images(6, zoom=zoom))
    clip = sorted_clip(boxes(6, zoom=zoom), 3)
    moved = Flow(fields={7: fields}).track(clip)
    for row in range(6):
        for slot, place in enumerate(clip.offsets.tolist()):
            if clip.neighbours[row, slot] < 0:
                assert np.isnan(moved[row, slot]).all()
            else:
                assert moved[row, slot] == pytest.approx(
                    clip.box[row] + np.tile(zoom * STEP * place, 2), abs=1.5 * zoom
                )
    found = estimate_errors(boxes(6, zoom=zoom), Flow(fields={7: fields}), mode="thesis")
    assert len(found.links) == 5 + 4 + 3


def test_flow_goes_on_where_it_ended_and_is_kept(tmp_path: Path) -> None:
    every = images(5)
    whole, part = compute_flow(every), compute_flow(every[:3])
    part.save(tmp_path / "flow.npz")
    loaded = FlowFields.load(tmp_path / "flow.npz")
    for fields in (compute_flow(every[3:], known=part), compute_flow(every[3:], known=loaded)):
        assert fields.numbers.tolist() == whole.numbers.tolist()
        assert np.array_equal(fields.motion, whole.motion)
        assert fields.spacing == pytest.approx(whole.spacing)
    assert compute_flow([], known=part).spacing == pytest.approx(part.spacing)
    assert len(compute_flow(every[:1]).motion) == 0


def test_following_is_the_literal_loop() -> None:
    rng = np.random.default_rng(1)
    every = rng.normal(0, 3, (4, 6, 8, 2)).astype(np.float16)
    fields = FlowFields(np.arange(5), every, np.array([8.0, 10.0]), 0.5, np.zeros((1, 1), dtype=np.uint8))
    low = rng.uniform(-5, 60, (20, 2))
    box, start = np.concatenate([low, low + 9], axis=1), rng.integers(5, size=20)
    targets = np.where(np.arange(5) == start[:, None], -1, np.arange(5)) * np.ones((20, 1), dtype=int)

    def motion(field: Any, centre: Any) -> Any:
        x, y = min(max(centre[0] / 8 - 0.5, 0), 7), min(max(centre[1] / 10 - 0.5, 0), 5)
        total = np.zeros(2)
        for i in range(6):
            for j in range(8):
                total += max(0, 1 - abs(x - j)) * max(0, 1 - abs(y - i)) * field[i, j].astype(float)
        return total / 0.5

    def back(field: Any, centre: Any) -> Any:
        found = np.zeros(2)
        for _ in range(INVERSIONS):
            found = -motion(field, centre + found)
        return found

    found = follow(box, start, targets, fields)
    for n in range(20):
        for m in range(5):
            if m == start[n]:
                assert np.isnan(found[n, m]).all()
                continue
            here = box[n].copy()
            way = 1 if m > start[n] else -1
            for t in range(int(start[n]), m, way):
                centre = (here[:2] + here[2:]) / 2
                here += np.tile(motion(every[t], centre) if way > 0 else back(every[t - 1], centre), 2)
            assert found[n, m] == pytest.approx(here)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-0.25, 0.25), min_size=4, max_size=4), st.lists(st.floats(-6, 6), min_size=2, max_size=2))
def test_the_way_back_is_the_inverse_of_the_way_there(slopes: list[float], shift: list[float]) -> None:
    """Of an affine motion v(p) = A (p - m) + t, whose inverse is known: v'(c) = -(I + A)^-1 (A (c - m) + t)."""
    a, t, middle = np.array(slopes).reshape(2, 2) / 2, np.array(shift), np.array([100.0, 80.0])
    x, y = np.meshgrid(4 * np.arange(50) + 2.0, 4 * np.arange(40) + 2.0)
    field = (np.stack([x, y], axis=-1) - middle) @ a.T + t
    fields = FlowFields(
        np.arange(2), field[None].astype(np.float16), np.array([4.0, 4.0]), 1.0, np.empty((1, 1), np.uint8)
    )
    centres = middle + np.array([[0.0, 0.0], [9.0, -7.0], [-11.0, 3.0]])
    wanted = -(np.linalg.inv(np.eye(2) + a) @ ((centres - middle) @ a.T + t).T).T
    left = np.linalg.norm(a, 2) ** INVERSIONS * np.linalg.norm(wanted, axis=1).max()  # what the steps leave of it
    assert np.abs(fields.at(np.ones(3, dtype=int), centres, forward=False) - wanted).max() <= left + 0.05


def test_frames_without_flow_are_named() -> None:
    fields = compute_flow(images(3))
    with pytest.raises(ValueError, match="Frame 13 of video 7 has no flow; extend it"):
        estimate_errors(boxes(4), Flow(fields={7: fields}))
    with pytest.raises(ValueError, match="Frame 9 of video 7 has no flow"):
        estimate_errors(boxes(2, first=9), Flow(fields={7: fields}))
    with pytest.raises(ValueError, match="Video 7 has no flow"):
        estimate_errors(boxes(2), Flow())
    with pytest.raises(ValueError, match="Frame 10 came after frame 10"):
        compute_flow([images(1)[0]] * 2)
    with pytest.raises(ValueError, match="There is no frame"):
        compute_flow([])
    with pytest.raises(ValueError, match="give frames of one size"):
        compute_flow([images(1)[0], (11, images(1, (60, 80))[0][1])])
