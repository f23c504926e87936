"""The pool and the labeled side of a project of whole videos: sampled frames, and the video that each belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Row, or_, select

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes, Progress
from ml_backend.loop.box_pool import BoxPool, Frames, Ints
from ml_backend.loop.house import House
from ml_backend.loop.overrides import served
from ml_backend.loop.video_frames import Sampled, frames_of, numbers_at, sample
from ml_backend.store.ledger import note_problem, solve_problems
from ml_backend.store.tables import Item, Problem
from ml_backend.studio.client import Studio
from ml_backend.studio.regions.config import TracksConfig
from ml_backend.studio.regions.frame_rate import MOST_FRAMES
from ml_backend.studio.regions.reading import RegionError
from ml_backend.studio.regions.tracks import tracks_of
from ml_backend.video.container import VideoError
from plugins.contract import FloatArray

STORE = "frames"  # in the data folder (MODEL_DIR)
SPAN = 1 << 20  # numbers that are kept for the frames of one task; more than MOST_FRAMES
PROBLEMS = ("video_undecodable", "video_damaged", "unreadable_tracks")


@dataclass(frozen=True, eq=False)
class VideoPool:
    """task_id (V,) of the videos that may be served; frames: the sampled frames of these and of the labeled videos.

    first: (V + 1,) where each video's frames begin among the pool's. fps, length: (V,) rate and number of frames as
    Label Studio counts them. size: (V, 2) px. skipped: positions of videos that come last.
    """

    task_id: Ints
    skipped: Ints
    labeled_task_id: Ints
    frames: BoxPool
    first: Ints
    fps: FloatArray
    length: Ints
    size: Ints

    @property
    def counts(self) -> Ints:
        """(C,) boxes in the sampled frames of labeled videos."""
        return self.frames.counts

    @property
    def video_of(self) -> Ints:
        """(N,) position of the video of each of the pool's frames."""
        return np.repeat(np.arange(len(self.task_id)), np.diff(self.first))


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


def read_video_pool(
    house: House,
    studio: Studio,
    project_id: int,
    config: TracksConfig,
    frames_per_second: float,
    progress: Progress | None = None,
) -> VideoPool:
    """Videos whose file is at hand and can be decoded; the others are named among the problems and left out.

    Frames that were not taken before are taken now; progress is told of videos, before each.
    """
    media, store = house.videos(studio), house.settings.model_dir.absolute() / STORE
    columns = (Item.task_id, Item.content, Item.status, Item.regions, Item.fps)
    with house.ledger.session() as session:
        query = select(*columns).where(
            Item.project_id == project_id, Item.content.is_not(None), Item.fps.is_not(None), Item.status != "unusable"
        )
        query = query.where(or_(Item.status == "labeled", served(project_id)))
        rows = session.execute(query.order_by(Item.task_id)).all()
    problems: dict[int, tuple[str, str]] = {}
    videos, drawn = [], {}
    for done, row in enumerate(rows):
        if progress is not None:
            progress("videos looked at", done, len(rows))
        try:
            video = _video(row, media.path(row.content), frames_per_second, store)
            if row.status == "labeled":
                drawn[row.task_id] = boxes_at(video, config)
        except VideoError as error:
            problems[row.task_id] = "video_undecodable", f"Task {row.task_id}: {error}"
        except RegionError as error:
            problems[row.task_id] = "unreadable_tracks", f"Task {row.task_id}: {error}"
        else:
            videos.append(video)
            if video.sampled.notes:
                problems[row.task_id] = "video_damaged", f"Task {row.task_id}: {video.sampled.notes[0]}"
    _keep_problems(house, project_id, problems)
    waiting = [video for video in videos if video.status in ("unlabeled", "skipped")]
    known = [video for video in videos if video.status == "labeled"]
    return make_video_pool(waiting, known, [drawn[video.task_id] for video in known], len(config.classes))


def _video(row: Row[Any], file: Path, frames_per_second: float, store: Path) -> Video:
    sampled = sample(file, row.content, frames_per_second, store)
    number = numbers_at(sampled.time, row.fps)
    rows = np.flatnonzero(np.diff(number, prepend=0) > 0)  # a picture between two of Label Studio's frames is not seen
    if number[rows[-1]] > MOST_FRAMES:
        raise VideoError(f"'{file}' has over {MOST_FRAMES} frames at {row.fps:g} a second; cut it into parts.")
    return Video(row.task_id, row.status, row.content, row.fps, row.regions or [], sampled, rows, number[rows])


def boxes_at(video: Video, config: TracksConfig) -> LabeledBoxes:
    """What people drew on the frames of a video, boxes between keyframes included; frames without one are empty.

    Raises RegionError.
    """
    item, box, label = [np.zeros(0, np.int64)], [np.zeros((0, 4))], [np.zeros(0, np.int64)]
    for track in tracks_of({"result": video.regions}, config, *video.sampled.size).tracks:
        at = np.searchsorted(video.number, track.frame)
        there = np.flatnonzero(video.number[np.minimum(at, len(video.number) - 1)] == track.frame)
        item.append(at[there])
        box.append(track.box[there])
        label.append(np.full(len(there), track.label))
    items = np.concatenate(item)
    order = np.argsort(items, kind="stable")
    return LabeledBoxes(items[order], np.concatenate(box)[order], np.concatenate(label)[order])


def make_video_pool(waiting: list[Video], known: list[Video], drawn: list[LabeledBoxes], classes: int) -> VideoPool:
    """Arrays of videos in the order of their task ids. drawn: boxes on the frames of each known video."""
    starts = np.concatenate([[0], np.cumsum([len(video.number) for video in known])]).astype(np.int64)
    boxes = LabeledBoxes(
        np.concatenate([np.zeros(0, np.int64), *(one.item + at for one, at in zip(drawn, starts, strict=False))]),
        np.concatenate([np.zeros((0, 4)), *(one.box for one in drawn)]),
        np.concatenate([np.zeros(0, np.int64), *(one.label for one in drawn)]),
    )
    frames = BoxPool(
        task_id=_frame_ids(waiting),
        images=_images(waiting),
        frames=_frames(waiting),
        skipped=np.zeros(0, dtype=np.int64),
        labeled_task_id=_frame_ids(known),
        labeled_images=_images(known),
        labeled_frames=_frames(known),
        boxes=boxes,
        counts=np.bincount(boxes.label, minlength=classes).astype(np.int64),
        in_videos=True,
    )
    return VideoPool(
        task_id=np.array([video.task_id for video in waiting], dtype=np.int64),
        skipped=np.array([i for i, video in enumerate(waiting) if video.status == "skipped"], dtype=np.int64),
        labeled_task_id=np.array([video.task_id for video in known], dtype=np.int64),
        frames=frames,
        first=np.concatenate([[0], np.cumsum([len(video.number) for video in waiting])]).astype(np.int64),
        fps=np.array([video.fps for video in waiting], dtype=np.float64),
        length=np.array([frames_of(video.sampled, video.fps) for video in waiting], dtype=np.int64),
        size=np.array([video.sampled.size for video in waiting], dtype=np.int64).reshape(-1, 2),
    )


def _frame_ids(videos: list[Video]) -> Ints:
    """Distinct, and the same for a frame in every cycle, whatever other frames there are."""
    return np.concatenate([np.zeros(0, np.int64), *(video.task_id * SPAN + video.number for video in videos)])


def _images(videos: list[Video]) -> Images:
    contents = [video.sampled.contents[row] for video in videos for row in video.rows]
    return Images(contents, [video.sampled.files[row] for video in videos for row in video.rows])


def _frames(videos: list[Video]) -> Frames:
    count = [len(video.number) for video in videos]
    size = np.array([video.sampled.size for video in videos], dtype=np.int64).reshape(-1, 2)
    names = np.array([f"video {video.content[:12]}" for video in videos], dtype=np.str_)
    number = np.concatenate([np.zeros(0, np.int64), *(video.number for video in videos)])
    return Frames(np.repeat(size, count, axis=0), np.repeat(names, count), number)


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
