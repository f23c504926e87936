"""Small videos of bright spots that move, people's tracks of them, and a ledger that holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_backend.loop import learning_boxes
from ml_backend.loop.box_pool import BoxPool
from ml_backend.loop.by_question import rank_items, train
from ml_backend.loop.house import House
from ml_backend.loop.learning import Learned
from ml_backend.loop.plan import (
    ChosenScorer,
    ChosenSelector,
    Plan,
)
from ml_backend.loop.ranking import Ranking
from ml_backend.loop.video_pool import VideoPool, read_video_pool
from ml_backend.settings import Settings
from ml_backend.store.tables import Item, Problem, Project
from ml_backend.studio.client import Studio
from ml_backend.studio.regions.config import TimelineConfig, TracksConfig
from tests.loop.spots import Spots
from tests.video.mp4 import jpeg, write_mp4

SIZE = (96, 48)  # width, height in px
FPS = 25
CLASSES = ("Dim", "Bright")
TIMELINE = TimelineConfig("where", "video", "video", ("Rain", "Doubtful"), "$fps")
QUESTION = TracksConfig("box", "video", "video", CLASSES, "$fps")
WITH_TIMELINE = TracksConfig("box", "video", "video", CLASSES, "$fps", TIMELINE)
XML = (
    '<View><Labels name="label" toName="video"><Label value="Dim"/><Label value="Bright"/></Labels>'
    '<TimelineLabels name="where" toName="video"><Label value="Rain"/><Label value="Doubtful"/></TimelineLabels>'
    '<Video name="video" value="$video" frameRate="$fps"/><VideoRectangle name="box" toName="video"/></View>'
)

Spot = Callable[[int], tuple[int, int, int] | None]  # frame from 1 -> x and y of a spot's corner, and its grey level


def moving(x: int, y: int, grey: int, step: float = 0.4, frames: range = range(1, 10_000)) -> Spot:
    """A spot that is seen in some frames and moves to the right."""
    return lambda frame: (round(x + step * (frame - 1)), y, grey) if frame in frames else None


def flickering(x: int, y: int, grey: int, seen: Sequence[int]) -> Spot:
    return lambda frame: (x, y, grey) if frame in seen else None


def write_video(path: Path, frames: int, *spots: Spot, milliseconds: int = 1000 // FPS) -> Path:
    """A MP4 of spots, 12 px wide and 10 px high."""
    pictures = []
    for frame in range(1, frames + 1):
        canvas = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        for spot in spots:
            if (place := spot(frame)) is not None:
                x, y, grey = place
                canvas[y : y + 10, x : x + 12] = grey
        pictures.append(jpeg(canvas))
    write_mp4(path, pictures, [milliseconds] * frames, SIZE)
    return path


def track(
    name: str, keyframes: Sequence[tuple[int, float, bool]], *, y: float = 10, label: str = "Bright", frames: int = 50
) -> dict[str, Any]:
    """A region as the editor writes it. keyframes: frame, x in px, enabled."""
    sequence = [
        {
            "frame": frame,
            "enabled": enabled,
            "time": frame / FPS,
            "rotation": 0,
            "x": x / SIZE[0] * 100,
            "y": y / SIZE[1] * 100,
            "width": 12 / SIZE[0] * 100,
            "height": 10 / SIZE[1] * 100,
        }
        for frame, x, enabled in keyframes
    ]
    value = {"framesCount": frames, "duration": frames / FPS, "labels": [label], "sequence": sequence}
    return {"id": name, "from_name": "box", "to_name": "video", "type": "videorectangle", "value": value}


PLAN = Plan(
    scorers=(ChosenScorer(name="detection_entropy", config={"over": "sum"}),),
    selector=ChosenSelector(name="top"),
    cold_start=None,
    control=0,
)
STUDIO = Studio("http://127.0.0.1:1", "token")


@pytest.fixture
def spots(monkeypatch: pytest.MonkeyPatch) -> Spots:
    detector = Spots()
    monkeypatch.setattr(learning_boxes, "make_detector", lambda _plan: detector)
    return detector


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(Settings(_env_file=None, model_dir=tmp_path / "data"))
    with house.ledger.session() as session:
        session.add(Project(id=1, studio_url="u", studio_id=1, key="1.1", webhook_secret="s", label_config=XML))
    return house


def add(house: House, tmp: Path, task: int, frames: int, *spots: Any, **fields: Any) -> str:
    """A task whose video is at hand."""
    file = write_video(tmp / f"{task}.mp4", frames, *spots)
    content = hashlib.sha256(file.read_bytes()).hexdigest()
    path = house.videos(STUDIO).path(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(file)
    with house.ledger.session() as session:
        answer = {"status": "unlabeled", "label": None, "regions": None, "fps": float(FPS), **fields}
        session.merge(Item(project_id=1, task_id=task, url="u", content=content, **answer))
    return content


LABELED = [track("a", [(1, 4, True), (26, 29, True), (40, 43, False)]), track("b", [(20, 60, False)], label="Dim")]


def filled(house: House, tmp: Path) -> VideoPool:
    """Task 3 is the most doubtful: a dim spot flickers. Task 5 was skipped; 2 and 6 are labeled, 6 as empty."""
    add(house, tmp, 1, 50, moving(2, 10, 250))
    add(house, tmp, 2, 50, moving(4, 10, 250), status="labeled", label="1 Bright, 1 Dim", regions=LABELED)
    add(house, tmp, 3, 50, moving(2, 10, 250), flickering(70, 30, 120, range(24, 45)))
    add(house, tmp, 4, 25, moving(2, 20, 200))
    add(house, tmp, 5, 50, moving(2, 20, 250), status="skipped")
    add(house, tmp, 6, 25, status="labeled", label="nothing", regions=[])
    return read_video_pool(house, STUDIO, 1, QUESTION, 2.0)


def frames_of(pool: VideoPool) -> BoxPool:
    assert isinstance(pool.frames, BoxPool)
    return pool.frames


def ranked(house: House, pool: VideoPool, plan: Plan = PLAN) -> tuple[Learned, Ranking]:
    learned = train(house, 1, 1, plan, pool, CLASSES)
    return learned, rank_items(pool, learned, plan, last=pool.skipped)


def problems(house: House) -> dict[int, str]:
    with house.ledger.session() as session:
        return {row.task_id: row.kind for row in session.query(Problem).filter(Problem.solved_at.is_(None))}
