"""Tracks and a timeline of doubt in one prediction, in a real Chromium: both are shown, and clicks lead there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from ml_backend.studio.client import Studio
from ml_backend.studio.regions.checks import check_regions_prediction
from ml_backend.studio.regions.config import TracksConfig, read_regions_config
from ml_backend.studio.regions.timeline import Ranges, ranges_of, timeline_results
from ml_backend.studio.regions.tracks import Track, track_results, tracks_of
from tests.studio import test_regions_browser
from tests.studio.regions_media import HEIGHT, WIDTH, video
from tests.studio.test_regions_browser import FIRST_PAINT, READY, submit

pytestmark = [pytest.mark.studio, pytest.mark.browser]

page = test_regions_browser.page
CONFIG = (Path(__file__).parents[2] / "label_config" / "video_tracks_doubtful.xml").read_text()
FPS, FRAMES = 25, 50
AT = "(frame) => window.Htx.annotationStore.selected.regions[0].object.frame === frame"


@pytest.fixture
def studio(studio_server: Any) -> Iterator[Studio]:
    client = studio_server.client()
    yield client
    client.close()


def predicted(config: TracksConfig) -> list[dict[str, Any]]:
    assert config.timeline is not None
    ranges = Ranges(np.array([31]), np.array([44]), np.array([0]))
    box = np.tile([40.0, 40, 120, 100], (20, 1)) + np.arange(20)[:, None] * [2, 1, 2, 1]
    track = Track("car-1", 0, np.arange(21, 41), box, 0.75)
    return [
        *timeline_results(config.timeline, ranges, fps=FPS, frames=FRAMES),
        *track_results(config, [track], fps=FPS, frames=FRAMES, width=WIDTH, height=HEIGHT),
    ]


def test_doubt_is_on_the_timeline_and_a_click_on_it_leads_there(page: Page, studio: Studio) -> None:
    config = read_regions_config(CONFIG)
    assert isinstance(config, TracksConfig)
    result = predicted(config)
    number = int(studio.create_project(title="pointing", label_config=CONFIG)["id"])
    (task,) = studio.import_tasks(number, [{"video": video(FRAMES, FPS), "fps": FPS}])
    row = {"task": task, "score": 0.25, "model_version": "v1", "result": result}
    check_regions_prediction(config, row)
    assert studio.import_predictions(number, [row]) == 1
    studio.update_project(number, model_version="v1", show_collab_predictions=True)
    page.goto(f"{studio.url}/projects/{number}/data?task={task}")
    page.wait_for_function(READY, arg=[2, FRAMES], timeout=FIRST_PAINT)
    page.wait_for_function(AT, arg=1, timeout=FIRST_PAINT)
    for text, frame in (("Doubtful", 31), ("Car", 21)):
        page.locator("[class*=outliner-item]").filter(has_text=text).first.click()
        page.wait_for_function(AT, arg=frame, timeout=FIRST_PAINT)
    submit(page)
    (annotation,) = studio.task(task)["annotations"]
    (track,) = tracks_of(annotation, config, WIDTH, HEIGHT).tracks
    assert track.frame.tolist() == list(range(21, 41))
    assert config.timeline is not None
    ranges = ranges_of(annotation, config.timeline)
    assert (ranges.start.tolist(), ranges.end.tolist()) == ([31], [44])
