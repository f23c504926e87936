"""What a config asks about regions, names of classes on both sides, and how Label Studio counts frames."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.regions.checks import check_regions_prediction
from ml_backend.studio.regions.config import (
    BoxesConfig,
    RegionsConfig,
    TimelineConfig,
    TracksConfig,
    read_regions_config,
)
from ml_backend.studio.regions.frame_rate import check_frame_rate, frame_rate
from ml_backend.studio.regions.label_map import LabelMapError, map_labels
from ml_backend.studio.regions.tracks import tracks_of

SHIPPED = Path(__file__).parents[2] / "label_config"
IMAGE = '<Image name="img" value="$url"/>'
VIDEO = '<Video name="vid" value="$clip" frameRate="$fps"/>'
PAIR = '<Label value="Car"/><Label value="a person" alias="Person"/>'
TRACKED = '<VideoRectangle name="box" toName="vid"/>'
LABELS = f'<Labels name="label" toName="vid">{PAIR}</Labels>'
TIMELINE = f'<TimelineLabels name="when" toName="vid">{PAIR}</TimelineLabels>'
CLASSES = ("Car", "Person")


def boxes(attributes: str = "", body: str = PAIR, to_name: str = "img") -> str:
    return f'<RectangleLabels name="box" toName="{to_name}" {attributes}>{body}</RectangleLabels>'


def view(body: str) -> str:
    return f"<View>{body}</View>"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (IMAGE + boxes(), BoxesConfig("box", "img", "url", CLASSES)),
        (IMAGE + boxes('canRotate="true"'), BoxesConfig("box", "img", "url", CLASSES)),
        (IMAGE + boxes(body='<Label value="Car"/>'), BoxesConfig("box", "img", "url", ("Car",))),
        (
            f'<IMAGE name="img" value="$url"/>{boxes().replace("toName", "toname")}'
            '<Text name="t" value="$t"/><Choices name="c" toName="img"><Choice value="x"/></Choices>',
            BoxesConfig("box", "img", "url", CLASSES),
        ),
        (LABELS + VIDEO + TRACKED, TracksConfig("box", "vid", "clip", CLASSES, "$fps")),
        (
            LABELS + '<Video name="vid" value="$clip"/>' + TRACKED,
            TracksConfig("box", "vid", "clip", CLASSES, "24"),
        ),
        (TIMELINE + VIDEO, TimelineConfig("when", "vid", "clip", CLASSES, "$fps")),
        (
            LABELS + VIDEO + TIMELINE + TRACKED,
            TracksConfig("box", "vid", "clip", CLASSES, "$fps", TimelineConfig("when", "vid", "clip", CLASSES, "$fps")),
        ),
        (
            TIMELINE + VIDEO + '<Text name="t" value="$t"/><Labels name="l" toName="t"><Label value="x"/></Labels>',
            TimelineConfig("when", "vid", "clip", CLASSES, "$fps"),
        ),
    ],
)
def test_the_one_question_is_read(config: str, expected: RegionsConfig) -> None:
    assert read_regions_config(view(config)) == expected


SHIPPED_LABELS = ("Car", "Person", "Bicycle")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("image_boxes", BoxesConfig("box", "image", "image", SHIPPED_LABELS)),
        ("video_frames", BoxesConfig("box", "image", "image", SHIPPED_LABELS)),
        ("video_tracks", TracksConfig("box", "video", "video", SHIPPED_LABELS, "$fps")),
        (
            "video_tracks_doubtful",
            TracksConfig(
                *("box", "video", "video", SHIPPED_LABELS, "$fps"),
                timeline=TimelineConfig("look", "video", "video", ("Doubtful",), "$fps"),
            ),
        ),
        ("video_timeline", TimelineConfig("range", "video", "video", ("Rain", "Traffic jam", "Tunnel"), "$fps")),
    ],
)
def test_the_configs_we_ship_are_ones_we_read(name: str, expected: RegionsConfig) -> None:
    assert read_regions_config((SHIPPED / f"{name}.xml").read_text()) == expected


@pytest.mark.parametrize(
    ("config", "kind", "culprit"),
    [
        ("", "not_xml", "not XML"),
        ("<!DOCTYPE v><View/>", "doctype", "DOCTYPE"),
        (view(IMAGE), "no_regions", "RectangleLabels"),
        (view(IMAGE + '<Choices name="c" toName="img"><Choice value="x"/></Choices>'), "no_regions", "TimelineLabels"),
        (view(IMAGE + boxes() + '<PolygonLabels name="p" toName="img"/>'), "other_shape", '<PolygonLabels name="p">'),
        (view(IMAGE + boxes() + '<brush name="b" toName="img"/>'), "other_shape", '<Brush name="b">'),
        (view(IMAGE + '<KeyPointLabels name="k" toName="img"/>'), "other_shape", '<KeyPointLabels name="k">'),
        (view(IMAGE + boxes() + '<EllipseLabels name="e" toName="img"/>'), "other_shape", '<EllipseLabels name="e">'),
        (view(IMAGE + '<Rectangle name="r" toName="img"/>'), "no_classes", '<Rectangle name="r">'),
        (view(IMAGE + boxes() + boxes().replace('"box"', '"two"')), "several_controls", '<RectangleLabels name="two">'),
        (view(LABELS + VIDEO + TRACKED + TIMELINE * 2), "several_controls", '<TimelineLabels name="when">'),
        (view(LABELS + VIDEO + TRACKED + TIMELINE.replace('"vid"', '"x"')), "no_video", "points to 'x'"),
        (view(IMAGE + boxes() + VIDEO + TIMELINE), "several_controls", '<TimelineLabels name="when">'),
        (view(IMAGE + IMAGE.replace("img", "other") + boxes()), "several_images", "'img', 'other'"),
        (view(TIMELINE + VIDEO + VIDEO.replace("vid", "other")), "several_videos", "'vid', 'other'"),
        (view(boxes()), "no_image", "points to 'img'"),
        (view(IMAGE + boxes(to_name="other")), "no_image", "points to 'other'"),
        (view(IMAGE + boxes(to_name="")), "no_image", "points to ''"),
        (view(LABELS + IMAGE.replace("img", "vid") + TRACKED), "no_video", "<VideoRectangle"),
        (view(IMAGE + boxes().replace('name="box"', "")), "no_name", "<RectangleLabels>"),
        (view('<Image name="img" valueList="$urls"/>' + boxes()), "image_list", "valueList"),
        (view('<Image name="img" value="a.png"/>' + boxes()), "no_data_key", 'value="a.png"'),
        (view('<Video name="vid" value="$"/>' + TIMELINE), "no_data_key", 'write "$video"'),
        (view(VIDEO + TRACKED), "no_classes", "no <Labels> tag"),
        (view(VIDEO + TRACKED + LABELS + LABELS), "several_labels", "2 <Labels> tags"),
        (view(IMAGE + boxes('value="$labels"', "")), "dynamic_labels", "task's data"),
        (view(IMAGE + boxes('choice="multiple"')), "multiple_labels", "multiple"),
        (view(IMAGE + boxes(body="")), "no_classes", "no <Label>"),
        (view(IMAGE + boxes(body=PAIR + "<Label/>")), "no_classes", "without value"),
        (view(IMAGE + boxes(body=PAIR + '<Label value="x" alias="Car"/>')), "repeated_class", "'Car' twice"),
    ],
)
def test_a_config_we_cannot_read_is_refused_by_name(config: str, kind: str, culprit: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        read_regions_config(config)
    assert refusal.value.kind == kind
    assert culprit in str(refusal.value)
    assert str(refusal.value).endswith(".")


@given(st.text())
def test_no_text_breaks_the_config_reader(text: str) -> None:
    with pytest.raises(ConfigError):
        read_regions_config(text)


@pytest.mark.parametrize(
    ("written", "data", "rate"),
    [
        ("24", {}, 24.0),
        ("$fps", {"fps": 29.97}, 29.97),
        ("$fps", {"fps": "30"}, 30.0),
        ("0.04", {}, 25.0),
        ("$fps", {"fps": 0.5}, 2.0),
    ],
)
def test_the_frame_rate_is_the_editors(written: str, data: dict[str, Any], rate: float) -> None:
    assert frame_rate(TracksConfig("b", "v", "v", CLASSES, written), data) == pytest.approx(rate)


@pytest.mark.parametrize("value", [None, "fast", 0, -25, True, float("nan"), float("inf"), [25]])
def test_a_frame_rate_that_the_editor_would_take_for_24_is_an_error(value: Any) -> None:
    config = TracksConfig("b", "vid", "v", CLASSES, "$fps")
    with pytest.raises(ConfigError, match=r'<Video name="vid"> has frameRate="\$fps"'):
        frame_rate(config, {} if value is None else {"fps": value})


def test_a_video_counted_otherwise_is_refused() -> None:
    check_frame_rate(TracksConfig("b", "vid", "v", CLASSES, "$fps"), 30)
    check_frame_rate(TracksConfig("b", "vid", "v", CLASSES, "29.97"), 30000 / 1001)
    with pytest.raises(ConfigError, match=r'has 30 frames per second, but <Video name="vid"> counts 24'):
        check_frame_rate(TracksConfig("b", "vid", "v", CLASSES), 30)
    with pytest.raises(ValueError, match="0 frames per second"):
        check_frame_rate(TracksConfig("b", "vid", "v", CLASSES), 0)


def test_names_map_exactly_and_else_without_case() -> None:
    assert dict(map_labels(["Car", "person"], ["PERSON", "Car"])) == {"Car": "Car", "person": "PERSON"}
    assert dict(map_labels(["car"], ["car", "CAR"], skip={"CAR"})) == {"car": "car"}
    assert dict(map_labels(["car", "kite"], ["Car", "new"], skip={"kite", "new"})) == {"car": "Car"}


@pytest.mark.parametrize(
    ("model", "config", "culprit"),
    [
        (["car", "kite"], ["Car", "Dog"], "class 'kite' is no label of the config, which offers 'Car', 'Dog'"),
        (["car"], ["Car", "Dog"], "label 'Dog' is no class of the model, which has 'car'"),
        ([], ["Dog"], "which has none"),
        (["car"], ["Car", "CAR"], "'car' fits the config's labels 'Car', 'CAR'"),
        (["Car", "car"], ["Car"], "'Car' and 'car' both fit the config's label 'Car'"),
        (["x"], [str(number) for number in range(12)], "and 2 more"),
    ],
)
def test_a_name_without_a_certain_partner_names_both_sides(
    model: Sequence[str], config: Sequence[str], culprit: str
) -> None:
    with pytest.raises(LabelMapError, match=culprit):
        map_labels(model, config)


@given(st.lists(st.text(min_size=1, max_size=3), unique=True), st.randoms(use_true_random=False))
def test_the_same_names_in_any_order_map_to_themselves(names: list[str], random: Any) -> None:
    shuffled = random.sample(names, len(names))
    assert dict(map_labels(names, shuffled)) == {name: name for name in names}


def test_the_regions_of_the_docs_are_ones_we_write_and_read() -> None:
    page = (SHIPPED.parent / "docs" / "label_configs.md").read_text()
    regions = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    boxes, tracks, timeline = (
        read_regions_config((SHIPPED / f"{name}.xml").read_text())
        for name in ("image_boxes", "video_tracks", "video_timeline")
    )
    for config, region in zip((boxes, tracks, timeline), regions, strict=True):
        check_regions_prediction(config, {"task": 1, "score": 0.5, "model_version": "v", "result": [region]})
    assert isinstance(tracks, TracksConfig)
    (track,) = tracks_of({"id": 1, "result": regions[1:2]}, tracks, 1280, 720).tracks
    assert track.frame.tolist() == [*range(10, 61), 90]
