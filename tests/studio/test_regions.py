"""Boxes on an image between Label Studio's JSON and our arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml_backend.studio.regions.boxes import box_results, boxes_of
from ml_backend.studio.regions.checks import check_regions_prediction
from ml_backend.studio.regions.config import BoxesConfig, RegionsConfig, TimelineConfig, TracksConfig
from ml_backend.studio.regions.frames import VideoFrame, frame_of
from ml_backend.studio.regions.geometry import FloatArray
from ml_backend.studio.regions.reading import RegionError

CLASSES = ("Car", "Person")
BOXES = BoxesConfig("box", "img", "image", CLASSES)
TRACKS = TracksConfig("box", "vid", "video", CLASSES, "$fps")
TIMELINE = TimelineConfig("when", "vid", "video", CLASSES, "$fps")
WIDTH, HEIGHT = 640, 360


def annotation(result: Any) -> dict[str, Any]:
    return {"id": 5, "result": result}


def accepted(config: RegionsConfig, result: list[dict[str, Any]]) -> None:
    """Our own check lets through what we write."""
    check_regions_prediction(config, {"task": 1, "score": 0.5, "model_version": "v", "result": result})


# boxes

CORNERS = arrays(np.float64, st.tuples(st.integers(0, 6), st.just(4)), elements=st.floats(-100, 800))


def in_order(corners: FloatArray) -> FloatArray:
    return np.concatenate([np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1)


@given(CORNERS, st.integers(1, 4000), st.integers(1, 4000))
def test_boxes_come_back_as_they_were_but_cut_at_the_edges(corners: FloatArray, width: int, height: int) -> None:
    boxes = in_order(corners)
    labels, scores = np.arange(len(boxes)) % 2, np.linspace(0, 1, len(boxes))
    result = box_results(BOXES, boxes, labels, scores, width, height)
    accepted(BOXES, result)
    read = boxes_of(annotation(result), BOXES, width, height)
    expected = []
    for x1, y1, x2, y2 in boxes.tolist():
        x1, x2 = max(x1, 0), min(x2, width)
        y1, y2 = max(y1, 0), min(y2, height)
        expected.append([x1, y1, x2, y2] if x2 - x1 > 1e-3 and y2 - y1 > 1e-3 else None)
    kept = [row for row, box in enumerate(expected) if box]
    assert len(result) == len(kept)
    assert [region["score"] for region in result] == scores[kept].tolist()
    if read.dropped == 0:  # one as thin as the limit may lose its area to rounding
        np.testing.assert_allclose(
            read.box, np.array([expected[row] for row in kept]).reshape(-1, 4), rtol=0, atol=1e-6
        )
        assert read.label.tolist() == labels[kept].tolist()


def test_ids_are_stable_and_unique() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 20, 20]]
    ids = [region["id"] for region in box_results(BOXES, boxes, [0, 0, 0], None, 100, 100)]
    assert len(set(ids)) == 3
    again = box_results(BOXES, boxes[::-1], [0, 0, 0], [0.1, 0.2, 0.3], 100, 100)
    assert [region["id"] for region in again] == [ids[2], ids[0], ids[1]]
    assert box_results(BOXES, boxes[:1], [1], None, 100, 100)[0]["id"] != ids[0]


def drawn(label: Any = "Car", **changes: Any) -> dict[str, Any]:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": [label]}
    value |= changes.pop("value", {})
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {
        "id": "r1",
        "from_name": "box",
        "to_name": "img",
        "type": "rectanglelabels",
        **size,
        "value": value,
        **changes,
    }


def test_a_persons_boxes_are_read() -> None:
    other = {"id": "x", "from_name": "weather", "to_name": "img", "type": "choices", "value": {"choices": ["sun"]}}
    bare = drawn("Person", value={"x": 90, "width": 20})
    for key in ("id", "original_width", "original_height", "image_rotation"):
        del bare[key]
    read = boxes_of(annotation([drawn(), other, bare]), BOXES, WIDTH, HEIGHT)
    np.testing.assert_allclose(read.box, [[64, 72, 256, 216], [576, 72, 640, 216]])
    assert (read.label.tolist(), read.dropped) == ([0, 1], 0)
    assert len(boxes_of(annotation([]), BOXES, WIDTH, HEIGHT).box) == 0


def test_boxes_without_area_or_outside_are_dropped_and_counted() -> None:
    outside = [drawn(value=value) for value in ({"x": 100}, {"width": 0}, {"y": -50, "height": 50}, {"x": -40})]
    read = boxes_of(annotation([*outside, drawn()]), BOXES, WIDTH, HEIGHT)
    assert (len(read.box), read.dropped) == (1, 4)


@pytest.mark.parametrize(
    ("result", "kind", "culprit"),
    [
        ("boxes", "malformed_annotation", "Annotation 5 has no list"),
        ([7], "malformed_annotation", "Annotation 5"),
        ([drawn("Dog")], "unknown_label", "region 'r1', says 'Dog'"),
        ([drawn(["Car"])], "unknown_label", "Car"),
        ([drawn(value={"rectanglelabels": []})], "no_label", "no label"),
        ([drawn(value={"rectanglelabels": ["Car", "Person"]})], "several_labels", "Person"),
        ([drawn(value={"rotation": 12.5})], "rotated_box", "12.5 degrees"),
        ([drawn(image_rotation=90)], "rotated_image", "90 degrees"),
        ([drawn(item_index=2)], "listed_image", "image 2"),
        ([drawn(original_width=HEIGHT, original_height=WIDTH)], "other_image", "360 x 640 px"),
        ([drawn(original_width="wide")], "malformed_region", "original_width 'wide'"),
        ([drawn(type="rectangle")], "other_region", "'rectangle'"),
        ([drawn(to_name="other")], "other_region", "'other'"),
        ([drawn(**{"value": {"x": None}})], "malformed_region", "x None"),
        ([drawn(value={"width": float("nan")})], "malformed_region", "width nan"),
        ([{**drawn(), "value": None}], "malformed_region", "no value"),
    ],
)
def test_an_odd_box_is_refused_by_name(result: Any, kind: str, culprit: str) -> None:
    with pytest.raises(RegionError, match=culprit) as refusal:
        boxes_of(annotation(result), BOXES, WIDTH, HEIGHT)
    assert refusal.value.kind == kind
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"boxes": [[0, 0, 1]]}, "shape"),
        ({"boxes": [[5, 0, 1, 1]]}, "Box 0 of this image"),
        ({"boxes": [[0, 0, np.nan, 1]]}, "finite corners"),
        ({"labels": [2]}, "label of the boxes is 2"),
        ({"labels": [-1]}, "label of the boxes is -1"),
        ({"labels": [0.0]}, "float64"),
        ({"labels": [0, 1]}, "shape"),
        ({"scores": [1.5]}, "score of the boxes is 1.5"),
        ({"scores": [np.nan]}, "score of the boxes is nan"),
        ({"scores": []}, "give one to each"),
        ({"width": 0}, "width of the image is 0"),
        ({"height": np.inf}, "height of the image is inf"),
    ],
)
def test_a_learners_wrong_boxes_are_refused(changes: dict[str, Any], culprit: str) -> None:
    right: dict[str, Any] = {"boxes": [[0, 0, 5, 5]], "labels": [0], "scores": [0.5], "width": 10, "height": 10}
    box_results(BOXES, **right)
    with pytest.raises(ValueError, match=culprit):
        box_results(BOXES, **{**right, **changes})


def test_a_thumbnail_may_be_rounded_to_whole_pixels() -> None:
    region = drawn(original_width=1000, original_height=667)
    assert len(boxes_of(annotation([region]), BOXES, 10, 7).box) == 1


@pytest.mark.parametrize(
    ("data", "culprit"),
    [
        (None, "holds None under 'video'"),
        ({"frame": 3}, "holds None under 'video'"),
        ({"video": " ", "frame": 3}, "holds ' ' under 'video'"),
        ({"video": "a.mp4"}, "holds None under 'frame'"),
        ({"video": "a.mp4", "frame": 0}, "holds 0 under 'frame'"),
        ({"video": "a.mp4", "frame": True}, "holds True under 'frame'"),
        ({"video": "a.mp4", "frame": 1.5}, "holds 1.5 under 'frame'"),
        ({"video": "a.mp4", "frame": "last"}, "holds 'last' under 'frame'"),
    ],
)
def test_a_task_that_names_no_frame_is_refused(data: Any, culprit: str) -> None:
    with pytest.raises(RegionError, match=f"Task 7 {culprit}"):
        frame_of({"id": 7, "data": data})


def test_the_frame_of_a_task_may_come_from_a_table() -> None:
    assert frame_of({"id": 7, "data": {"video": "a.mp4", "frame": "12"}}) == VideoFrame("a.mp4", 12)
