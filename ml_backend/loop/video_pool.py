"""The pool and the labeled side of a project of whole videos: sampled frames, and the video that each belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_backend.learners.detector import Progress
from ml_backend.loop.box_pool import BoxPool, Ints
from ml_backend.loop.house import House
from ml_backend.loop.pool import Pool
from ml_backend.loop.video_items import Videos, frame_numbers, read_videos, starts
from ml_backend.loop.video_labels import NO_RANGE, box_frames, boxes_at, class_frames, classes_at
from ml_backend.studio.client import Studio
from ml_backend.studio.regions.config import TracksConfig, VideoConfig
from plugins.contract import FloatArray


@dataclass(frozen=True, eq=False)
class VideoPool:
    """task_id (V,) of the videos that may be served; frames: the sampled frames of these and of the labeled videos.

    first: (V + 1,) where each video's frames begin among the pool's. number: (N,) of the pool's frames. fps, length:
    (V,) rate and number of frames as Label Studio counts them. size: (V, 2) px. skipped: positions of videos that come
    last. classes: of the evidence; asked: how many of them, the first ones, the config offers.
    """

    task_id: Ints
    skipped: Ints
    labeled_task_id: Ints
    frames: Pool | BoxPool
    first: Ints
    number: Ints
    fps: FloatArray
    length: Ints
    size: Ints
    classes: tuple[str, ...]
    asked: int

    @property
    def counts(self) -> Ints:
        """(C,) of the classes that the config offers: boxes in the sampled frames of labeled videos, or frames."""
        return self.frames.counts[: self.asked]

    @property
    def video_of(self) -> Ints:
        """(N,) position of the video of each of the pool's frames."""
        return np.repeat(np.arange(len(self.task_id)), np.diff(self.first))


def read_video_pool(
    house: House,
    studio: Studio,
    project_id: int,
    config: VideoConfig,
    frames_per_second: float,
    progress: Progress | None = None,
) -> VideoPool:
    """Usable videos, their frames, and what people said on these (see `video_items.read_videos`)."""
    given = house, studio, project_id, frames_per_second
    if isinstance(config, TracksConfig):
        tracked = read_videos(*given, lambda video: boxes_at(video, config), progress)
        return _pool(tracked, box_frames(tracked, len(config.classes)), config.classes, len(config.classes))
    ranged = read_videos(*given, lambda video: classes_at(video, config), progress)
    classes = (*config.classes, NO_RANGE)
    return _pool(ranged, class_frames(ranged, len(classes)), classes, len(config.classes))


def _pool(videos: Videos[Any], frames: Pool | BoxPool, classes: tuple[str, ...], asked: int) -> VideoPool:
    waiting, known = videos.waiting, videos.known
    return VideoPool(
        task_id=np.array([video.task_id for video in waiting], dtype=np.int64),
        skipped=np.array([i for i, video in enumerate(waiting) if video.status == "skipped"], dtype=np.int64),
        labeled_task_id=np.array([video.task_id for video in known], dtype=np.int64),
        frames=frames,
        first=starts(waiting),
        number=frame_numbers(waiting),
        fps=np.array([video.fps for video in waiting], dtype=np.float64),
        length=np.array([video.length for video in waiting], dtype=np.int64),
        size=np.array([video.sampled.size for video in waiting], dtype=np.int64).reshape(-1, 2),
        classes=classes,
        asked=asked,
    )
