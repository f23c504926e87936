"""Videos into a real Label Studio: what an annotator's browser gets, a second run, a killed one, and each refusal."""

from __future__ import annotations

import os
import re
import signal
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

import cli
from ml_backend.loop import import_command, import_video
from ml_backend.loop.house import House
from ml_backend.loop.import_video import import_videos
from ml_backend.loop.import_wish import Wish, make_wish
from ml_backend.settings import Settings
from ml_backend.studio.client import Json, Studio, StudioError
from ml_backend.video.container import VideoError
from ml_backend.video.sampling import Sampling
from tests.video.making import make, make_folder, number_in

pytestmark = pytest.mark.studio

IMAGES = (
    '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="a"/><Choice value="b"/>'
    "</Choices></View>"
)
VIDEOS = (
    '<View><Video name="v" value="$video"/><TimelineLabels name="t" toName="v"><Label value="a"/>'
    "</TimelineLabels></View>"
)


def house_for(server: Any, folder: Path, **changes: Any) -> House:
    values = {
        "model_dir": folder / "model",
        "label_studio_url": server.url,
        "label_studio_api_key": server.token,
        "local_files_document_root": server.media_dir,
    }
    return House(Settings(_env_file=None, **{**values, **changes}))


@pytest.fixture
def house(studio_server: Any, tmp_path: Path) -> Iterator[House]:
    house = house_for(studio_server, tmp_path)
    yield house
    house.ledger.close()


@pytest.fixture
def studio(studio_server: Any) -> Iterator[Studio]:
    studio = studio_server.client()
    yield studio
    studio.close()


def project(studio: Studio, config: str = IMAGES) -> int:
    return int(studio.create_project(title="Videos", label_config=config)["id"])


def fresh(path: Path, frames: int = 20) -> Path:
    """A video of a content that no other test has: what Label Studio serves is shared by all."""
    make(path, frames)
    path.write_bytes(path.read_bytes() + uuid.uuid4().bytes)
    return path


def tasks(studio: Studio, project: int) -> list[dict[str, Any]]:
    return [task["data"] for task in studio.tasks(project)]


@pytest.fixture
def browser(studio_server: Any) -> Iterator[httpx.Client]:
    """Logged in by the form, with the cookies that a person's browser has, and no token."""
    with httpx.Client(base_url=studio_server.url, follow_redirects=True, timeout=30) as browser:
        page = browser.get("/user/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token
        form = {"csrfmiddlewaretoken": token[1], "email": studio_server.email, "password": studio_server.password}
        browser.post(str(page.url), data=form, headers={"Referer": studio_server.url}).raise_for_status()
        yield browser


def test_frames_become_tasks_that_a_browser_sees_and_a_second_run_adds_nothing(
    house: House, studio: Studio, browser: httpx.Client, tmp_path: Path
) -> None:
    number = project(studio)
    video = fresh(tmp_path / "drive 1.avi")
    wish = Wish(number, (video,), Sampling(rate=5.0))
    seen: list[tuple[str, int, int]] = []
    done = import_videos(house, wish, lambda *step: seen.append(step))
    assert (done.videos, done.added, done.present, done.written) == (1, 4, 0, 4)
    assert (done.notes, done.refused) == ([], [])
    assert seen[-1] == ("drive 1.avi", 20, 20)
    found = tasks(studio, number)
    assert [(data["frame"], data["time"]) for data in found] == [(1, 0.0), (6, 0.2), (11, 0.4), (16, 0.6)]
    (name,) = {data["video"] for data in found}
    assert re.fullmatch(r"drive 1-[0-9a-f]{8}", name)
    picture = browser.get(found[2]["image"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert number_in(picture.content) == 11

    (tmp_path / "the same.avi").write_bytes(video.read_bytes())
    again = import_videos(house, replace(wish, paths=(video, tmp_path / "the same.avi")))
    assert (again.videos, again.added, again.present, again.written) == (2, 0, 8, 0)
    more = import_videos(house, replace(wish, sampling=Sampling(5)))
    assert (more.added, more.present) == (0, 4)
    assert len(tasks(studio, number)) == 4
    storages = studio.call("GET", "/api/storages/localfiles/", params={"project": number})
    assert len(storages) == 1
    studio.call("POST", f"/api/storages/localfiles/{storages[0]['id']}/sync")
    assert len(tasks(studio, number)) == 4  # a press on "Sync" adds nothing


def test_a_killed_import_goes_on(
    studio_server: Any, house: House, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed after each of the first two batches; a last run adds what is left, and nothing twice."""
    number = project(studio)
    video = fresh(tmp_path / "a.avi")
    monkeypatch.setattr(import_video, "BATCH", 6)
    import_tasks = Studio.import_tasks

    def dying(self: Studio, project: int, tasks: list[Json]) -> list[int]:
        import_tasks(self, project, tasks)
        os.kill(os.getpid(), signal.SIGKILL)
        return []

    for had in (6, 12):
        child = os.fork()
        if child == 0:
            Studio.import_tasks = dying  # type: ignore[method-assign]
            import_videos(house_for(studio_server, tmp_path / "child"), Wish(number, (video,)))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert len(tasks(studio, number)) == had
    done = import_videos(house, Wish(number, (video,)))
    assert (done.added, done.present) == (8, 12)
    found = tasks(studio, number)
    assert sorted(data["frame"] for data in found) == list(range(1, 21))
    assert len({data["image"] for data in found}) == 20


def test_a_folder_below_the_root_is_served_from_where_it_is(
    house: House, studio: Studio, browser: httpx.Client, studio_server: Any, tmp_path: Path
) -> None:
    number = project(studio)
    inside = make_folder(studio_server.media_dir / uuid.uuid4().hex / "run ä", ["f2.png", "f10.png"])
    outside = make_folder(tmp_path / "elsewhere", ["1.png", "2.png", "3.png"])
    (outside / "2.png").write_bytes(b"no picture" + uuid.uuid4().bytes)
    done = import_videos(house, make_wish([inside, outside], number, folder_fps=4.0))
    assert (done.added, done.written) == (4, 2)
    assert [note.split("'")[1] for note in done.notes] == [str(outside / "2.png")]
    found = tasks(studio, number)
    assert [(data["frame"], data["time"]) for data in found] == [(1, 0.0), (2, 0.25), (1, 0.0), (3, 0.5)]
    assert [number_in(browser.get(data["image"]).content) for data in found] == [1, 2, 1, 3]
    assert all("/nextlabel-videos/" not in data["image"] for data in found[:2])  # no copy was made
    assert import_videos(house, make_wish([inside, outside], number)).added == 0


def test_whole_videos_are_tasks_too(
    house: House, studio: Studio, browser: httpx.Client, studio_server: Any, tmp_path: Path
) -> None:
    number = project(studio, VIDEOS)
    inside = studio_server.media_dir / uuid.uuid4().hex / "clip.webm"
    inside.parent.mkdir()
    make(inside)
    outside = fresh(tmp_path / "old.avi", frames=7)
    wish = make_wish([inside, outside], number, kind="video")
    done = import_videos(house, wish)
    assert (done.added, done.written) == (1, 0)
    assert "does not lie in a folder below" in done.refused[0]
    done = import_videos(house, replace(wish, copy=True))
    assert (done.added, done.present, done.written, done.refused) == (1, 1, 1, [])
    assert "browsers may not play" in done.notes[0]
    found = tasks(studio, number)
    assert [(data["frames"], data["fps"]) for data in found] == [(20, 25.0), (7, 25.0)]
    assert [browser.get(data["video"]).content for data in found] == [inside.read_bytes(), outside.read_bytes()]
    part = browser.get(found[0]["video"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, inside.read_bytes()[:4])  # players ask for parts


def test_what_cannot_be_imported_is_said_before_anything_is_written(
    house: House, studio: Studio, studio_server: Any, tmp_path: Path
) -> None:
    number = project(studio)
    video, text = fresh(tmp_path / "a.avi"), tmp_path / "b.mp4"
    text.write_text("hello")
    elsewhere = tmp_path / "root"
    elsewhere.mkdir()
    refusals = [
        (house, Wish(987654, (video,)), "has no project 987654"),
        (
            house,
            Wish(number, (text, tmp_path / "none.avi")),
            r"no video to import.*b\.mp4' is no video.*none\.avi' is mis",
        ),
        (house, Wish(number, (video,), as_video=True), "asks about no <Video>"),
        (house, Wish(project(studio, VIDEOS), (video,)), "asks about no <Image>, but a <Video>; add --as video"),
        (house, Wish(project(studio, IMAGES.replace("$image", "$frame")), (video,)), "a name that is ours"),
        (house_for(studio_server, tmp_path, local_files_document_root=None), Wish(number, (video,)), "ROOT is not set"),
        (house_for(studio_server, tmp_path, local_files_document_root=text), Wish(number, (video,)), "is no folder"),
        (house_for(studio_server, tmp_path, label_studio_api_key=None), Wish(number, (video,)), "is not connected"),
    ]
    for rooms, wish, said in refusals:
        with pytest.raises(VideoError, match=said):
            import_videos(rooms, wish)
    rooms = house_for(studio_server, tmp_path, local_files_document_root=elsewhere)
    with pytest.raises(StudioError, match="must be a subdirectory of"):
        import_videos(rooms, Wish(number, (video,)))
    with pytest.raises(StudioError, match="does not serve"):  # another folder than Label Studio's of that name
        import_videos(rooms, Wish(number, (video,), studio_root=str(studio_server.media_dir)))
    assert tasks(studio, number) == []


def test_one_bad_video_does_not_stop_the_others(house: House, studio: Studio, tmp_path: Path) -> None:
    number = project(studio)
    folder = make_folder(tmp_path / "frames", ["1.png"])
    done = import_videos(house, Wish(number, (folder, make(tmp_path / "a.mkv")), Sampling(rate=25.0)))
    assert (done.videos, done.added) == (1, 20)
    assert "has no times" in done.refused[0]


def test_the_command_line_says_what_was_done(
    house: House, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, video = project(studio), fresh(tmp_path / "a.avi")
    monkeypatch.setattr(import_command, "house", lambda: house)
    arguments = ["import-video", str(video), "--project", str(number), "--every", "10"]
    done = CliRunner().invoke(cli.app, arguments)
    assert (done.exit_code, done.exception) == (0, None)
    assert "1 video: 2 tasks added, 0 were there already, 2 files written." in done.output
    part = CliRunner().invoke(cli.app, [*arguments, str(tmp_path / "none.avi")])
    assert part.exit_code == 1
    assert "0 tasks added, 2 were there already" in part.output
    assert f"'{tmp_path / 'none.avi'}' is missing" in part.output.replace("\n", " ")
    for options, said in {
        ("--fps", "0"): "impossible",
        ("--every", "0"): "impossible",
        ("--folder-fps", "-1"): "impossible",
        ("--as", "pictures"): "Available: frames, video",
        ("--as", "video"): "leave them out",
    }.items():
        refused = CliRunner().invoke(cli.app, [*(arguments[:4] if "--as" not in options else arguments), *options])
        assert said in str(refused.exception)


def test_two_imports_at_once_are_refused(house: House, studio: Studio, tmp_path: Path) -> None:
    number = project(studio)
    wish = Wish(number, (fresh(tmp_path / "a.avi"),))

    def intrude(_: str, done: int, __: int) -> None:
        if done == 1:
            with pytest.raises(VideoError, match="Another import into project"):
                import_videos(house, wish)

    assert import_videos(house, wish, intrude).added == 20
