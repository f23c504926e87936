"""Boxes, tracks and ranges through a real Label Studio and back: bulk import, export, and its own check."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_backend.studio.client import Studio
from ml_backend.studio.regions.boxes import box_results, boxes_of
from ml_backend.studio.regions.checks import check_regions_prediction
from ml_backend.studio.regions.config import (
    BoxesConfig,
    RegionsConfig,
    TracksConfig,
    read_regions_config,
)
from ml_backend.studio.regions.timeline import Ranges, ranges_of, timeline_results
from ml_backend.studio.regions.tracks import Track, track_results, tracks_of
from tests.studio.regions_media import HEIGHT, WIDTH, picture, video
from tests.studio.test_regions_checks import FAULTS, right, spoiled

pytestmark = pytest.mark.studio

ROOT = Path(__file__).parents[2]
SHIPPED = ("image_boxes", "video_frames", "video_tracks", "video_timeline")
FPS, FRAMES = 25, 50


def config_text(name: str) -> str:
    return (ROOT / "label_config" / f"{name}.xml").read_text()


def data_of(name: str) -> dict[str, Any]:
    if name == "image_boxes":
        return {"image": picture()}
    if name == "video_frames":
        return {"image": picture(), "video": "drive.mp4", "frame": 17}
    return {"video": video(FRAMES, FPS), "fps": FPS}


@pytest.fixture
def studio(studio_server: Any) -> Iterator[Studio]:
    client = studio_server.client()
    yield client
    client.close()


def project_of(studio: Studio, name: str) -> tuple[int, int]:
    """A new project with a shipped config and one task: their ids."""
    number = int(studio.create_project(title=f"regions {name}", label_config=config_text(name))["id"])
    (task,) = studio.import_tasks(number, [data_of(name)])
    return number, task


def written(config: RegionsConfig) -> list[dict[str, Any]]:
    """A prediction of every kind, with a box at the edge, a track with a gap, and touching ranges."""
    if isinstance(config, BoxesConfig):
        corners = [[10.25, 20.5, 60.0, 70.0], [100.0, 1.0, 500.0, 30.0], [0.0, 0.0, 7.125, float(HEIGHT)]]
        return box_results(config, corners, [0, 1, 2], [0.9, 0.5, 0.0], WIDTH, HEIGHT)
    size = {"width": WIDTH, "height": HEIGHT}
    if isinstance(config, TracksConfig):
        return track_results(config, moving(), fps=FPS, frames=FRAMES, tolerance_px=0.5, **size)
    ranges = Ranges(np.array([3, 11, 40]), np.array([10, 20, 50]), np.array([0, 0, 1]), np.array([0.5, 0.7, 1.0]))
    return timeline_results(config, ranges, fps=FPS, frames=FRAMES)


def moving() -> list[Track]:
    frame = np.concatenate([np.arange(4, 20), np.arange(26, 41), [45]])
    x = 60 + 30 * np.sin(frame / 6)
    box = np.stack([x, 10 + frame / 2, x + 40, 60 + frame / 2], axis=1)
    still = np.tile([5.0, 5, 25, 25], (FRAMES, 1))
    return [Track("car-1", 0, frame, box, 0.75), Track("still", 2, np.arange(1, FRAMES + 1), still, 0.5)]


def assert_same(config: RegionsConfig, result: list[dict[str, Any]]) -> None:
    """What the readers make of a result is what `written` was made of."""
    annotation = {"id": 1, "result": result}
    if isinstance(config, BoxesConfig):
        boxes = boxes_of(annotation, config, WIDTH, HEIGHT)
        expected = np.array([[10.25, 20.5, 60, 70], [100, 1, WIDTH, 30], [0, 0, 7.125, HEIGHT]])
        np.testing.assert_allclose(boxes.box, expected, rtol=0, atol=1e-6)
        assert (boxes.label.tolist(), boxes.dropped) == ([0, 1, 2], 0)
    elif isinstance(config, TracksConfig):
        read = tracks_of(annotation, config, WIDTH, HEIGHT).tracks
        for track, sent in zip(read, moving(), strict=True):
            assert (track.id, track.label, track.frame.tolist()) == (sent.id, sent.label, sent.frame.tolist())
            assert np.abs(track.box - sent.box).max() <= 0.5 + 1e-6
    else:
        ranges = ranges_of(annotation, config)
        assert (ranges.start.tolist(), ranges.end.tolist()) == ([3, 40], [20, 50])
        assert ranges.label.tolist() == [0, 1]


@pytest.mark.parametrize("name", SHIPPED)
def test_predictions_and_annotations_survive_label_studio(studio: Studio, name: str) -> None:
    number, task = project_of(studio, name)
    stored = studio.project(number)["label_config"]
    config = read_regions_config(stored)
    assert config == read_regions_config(config_text(name))
    assert {key: studio.task(task)["data"][key] for key in data_of(name)} == data_of(name)

    result = written(config)
    row = {"task": task, "score": 0.25, "model_version": "v1", "result": result}
    check_regions_prediction(config, row)
    assert studio.import_predictions(number, [row]) == 1
    (prediction,) = studio.task(task)["predictions"]
    assert prediction["result"] == result
    assert_same(config, prediction["result"])

    studio.annotate(task, result)
    (exported,) = export(studio, number, interpolate=False)
    assert_same(config, exported["annotations"][0]["result"])


def export(studio: Studio, project: int, *, interpolate: bool) -> list[dict[str, Any]]:
    parameters = {"exportType": "JSON", "interpolate_key_frames": str(interpolate).lower()}
    return list(studio.call("GET", f"/api/projects/{project}/export", params=parameters))


def keyframe(frame: int, x: float, *, enabled: bool = True) -> dict[str, Any]:
    place = {"x": x, "y": 10.0 + x / 3, "width": 20.0 + x / 7, "height": 15.0, "rotation": 0}
    return {"frame": frame, "enabled": enabled, "time": frame / FPS, **place}


PEOPLES = {
    "one keyframe, held to the end": [keyframe(7, 10)],
    "two keyframes and held": [keyframe(3, 5), keyframe(12, 40)],
    "ended by a keyframe": [keyframe(3, 5), keyframe(12, 40, enabled=False)],
    "gone and back": [keyframe(2, 5), keyframe(9, 33, enabled=False), keyframe(20, 11), keyframe(31, 2, enabled=False)],
    "out of order, and off twice": [keyframe(30, 1, enabled=False), keyframe(5, 9), keyframe(25, 44, enabled=False)],
    "one frame alone": [keyframe(17, 8, enabled=False)],
    "the last frame": [keyframe(48, 8), keyframe(FRAMES, 20)],
}


def peoples_tracks(config: TracksConfig) -> list[dict[str, Any]]:
    """A region for each of PEOPLES, as the editor writes it."""
    return [
        {
            "id": f"track-{position}",
            "from_name": config.from_name,
            "to_name": config.to_name,
            "type": config.region_type,
            "value": {"framesCount": FRAMES, "duration": FRAMES / FPS, "labels": ["Car"], "sequence": sequence},
        }
        for position, sequence in enumerate(PEOPLES.values())
    ]


def test_peoples_keyframes_are_read_as_label_studio_exports_them(studio: Studio) -> None:
    number, task = project_of(studio, "video_tracks")
    config = read_regions_config(config_text("video_tracks"))
    assert isinstance(config, TracksConfig)
    studio.annotate(task, peoples_tracks(config))
    (plain,) = export(studio, number, interpolate=False)
    (interpolated,) = export(studio, number, interpolate=True)
    tracks = tracks_of(plain["annotations"][0], config, 100, 100).tracks
    regions = {region["id"]: region["value"]["sequence"] for region in interpolated["annotations"][0]["result"]}
    assert len(tracks) == len(regions) == len(PEOPLES)
    for track, what in zip(tracks, PEOPLES, strict=True):
        sequence = regions[track.id]
        assert track.frame.tolist() == [entry["frame"] for entry in sequence], what
        rows = np.array([[entry[key] for key in ("x", "y", "width", "height")] for entry in sequence])
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:]], axis=1)
        np.testing.assert_allclose(track.box, corners, rtol=0, atol=1e-9, err_msg=what)


XML = {
    "boxes": '<View><Image name="img" value="$image"/>'
    '<RectangleLabels name="box" toName="img">{}</RectangleLabels></View>',
    "tracks": '<View><Labels name="label" toName="vid">{}</Labels><Video name="vid" value="$video" frameRate="$fps"/>'
    '<VideoRectangle name="box" toName="vid"/></View>',
    "timeline": '<View><TimelineLabels name="when" toName="vid">{}</TimelineLabels>'
    '<Video name="vid" value="$video" frameRate="$fps"/></View>',
}
LABEL_STUDIOS_CHECK = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface
configs, rows = json.load(sys.stdin)
interfaces = {kind: LabelInterface(config) for kind, config in configs.items()}
json.dump([interfaces[kind].validate_prediction(row, return_errors=True) for kind, row in rows], sys.stdout)
"""
VALUES: list[Any] = [None, True, False, -1, 0, 1, 2, 50, 99.5, 100, 1e-9, 101, "1", "", "Car", [], {}, ["Car"], [{}]]


def test_our_check_lets_nothing_through_that_label_studio_drops() -> None:
    configs = {
        kind: xml.format('<Label value="Car"/><Label value="a person" alias="Person"/>') for kind, xml in XML.items()
    }
    ours = {kind: read_regions_config(config) for kind, config in configs.items()}
    rows = [(kind, right(kind)) for kind in configs]
    for kind, path in sorted({(kind, path) for kind, path, _, _ in FAULTS}):
        for value in VALUES:
            row = spoiled(kind, path, value)
            try:
                check_regions_prediction(ours[kind], row)
            except ValueError:
                continue
            rows.append((kind, row))
    answer = subprocess.run(
        [str(ROOT / ".venv-studio" / "bin" / "python"), "-c", LABEL_STUDIOS_CHECK],
        input=json.dumps([configs, rows]),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    verdicts = json.loads(answer.stdout)
    assert len(verdicts) == len(rows) > 40
    refused = [(kind, row, errors) for (kind, row), errors in zip(rows, verdicts, strict=True) if errors]
    assert not refused
