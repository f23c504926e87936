"""The queue's page: pictures with boxes, any task by number, and placing by hand."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan
from ml_backend.loop.publish import ranking_key
from ml_backend.loop.stored_ranking import StoredRanking
from ml_backend.server.shapes import drawn, shapes_of
from ml_backend.server.thumbnails import ThumbnailError, shrunk, thumbnail
from ml_backend.store.steering import Override
from ml_backend.store.tables import Item, Project, Publication, PublishedItem
from tests.server.conftest import People, add_project
from tests.server.steered import steered_project

HTML = {"Accept": "text/html"}
DRAWING = {
    "boxes": [
        {"box": [10, 20, 60, 50], "label": 0, "score": 0.9, "wrong": 0.1, "shown": True},
        {"box": [30, 30, 50, 90], "label": 1, "score": 0.4, "wrong": 0.8, "shown": True},
        {"box": [0, 0, 5, 5], "label": 1, "score": 0.1, "wrong": 0.9, "shown": False},
    ],
    "candidates": [
        {"box": [70, 10, 90, 40], "label": 0, "missed": 0.7, "from": [3, 5]},
        {"box": [1, 1, 2, 2], "label": 0, "missed": 0.2, "from": [3]},
    ],
}


@pytest.fixture
def project(rooms: House) -> int:
    return steered_project(rooms)


def test_an_empty_project_has_an_empty_page(client: TestClient, rooms: House, people: People) -> None:
    number = add_project(rooms)
    people.log_in(client, "bob")
    shown = client.get(f"/projects/{number}/queue", headers=HTML)
    assert shown.status_code == 200
    assert "Nothing is ranked yet" in shown.text


def test_the_next_items_with_their_bars_and_reasons(client: TestClient, project: int, people: People) -> None:
    people.log_in(client, "ada")
    text = client.get(f"/projects/{project}/queue", headers=HTML).text
    assert [text.index(f'id="task-{task}"') for task in (100, 101, 102, 103)] == sorted(
        text.index(f'id="task-{task}"') for task in (100, 101, 102, 103)
    )
    assert 'id="task-104"' not in text, "not written yet"
    assert "The two likeliest are close" in text
    assert "percentile 0.91" in text
    assert 'aria-label="Pin task 101"' in text
    assert text.count(">control<") == 1


def test_a_viewer_sees_no_control_arm_and_no_buttons(client: TestClient, project: int, people: People) -> None:
    people.log_in(client, "bob")
    page = client.get(f"/projects/{project}/queue", headers=HTML).text
    for text in (page, client.get(f"/projects/{project}/queue?task=105", headers=HTML).text):
        assert "control" not in text
        assert "drawn at random" not in text
        assert "Pin task" not in text
    refused = client.post(
        f"/projects/{project}/queue/101", data={"kind": "front", "csrf": people.log_in(client, "bob")}
    )
    assert refused.status_code == 403


def test_any_task_by_number(client: TestClient, project: int, people: People) -> None:
    people.log_in(client, "ada")
    found = client.get(f"/projects/{project}/queue?task=110", headers=HTML).text
    assert "it stands behind the batch of 3 that &#39;top&#39; chose" in found
    assert "Task 7 is not among the items" in client.get(f"/projects/{project}/queue?task=7", headers=HTML).text
    for wrong in ("x", "-1", "1e3", "٣", "9" * 20):
        text = client.get(f"/projects/{project}/queue", params={"task": wrong}, headers=HTML).text
        assert "is no number of a task" in text


def test_placing_by_hand_with_and_without_htmx(client: TestClient, rooms: House, project: int, people: People) -> None:
    csrf = people.log_in(client, "ada")
    url = f"/projects/{project}/queue/101"
    plain = client.post(url, data={"kind": "front", "csrf": csrf}, headers=HTML)
    assert plain.status_code == 200
    assert "Task 101 is pinned to the front. The queue is being re-ranked." in plain.text
    assert "pinned to the front by ada" in plain.text
    changed = client.post(url, data={"kind": "exclude"}, headers={"HX-Request": "true", "X-CSRF-Token": csrf})
    assert changed.text.lstrip().startswith('<p class="said">Task 101 is excluded from the queue.')
    assert '<article class="card task" id="task-101" hx-swap-oob="true"' in changed.text
    assert 'aria-label="Undo task 101"' in changed.text
    with rooms.ledger.session() as session:
        assert session.get_one(Override, (project, 101)).kind == "exclude"
    client.post(url, data={"kind": "undo", "csrf": csrf})
    again = client.post(url, data={"kind": "undo"}, headers={"HX-Request": "true", "X-CSRF-Token": csrf})
    assert "Task 101 has no override to undo." in again.text
    assert client.post(url, data={"kind": "front"}).status_code == 403, "without the form's token"
    assert client.post(url, data={"csrf": csrf}).status_code == 422
    unknown = client.post(url, data={"kind": "top", "csrf": csrf}, headers=HTML)
    assert "Unknown override" in unknown.text


def test_boxes_are_drawn_in_colours_and_lines_with_a_legend(
    client: TestClient, rooms: House, project: int, people: People
) -> None:
    with rooms.ledger.session() as session:
        item = session.get_one(Item, (project, 100))
        item.width, item.height = 100, 80
        live = session.query(Publication).one()
        kept = session.get_one(PublishedItem, (live.id, 100))
        kept.detail = {"temporal_coherence": {**kept.detail["margin"], "drawing": DRAWING}}
    people.log_in(client, "ada")
    text = client.get(f"/projects/{project}/queue", headers=HTML).text
    assert '<svg viewBox="0 0 100 80"' in text
    assert text.count('<rect class="box shown" x="10.0"') == 1
    assert (
        '<rect class="box wrong" x="30.0" y="30.0" width="20.0" height="60.0"><title>dog 0.40, probably wrong' in text
    )
    assert "cat possibly missed (70%)" in text
    for words in ("detected", "probably wrong", "possibly missed"):
        assert f"</svg> {words}</li>" in text


def test_shapes_of_a_drawing_and_of_a_prediction() -> None:
    assert [shape.kind for shape in drawn(DRAWING, ("cat", "dog"))] == ["shown", "wrong", "miss"]
    assert drawn({"boxes": [{"box": [0, 0, 1, 1], "label": 7, "score": 1.0}]}, ())[0].says == "class 7 1.00"
    ranking = StoredRanking(
        np.array([5, 6]),
        shown={
            "box_start": np.array([0, 0, 2]),
            "box": np.array([[0, 0, 4, 2], [1, 1, 3, 3]], np.float32),
            "box_score": np.array([0.5, 0.25], np.float32),
            "box_label": np.array([1, 0]),
        },
    )
    assert shapes_of({}, ranking, 0, ("cat", "dog")) == []
    assert [(s.says, s.width, s.height) for s in shapes_of({}, ranking, 1, ("cat", "dog"))] == [
        ("dog 0.50", 4, 2),
        ("cat 0.25", 2, 2),
    ]
    assert shapes_of({}, None, None, ()) == []


# pictures


def image(path: Path, size: tuple[int, int] = (900, 300), mode: str = "RGB", **more: object) -> Path:
    Image.new(mode, size, "red" if mode == "RGB" else 0).save(path, **more)  # type: ignore[arg-type]
    return path


def test_a_thumbnail_is_small_turned_and_made_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    source = image(tmp_path / "a.jpg", exif=exif)
    made = thumbnail(source, tmp_path / "cache", "ab" * 32, 320)
    with Image.open(io.BytesIO(made)) as small:
        assert (small.size, small.format) == ((107, 320), "JPEG")
    source.unlink()
    assert thumbnail(source, tmp_path / "cache", "ab" * 32, 320) == made, "from the cache"
    with pytest.raises(ThumbnailError, match="not in the media cache"):
        thumbnail(source, tmp_path / "cache", "ab" * 32, 160)


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "1", "LA", "I;16", "CMYK"])
def test_every_kind_of_image_becomes_a_jpeg(tmp_path: Path, mode: str) -> None:
    kind = "tiff" if mode == "CMYK" else "png"
    made = shrunk(image(tmp_path / f"a.{kind}", (20, 10), mode), 160)
    with Image.open(io.BytesIO(made)) as small:
        assert (small.size, small.mode) == ((20, 10), "RGB"), "a small one is not enlarged"


def test_what_is_no_image_or_too_large_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(ThumbnailError, match="cannot be opened"):
        shrunk(tmp_path / "a.png", 160)
    with pytest.raises(ThumbnailError, match="choose one of 160, 320"):
        thumbnail(tmp_path / "a.png", tmp_path, "ab" * 32, 161)
    with pytest.raises(ThumbnailError, match="more than a page shows"):
        shrunk(image(tmp_path / "b.png", (80_000, 1001), "1"), 160)


def test_pictures_are_kept_by_browsers_and_need_a_login(
    client: TestClient, rooms: House, project: int, people: People, tmp_path: Path
) -> None:
    url = f"/projects/{project}/queue/pictures/100"
    assert client.get(url, headers=HTML, follow_redirects=False).status_code == 303
    people.log_in(client, "bob")
    assert client.get(url).status_code == 404
    with rooms.ledger.session() as session:
        content = session.get_one(Item, (project, 100)).content or ""
        where = rooms.media(rooms.studio(session.get_one(Project, project))).path(content)
    where.parent.mkdir(parents=True, exist_ok=True)
    image(tmp_path / "a.png").rename(where)
    seen = client.get(f"{url}?side=160&v={content[:16]}")
    assert (seen.status_code, seen.headers["content-type"]) == (200, "image/jpeg")
    assert "immutable" in seen.headers["cache-control"]
    again = client.get(f"{url}?side=160", headers={"If-None-Match": seen.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "private, no-cache")
    assert client.get(f"{url}?side=161").status_code == 404
    assert client.get(f"/projects/{project}/queue/pictures/7").status_code == 404


def test_a_whole_video_is_shown_by_a_frame(client: TestClient, rooms: House, project: int, people: People) -> None:
    tracks = (
        '<View><Labels name="kind" toName="video"><Label value="cat"/></Labels><Video name="video" value="$video"/>'
        '<VideoRectangle name="box" toName="video"/></View>'
    )
    key = ranking_key(project, "nextlabel-1-abcd")
    ranking = rooms.arrays.read(key) or {}
    rooms.arrays.write(key, {**ranking, "cover": np.full(len(ranking["task_id"]), 26)})
    with rooms.ledger.session() as session:
        session.get_one(Project, project).label_config = tracks
        item = session.get_one(Item, (project, 100))
        item.fps, content = 25.0, item.content or ""
    people.log_in(client, "ada")
    for address in (f"/projects/{project}/queue", f"/projects/{project}/queue?task=110"):
        text = client.get(address, headers=HTML).text
        assert "<img" not in text
        assert "No picture of it here." in text
    url = f"/projects/{project}/queue/pictures/100"
    assert client.get(url).status_code == 404, "its frames were not taken yet"
    folder = rooms.settings.model_dir.absolute() / "frames" / content[:16]
    folder.mkdir(parents=True)
    frames = [image(folder / f"{at}.jpg", (90 + at, 30)) for at in range(3)]
    named: list[dict[str, Any]] = [
        {"file": file.name, "time": at / 2, "content": sha256(file.read_bytes()).hexdigest()}
        for at, file in enumerate(frames)
    ]
    body = {"format": 1, "content": content, "frames": named, "size": [90, 30], "seconds": 1.5, "notes": []}
    (folder / f"sampled-{Plan().videos.frames_per_second:g}.json").write_text(json.dumps(body))
    text = client.get(f"/projects/{project}/queue", headers=HTML).text
    assert text.count("<img") == 1
    assert f"pictures/100?side=640&amp;v={named[2]['content'][:16]}" in text
    assert 'alt="Frame 26 of task 100' in text
    seen = client.get(url)
    assert (seen.status_code, seen.headers["content-type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(seen.content)) as small:
        assert small.size == (92, 30)
