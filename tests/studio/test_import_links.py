"""Videos served by the backend itself: what a person's browser shows in a real Label Studio, and fresh links later."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import sync_playwright
from typer.testing import CliRunner

import cli
from ml_backend.loop.house import House
from ml_backend.loop.import_links import KEY
from ml_backend.loop.import_video import import_videos
from ml_backend.loop.import_wish import Wish, make_wish
from ml_backend.server.app import create_app
from ml_backend.studio.client import Studio
from ml_backend.video.container import VideoError
from stack.ports import free_port
from tests.studio.test_import_video import IMAGES, VIDEOS, fresh, house_for, project, tasks
from tests.studio.test_regions_browser import FIRST_PAINT, FLAGS
from tests.video.making import make, number_in

SHOWN = "() => [...document.images].some((image) => image.src.includes('/media/') && image.naturalWidth === 64)"


@pytest.fixture
def house(studio_server: Any, redis_server: Any, tmp_path: Path) -> Iterator[House]:
    """A house whose backend answers at a port of this test's own. Label Studio serves no files of it."""
    port = free_port()
    changes = {"redis_url": redis_server.url, "port": port, "local_files_document_root": None}
    house = house_for(studio_server, tmp_path, **changes)
    server = uvicorn.Server(uvicorn.Config(create_app(house), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        thread.join(0.05)
    assert server.started
    yield house
    server.should_exit = True
    thread.join(10)
    house.ledger.close()


@pytest.fixture
def studio(studio_server: Any) -> Iterator[Studio]:
    studio = studio_server.client()
    yield studio
    studio.close()


@pytest.mark.studio
@pytest.mark.browser
def test_a_browser_shows_a_frame_that_the_backend_serves(
    house: House, studio: Studio, studio_server: Any, chromium: str, tmp_path: Path
) -> None:
    number = project(studio)
    video = fresh(tmp_path / "drive.avi")
    wish = make_wish([video], number, every=5, serve="links")
    done = import_videos(house, wish)
    assert (done.added, done.written, done.renewed, done.refused) == (4, 4, 0, [])
    found = tasks(studio, number)
    assert [data["frame"] for data in found] == [1, 6, 11, 16]
    assert [number_in(httpx.get(data["image"]).content) for data in found] == [1, 6, 11, 16]
    fetched = house.media(studio).fetch([(1, found[2]["image"])])  # as training does
    assert (len(fetched.contents), fetched.problems) == (1, {})

    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = chrome.new_page()
        page.goto(f"{studio_server.url}/user/login/")
        page.fill("input[name=email]", studio_server.email)
        page.fill("input[name=password]", studio_server.password)
        page.click("button[type=submit]")
        page.wait_for_url(lambda url: "login" not in url)
        page.goto(f"{studio.url}/projects/{number}/data?task={next(iter(studio.tasks(number)))['id']}")
        page.wait_for_function(SHOWN, timeout=FIRST_PAINT)
        chrome.close()

    again = import_videos(house, wish)
    assert (again.added, again.present, again.renewed, again.written) == (0, 4, 0, 0)
    (house.settings.model_dir / KEY).unlink()  # revoked
    assert httpx.get(found[0]["image"]).status_code == 403
    renewed = import_videos(house, wish)
    assert (renewed.added, renewed.present, renewed.renewed) == (0, 4, 4)
    assert [httpx.get(data["image"]).status_code for data in tasks(studio, number)] == [200] * 4


@pytest.mark.studio
def test_tasks_can_be_served_the_other_way(house: House, studio: Studio, studio_server: Any, tmp_path: Path) -> None:
    number, video = project(studio), fresh(tmp_path / "a.avi", frames=3)
    assert import_videos(house, Wish(number, (video,), links=True)).added == 3
    local = house_for(studio_server, tmp_path / "local")
    done = import_videos(local, Wish(number, (video,)))
    assert (done.added, done.present, done.renewed) == (0, 3, 3)
    assert all(data["image"].startswith("/data/local-files/") for data in tasks(studio, number))
    local.ledger.close()


@pytest.mark.studio
def test_whole_videos_are_copied_and_served_in_parts(house: House, studio: Studio, tmp_path: Path) -> None:
    number, video = project(studio, VIDEOS), tmp_path / "clip.webm"
    make(video)
    wish = make_wish([video], number, kind="video", serve="links")
    assert "add --copy" in import_videos(house, wish).refused[0]
    assert import_videos(house, replace(wish, copy=True)).added == 1
    part = httpx.get(tasks(studio, number)[0]["video"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, video.read_bytes()[:4])


@pytest.mark.studio
def test_what_browsers_would_not_see_is_said_before_a_task_is_made(
    house: House, studio: Studio, studio_server: Any, tmp_path: Path
) -> None:
    number, video = project(studio, IMAGES), fresh(tmp_path / "a.avi", frames=3)
    elsewhere = house_for(studio_server, tmp_path / "another", port=house.settings.port)  # with another MODEL_DIR
    for rooms, wish, said in [
        (house, Wish(number, (video,), links=True, link_address="http://127.0.0.1:9"), "does not answer at http://127"),
        (house, Wish(number, (video,), links=True, link_address="ftp://here"), "is no address of the backend"),
        (elsewhere, Wish(number, (video,), links=True), "answered 403 and does not serve"),
    ]:
        try:
            refused = import_videos(rooms, wish).refused
        except VideoError as error:
            refused = [str(error)]
        assert said in refused[0]
    elsewhere.ledger.close()
    assert tasks(studio, number) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"serve": "ftp"}, "Available: local, links"),
        ({"serve": "links", "seen": "/root"}, "leave --studio-root out"),
        ({"link_days": 3.0}, "with --serve links alone"),
        ({"link_address": "http://a"}, "with --serve links alone"),
        ({"serve": "links", "link_days": 0.0}, "impossible"),
        ({"serve": "links", "link_days": float("nan")}, "impossible"),
    ],
)
def test_wishes_that_do_not_go_together(options: dict[str, Any], said: str) -> None:
    with pytest.raises(VideoError, match=said):
        make_wish([Path("a.mp4")], 1, **options)


def test_the_command_line_asks_for_links() -> None:
    arguments = ["import-video", "a.mp4", "--project", "1", "--serve"]
    refused = CliRunner().invoke(cli.app, [*arguments, "ftp"])
    assert "Unknown --serve 'ftp'. Available: local, links." in str(refused.exception)
    refused = CliRunner().invoke(cli.app, [*arguments, "links", "--link-days", "-1"])
    assert "Links of -1 days are impossible" in str(refused.exception)
    refused = CliRunner().invoke(cli.app, [*arguments, "local", "--link-address", "http://a"])
    assert "with --serve links alone" in str(refused.exception)
