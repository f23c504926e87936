"""NanoTrack runs OpenCV's tracker from two files, forward and backward, and names files that are not its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from plugins import registry
from plugins.video.boxes import overlaps
from plugins.video.clip import sorted_clip
from plugins.video.detections import Detections, Frames
from plugins.video.frame_source import Pictures
from plugins.video.nanotrack import NanoTrack, whole_px

CHANNELS = 48
HALF, SHIFT = 31.0, 8.0  # px of the search picture: half a box, and from OpenCV's place to the middle of what it sees


def tensor(name: str, shape: list[int]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any]) -> None:
    kept = [numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Networks of NanoTrack's shapes: features are brightness, and the object is where it is bright."""
    place = tmp_path_factory.mktemp("nanotrack")
    brightness = np.full((CHANNELS, 3, 15, 15), 1 / (3 * 15 * 15 * 255))
    save(
        place / "backbone.onnx",
        [helper.make_node("Conv", ["input", "w"], ["output"], kernel_shape=[15, 15], strides=[16, 16])],
        [tensor("input", [1, 3, 255, 255])],
        [tensor("output", [1, CHANNELS, 16, 16])],
        {"w": brightness},
    )
    score, side = np.zeros((2, CHANNELS, 1, 1)), np.zeros((4, CHANNELS, 1, 1))
    score[1] = 20 / CHANNELS
    save(
        place / "head.onnx",
        [
            helper.make_node("GlobalAveragePool", ["input1"], ["mean"]),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", ["input2", "nothing"], ["seen"]),
            helper.make_node("Conv", ["seen", "score", "score_bias"], ["output1"], kernel_shape=[1, 1]),
            helper.make_node("Conv", ["seen", "side", "side_bias"], ["output2"], kernel_shape=[1, 1]),
        ],
        [tensor("input1", [1, CHANNELS, 8, 8]), tensor("input2", [1, CHANNELS, 16, 16])],
        [tensor("output1", [1, 2, 16, 16]), tensor("output2", [1, 4, 16, 16])],
        {
            "zero": np.zeros((1, CHANNELS, 1, 1)),
            **{
                "score": score,
                "score_bias": [0, -10],
                "side": side,
                "side_bias": [HALF - SHIFT] * 2 + [HALF + SHIFT] * 2,
            },
        },
    )
    return {"backbone": str(place / "backbone.onnx"), "head": str(place / "head.onnx")}


def scene() -> tuple[dict[int, Any], Any, Any]:
    frames, boxes = {}, []
    for t in range(7):
        x, y = 60 + 7 * t, 90 - 5 * t
        frames[t] = np.zeros((160, 200, 3), dtype=np.uint8)
        frames[t][y : y + 24, x : x + 24] = 255
        boxes.append([x, y, x + 24, y + 24])
    box = np.array(boxes, dtype=np.float64)
    rows = np.array([0, 3, 6])
    told = Detections(
        Frames(np.arange(7), video=np.full(7, "a")), rows, box[rows], np.ones(3), np.zeros(3, dtype=np.int64)
    )
    return frames, box, sorted_clip(told, 3)


def test_it_follows_forward_and_backward_as_opencv_does(files: dict[str, str], tmp_path: Path) -> None:
    frames, boxes, clip = scene()
    tracker = registry.make("tracker", "nanotrack", files)
    tracker.watch({"a": Pictures(frames)}, tmp_path)
    moved = tracker.track(clip)
    for row, at in enumerate((0, 3, 6)):
        for way in (range(at + 1, min(at + 4, 7)), range(at - 1, max(at - 4, -1), -1)):
            alone = cv2.TrackerNano.create(*(cv2.dnn.readNetFromONNX(files[part]) for part in ("backbone", "head")))
            alone.init(frames[at], whole_px(boxes[at]))
            for t in way:
                x, y, width, height = alone.update(frames[t])[1]
                found = moved[row, clip.offsets.tolist().index(t - at)]
                assert found.tolist() == [x, y, x + width, y + height]
            reached = overlaps(np.stack([found, boxes[at]]), boxes[[t, t]])
            assert reached[0] > reached[1]  # the made-up head is coarse, yet in the end better than a still box
    assert np.isnan(moved[0, :3]).all()
    assert np.isnan(moved[2, 3:]).all()
    again = registry.make("tracker", "nanotrack", files)
    again.watch({"a": Pictures(frames)}, tmp_path)
    again.follow = None  # never asked
    assert np.array_equal(again.track(clip), moved, equal_nan=True)


def test_files_that_are_not_its_own_are_named(files: dict[str, str], tmp_path: Path) -> None:
    frames, _, clip = scene()
    (tmp_path / "text.onnx").write_text("no network")
    for config, message in (
        ({}, "Tracker 'nanotrack' has no `backbone`; give the path of its ONNX file, or use 'linear'"),
        ({"backbone": files["backbone"]}, "has no `head`"),
        (files | {"head": str(tmp_path / "none.onnx")}, r"The head .*none.onnx cannot be read \(No such file"),
        (files | {"head": str(tmp_path / "text.onnx")}, r"files .*backbone.onnx and .*text.onnx are not the two"),
        ({"backbone": files["head"], "head": files["backbone"]}, "are not the two networks of NanoTrack; give its"),
    ):
        tracker = registry.make("tracker", "nanotrack", config)
        tracker.watch({"a": Pictures(frames)})
        with pytest.raises(ValueError, match=message):
            tracker.track(clip)
    with pytest.raises(ValueError, match="'nanotrack' needs the frames of video a"):
        NanoTrack().track(clip)


def test_boxes_beyond_the_border_are_followed_as_far_as_they_can_be(files: dict[str, str]) -> None:
    frames = {t: np.zeros((60, 60, 3), dtype=np.uint8) for t in range(3)}
    box = np.array([[-20.0, -10.0, 6.0, 9.0], [50.4, 50.4, 80.0, 90.0], [10.2, 10.2, 10.4, 10.3]])
    told = Detections(
        Frames(np.arange(3), video=np.full(3, "a")), np.ones(3, dtype=int), box, np.ones(3), np.zeros(3, dtype=int)
    )
    clip = sorted_clip(told, 1)
    tracker = registry.make("tracker", "nanotrack", files)
    tracker.watch({"a": Pictures(frames)})
    assert np.isfinite(tracker.track(clip)).all()
