"""The shipped configs in a real Chromium: labels and predictions are shown, and what a person submits is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright

from ml_backend.studio.client import Studio
from ml_backend.studio.regions.config import RegionsConfig, TracksConfig, read_regions_config
from ml_backend.studio.regions.tracks import tracks_of
from tests.studio.test_regions_studio import (
    FRAMES,
    PEOPLES,
    SHIPPED,
    assert_same,
    config_text,
    data_of,
    peoples_tracks,
    project_of,
    written,
)

pytestmark = [pytest.mark.studio, pytest.mark.browser]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
FIRST_PAINT = 60_000  # ms
READY = """([regions, frames]) => {
    const selected = window.Htx?.annotationStore?.selected;
    return selected?.regions?.length === regions && (!frames || selected.regions[0].object.length === frames);
}"""
DRAWN = """(frames) => window.Htx.annotationStore.selected.regions.map((region) => {
    const seen = [];
    for (let frame = 1; frame <= frames; frame++) {
        const shape = region.getShape(frame);  // the editor draws a box where there is a shape within its lifespan
        if (region.isInLifespan(frame) && shape) seen.push([frame, shape.x, shape.y, shape.width, shape.height]);
    }
    return [region.cleanId, seen];
})"""


@pytest.fixture(scope="module")
def page(studio_server: Any, chromium: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(f"{studio_server.url}/user/login/")
        tab.fill("input[name=email]", studio_server.email)
        tab.fill("input[name=password]", studio_server.password)
        tab.click("button[type=submit]")
        tab.wait_for_url(lambda url: "login" not in url)
        yield tab
        browser.close()


@pytest.fixture
def studio(studio_server: Any) -> Iterator[Studio]:
    client = studio_server.client()
    yield client
    client.close()


def show(page: Page, studio: Studio, name: str, result: list[dict[str, Any]]) -> tuple[int, RegionsConfig]:
    """A new task whose prediction is `result`, opened in the editor and loaded."""
    number, task = project_of(studio, name)
    row = {"task": task, "score": 0.25, "model_version": "v1", "result": result}
    assert studio.import_predictions(number, [row]) == 1
    studio.update_project(number, model_version="v1", show_collab_predictions=True)
    page.goto(f"{studio.url}/projects/{number}/data?task={task}")
    config = read_regions_config(config_text(name))
    page.wait_for_function(READY, arg=[len(result), 0 if config.kind == "boxes" else FRAMES], timeout=FIRST_PAINT)
    return task, config


def submit(page: Page) -> None:
    with page.expect_response(lambda response: "/annotations" in response.url and response.request.method == "POST"):
        page.get_by_test_id("bottombar-submit-button").click()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_person_sees_the_labels_and_submits_the_prediction(
    page: Page, studio: Studio, name: str, tmp_path: Path
) -> None:
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    result = written(read_regions_config(config_text(name)))
    task, config = show(page, studio, name, result)
    for label in config.classes:
        page.get_by_text(label, exact=True).first.wait_for(timeout=FIRST_PAINT)
    if name == "video_frames":
        page.get_by_text("Frame 17 of drive.mp4", exact=True).wait_for(timeout=FIRST_PAINT)
    page.screenshot(path=tmp_path / f"{name}.png")
    assert page.get_by_text("error", exact=False).count() == 0
    submit(page)
    (annotation,) = studio.task(task)["annotations"]
    assert_same(config, annotation["result"])
    assert failures == []
    if os.environ.get("NEXTLABEL_KEEP_SCREENSHOTS"):
        print(f"screenshots: {tmp_path}")


def test_the_alias_of_a_label_is_what_annotations_store(page: Page, studio: Studio) -> None:
    text = config_text("image_boxes").replace('value="Car"', 'value="A car of any kind" alias="Car"')
    number = int(studio.create_project(title="regions alias", label_config=text)["id"])
    config = read_regions_config(text)
    assert config == read_regions_config(config_text("image_boxes"))
    (task,) = studio.import_tasks(number, [data_of("image_boxes")])
    result = written(config)
    assert studio.import_predictions(number, [{"task": task, "score": 0, "model_version": "v", "result": result}]) == 1
    studio.update_project(number, model_version="v", show_collab_predictions=True)
    page.goto(f"{studio.url}/projects/{number}/data?task={task}")
    page.wait_for_function(READY, arg=[len(result), 0], timeout=FIRST_PAINT)
    page.get_by_text("A car of any kind", exact=True).first.wait_for(timeout=FIRST_PAINT)
    submit(page)
    assert_same(config, studio.task(task)["annotations"][0]["result"])


def in_order(sequence: list[dict[str, Any]]) -> bool:
    frames = [entry["frame"] for entry in sequence]
    return frames == sorted(frames)


@pytest.mark.parametrize("tracks", ["ours", "people's"])
def test_the_editor_draws_a_track_in_the_frames_that_we_read(page: Page, studio: Studio, tracks: str) -> None:
    config = read_regions_config(config_text("video_tracks"))
    assert isinstance(config, TracksConfig)
    result = written(config)
    if tracks == "people's":  # the editor needs keyframes in order; only its export puts them so
        result = [region for region in peoples_tracks(config) if in_order(region["value"]["sequence"])]
    show(page, studio, "video_tracks", result)
    drawn = dict(page.evaluate(DRAWN, FRAMES))
    read = tracks_of({"id": 1, "result": result}, config, 100, 100).tracks
    assert len(drawn) == len(read) == (2 if tracks == "ours" else len(PEOPLES) - 1)
    for track in read:
        seen = np.array(drawn[track.id])
        assert track.frame.tolist() == seen[:, 0].tolist(), track.id
        corners = np.concatenate([seen[:, 1:3], seen[:, 1:3] + seen[:, 3:]], axis=1)
        np.testing.assert_allclose(track.box, corners, rtol=0, atol=1e-6)
