"""The page Video: strips of what is expected of each frame, and a frame between its neighbours."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ml_backend.loop import learning_boxes
from ml_backend.loop.box_pool import read_box_pool
from ml_backend.loop.house import House
from ml_backend.loop.learning_boxes import train_boxes
from ml_backend.loop.video_strips import keep_strips, read_strips
from ml_backend.server.pages.video import COLUMNS
from ml_backend.store.tables import Cycle, Project, Publication, PublishedItem
from plugins.video.coherence_scorer import TemporalCoherence, TemporalCoherenceConfig
from plugins.video.explanation import LIKELY
from tests.loop.spots import CONFIG, PLAN, STUDIO, Spots, add, filled, region
from tests.server.conftest import People

HTML = {"Accept": "text/html"}


@pytest.fixture
def strips(rooms: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Frames 1 to 14 of a drive, four of them labeled, judged once; task 3 is the next in the queue."""
    monkeypatch.setattr(learning_boxes, "make_detector", lambda _plan: Spots())
    pool = filled(rooms)
    learned = train_boxes(rooms, 1, 1, PLAN, pool, CONFIG.classes)
    keep_strips(rooms, 1, pool, learned.evidence)
    publish(rooms, "v1", 3)
    return rooms


def publish(rooms: House, version: str, task: int) -> None:
    with rooms.ledger.session() as session:
        cycle = Cycle(project_id=1, number=1, kind="train", trigger="test")
        session.add(cycle)
        session.flush()
        live = Publication(project_id=1, cycle_id=cycle.id, model_version=version, total=1, published=1, state="live")
        session.add(live)
        session.flush()
        session.add(PublishedItem(publication_id=live.id, task_id=task, rank=0, score=0))
        session.get_one(Project, 1).live_version = version


def test_strips_hold_what_the_scorer_expects(strips: House) -> None:
    kept = read_strips(strips.arrays, 1)
    assert kept is not None
    assert kept.film.number.tolist() == list(range(1, 15))
    assert kept.film.labeled.tolist() == [number in (4, 8, 12, 13) for number in range(1, 15)]
    pool = read_box_pool(strips, STUDIO, 1, CONFIG)
    evidence = learning_boxes.box_evidence(strips, 1, pool, CONFIG.classes, PLAN, columns(strips))
    scorer = TemporalCoherence(TemporalCoherenceConfig(labels=False))
    scores = scorer.score(evidence)
    mine = ~kept.film.labeled
    order = np.argsort(pool.frames.frame)
    assert np.allclose(kept.known.false_positives[mine], scores.values[order], atol=1e-6)
    said, drawing = kept.told(0)
    assert said
    assert drawing["frame"] == 1


def columns(rooms: House) -> dict[str, np.ndarray]:
    kept = rooms.arrays.read("projects/1/evidence/000001")
    assert kept is not None
    return {name: value for name, value in kept.items() if "detection_" in name}


def test_the_page_shows_each_video_and_its_marks(client: TestClient, people: People, strips: House) -> None:
    people.log_in(client, "ada")
    page = client.get("/projects/1/video", headers=HTML)
    assert page.status_code == 200
    assert ">drive</h2>" in page.text
    assert "14 frames, 4 labeled" in page.text
    strip = re.search(r'<svg class="strip".*?</svg>', page.text, re.DOTALL)
    assert strip is not None
    assert strip[0].count("<a ") == 14
    assert strip[0].count('class="labeled"') == 4
    assert strip[0].count('class="queued"') == 1
    assert 'aria-hidden="true"' in strip[0]
    assert strip[0].count('tabindex="-1"') == 14, "the table below is the way in for the keyboard"
    worst = re.findall(r'aria-label="Frame (\d+) of drive"', page.text)
    kept = read_strips(strips.arrays, 1)
    assert kept is not None
    errors = kept.known.false_positives + kept.known.false_negatives
    free = [number for number in range(1, 15) if number not in (4, 8, 12, 13)]
    assert [int(number) for number in worst] == sorted(free, key=lambda number: -errors[number - 1])


def test_a_frame_labeled_since_is_marked(client: TestClient, people: People, strips: House) -> None:
    add(strips, 5, video="drive", frame=5, status="labeled", label="1 Bright", regions=[region()])
    people.log_in(client, "ada")
    page = client.get("/projects/1/video", headers=HTML)
    assert "14 frames, 5 labeled" in page.text


def test_a_frame_stands_between_its_neighbours_with_linked_boxes(
    client: TestClient, people: People, strips: House
) -> None:
    people.log_in(client, "ada")
    page = client.get("/projects/1/video/0/6", headers=HTML)
    assert page.status_code == 200
    assert re.findall(r"<figcaption>.*?Frame (\d+)", page.text) == ["4", "5", "6", "7", "8"]
    kept = read_strips(strips.arrays, 1)
    assert kept is not None
    _, drawing = kept.told(5)
    shown = [box for box in drawing["boxes"] if box["shown"]]
    own = re.search(r'<figure class="here">.*?</figure>', page.text, re.DOTALL)
    assert own is not None
    likely = sum(candidate["missed"] >= LIKELY for candidate in drawing["candidates"])
    assert own[0].count("<rect") == len(shown) + likely
    rows = {box["row"] for box in shown}
    near = [link for link in drawing["links"] if link["row"] in rows and abs(link["frame"] - 6) <= 2]
    assert page.text.count('class="box link" x="') - ('class="box link" x="2"' in page.text) == len(near)
    assert 'href="/projects/1/video/0/5" rel="prev"' in page.text


@pytest.mark.parametrize("path", ["/projects/1/video/7/6", "/projects/1/video/0/99", "/projects/1/video/0/x"])
def test_what_is_not_there_is_said(client: TestClient, people: People, strips: House, path: str) -> None:
    people.log_in(client, "ada")
    assert client.get(path, headers=HTML).status_code in (404, 422)


def test_a_long_video_shares_columns(client: TestClient, people: People, strips: House) -> None:
    for task in range(100, 100 + 3 * COLUMNS):
        add(strips, task, video="long", frame=task)
    pool = read_box_pool(strips, STUDIO, 1, CONFIG)
    keep_strips(strips, 1, pool, train_boxes(strips, 1, 2, PLAN, pool, CONFIG.classes).evidence)
    with strips.ledger.session() as session:
        session.get_one(Project, 1).live_version = "v2"
    people.log_in(client, "ada")
    page = client.get("/projects/1/video", headers=HTML)
    found = re.findall(r'<svg class="strip".*?</svg>', page.text, re.DOTALL)
    assert sorted(len(re.findall("<a ", strip)) for strip in found) == [14, COLUMNS]


def test_strips_go_when_the_videos_do(rooms: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_boxes, "make_detector", lambda _plan: Spots())
    pool = filled(rooms)
    learned = train_boxes(rooms, 1, 1, PLAN, pool, CONFIG.classes)
    keep_strips(rooms, 1, pool, learned.evidence)
    assert read_strips(rooms.arrays, 1) is not None
    for task in range(1, 15):
        add(rooms, task, video=None, frame=None)
    pool = read_box_pool(rooms, STUDIO, 1, CONFIG)
    keep_strips(rooms, 1, pool, train_boxes(rooms, 1, 2, PLAN, pool, CONFIG.classes).evidence)
    assert read_strips(rooms.arrays, 1) is None
