"""The tasks of a project of whole videos: each with its file, its sampled frames and their numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from sqlalchemy import Row, or_, select

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import Progress
from ml_backend.loop.box_pool import Ints
from ml_backend.loop.house import House
from ml_backend.loop.overrides import served
from ml_backend.loop.video_frames import Sampled, frames_of, numbers_at, sample
from ml_backend.store.ledger import note_problem, solve_problems
from ml_backend.store.tables import Item, Problem
from ml_backend.studio.client import Studio
from ml_backend.studio.regions.frame_rate import MOST_FRAMES
from ml_backend.studio.regions.reading import RegionError
from ml_backend.video.container import VideoError

STORE = "frames"  # in the data folder (MODEL_DIR)
PROBLEMS = ("video_undecodable", "video_damaged", "unreadable_regions")

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Video:
    """One task: its sampled frames, those that have a number of their own, and the numbers."""

    task_id: int
    status: str
    content: str
    fps: float
    regions: list[Any]
    sampled: Sampled
    rows: Ints  # (n,) of the sampled frames
    number: Ints  # (n,)

    @property
    def length(self) -> int:
        """Frames, as Label Studio counts them."""
        return frames_of(self.sampled, self.fps)


@dataclass(frozen=True, eq=False)
class Videos(Generic[T]):
    """Those that may be served, and the labeled ones with what people said in each."""

    waiting: list[Video]
    known: list[Video]
    said: list[T]


def read_videos(
    house: House,
    studio: Studio,
    project_id: int,
    frames_per_second: float,
    read: Callable[[Video], T],
    progress: Progress | None = None,
) -> Videos[T]:
    """Videos whose file is at hand and can be decoded; the others are named among the problems and left out.

    Frames that were not taken before are taken now; progress is told of videos, before each. read: the answer of a
    labeled video; it may raise RegionError.
    """
    media, store = house.videos(studio), house.settings.model_dir.absolute() / STORE
    rows = _rows(house, project_id)
    problems: dict[int, tuple[str, str]] = {}
    found: Videos[T] = Videos([], [], [])
    for done, row in enumerate(rows):
        if progress is not None:
            progress("videos looked at", done, len(rows))
        try:
            video = _video(row, media.path(row.content), frames_per_second, store)
            if row.status == "labeled":
                found.said.append(read(video))
            (found.known if row.status == "labeled" else found.waiting).append(video)
            if video.sampled.notes:
                problems[row.task_id] = "video_damaged", f"Task {row.task_id}: {video.sampled.notes[0]}"
        except VideoError as error:
            problems[row.task_id] = "video_undecodable", f"Task {row.task_id}: {error}"
        except RegionError as error:
            problems[row.task_id] = "unreadable_regions", f"Task {row.task_id}: {error}"
    _keep_problems(house, project_id, problems)
    return found


def _rows(house: House, project_id: int) -> list[Row[Any]]:
    with house.ledger.session() as session:
        query = select(Item.task_id, Item.content, Item.status, Item.regions, Item.fps).where(
            Item.project_id == project_id, Item.content.is_not(None), Item.fps.is_not(None), Item.status != "unusable"
        )
        query = query.where(or_(Item.status == "labeled", served(project_id)))
        return list(session.execute(query.order_by(Item.task_id)).all())


def _video(row: Row[Any], file: Path, frames_per_second: float, store: Path) -> Video:
    sampled = sample(file, row.content, frames_per_second, store)
    number = numbers_at(sampled.time, row.fps)
    rows = np.flatnonzero(np.diff(number, prepend=0) > 0)  # a picture between two of Label Studio's frames is not seen
    if number[rows[-1]] > MOST_FRAMES:
        raise VideoError(f"'{file}' has over {MOST_FRAMES} frames at {row.fps:g} a second; cut it into parts.")
    return Video(row.task_id, row.status, row.content, row.fps, row.regions or [], sampled, rows, number[rows])


def frame_ids(videos: list[Video]) -> Ints:
    """(N,) 63 bits of a hash: the same for a frame in every cycle, and another once its task shows another video.

    A million frames share one with a chance of one in ten million.
    """
    ids = [
        _frame_id(f"{video.task_id} {video.sampled.contents[row]} {number}")
        for video in videos
        for row, number in zip(video.rows.tolist(), video.number.tolist(), strict=True)
    ]
    return np.array(ids, dtype=np.int64)


def _frame_id(frame: str) -> int:
    return int.from_bytes(hashlib.blake2b(frame.encode(), digest_size=8).digest(), "big") >> 1


def frame_numbers(videos: list[Video]) -> Ints:
    """(N,) numbers within the videos."""
    return np.concatenate([np.zeros(0, np.int64), *(video.number for video in videos)])


def frame_images(videos: list[Video]) -> Images:
    contents = [video.sampled.contents[row] for video in videos for row in video.rows]
    return Images(contents, [video.sampled.files[row] for video in videos for row in video.rows])


def starts(videos: list[Video]) -> Ints:
    """(V + 1,) where the frames of each video begin."""
    return np.cumsum([0, *(len(video.number) for video in videos)], dtype=np.int64)


def _keep_problems(house: House, project_id: int, problems: dict[int, tuple[str, str]]) -> None:
    """Names what is wrong now, once, and solves what no longer is."""
    with house.ledger.session() as session:
        query = select(Problem.task_id, Problem.kind, Problem.message).where(
            Problem.project_id == project_id, Problem.kind.in_(PROBLEMS), Problem.solved_at.is_(None)
        )
        known = {(task_id, kind): message for task_id, kind, message in session.execute(query)}
        for task_id, kind in known:
            if problems.get(task_id, ("", ""))[0] != kind:
                solve_problems(session, project_id, kind, task_id)
        for task_id, (kind, message) in problems.items():
            if known.get((task_id, kind)) != message:
                note_problem(session, project_id, kind, message, task_id)
