"""The steps of a cycle that differ by what a project asks: classes of images, boxes on them, or tracks in videos."""

from __future__ import annotations

from dataclasses import replace

from ml_backend.learners.detector import Progress
from ml_backend.loop import learning, learning_boxes, pool
from ml_backend.loop.box_pool import BoxPool, read_box_pool
from ml_backend.loop.house import House
from ml_backend.loop.learning import Learned
from ml_backend.loop.plan import Plan
from ml_backend.loop.pool import Pool
from ml_backend.loop.ranking import Ranking, rank
from ml_backend.loop.video_pool import VideoPool, read_video_pool
from ml_backend.loop.video_ranking import rank_videos
from ml_backend.studio.client import Studio
from ml_backend.studio.question import Question
from ml_backend.studio.regions.config import BoxesConfig, TimelineConfig, TracksConfig
from plugins.contract import IntArray

AnyPool = Pool | BoxPool | VideoPool


def read_pool(
    house: House,
    studio: Studio,
    project_id: int,
    question: Question,
    plan: Plan,
    progress: Progress | None = None,
) -> AnyPool:
    """Items whose media are at hand; unusable ones are left out (they stand among the project's problems)."""
    if isinstance(question, BoxesConfig):
        return read_box_pool(house, studio, project_id, question)
    if isinstance(question, (TracksConfig, TimelineConfig)):
        return read_video_pool(house, studio, project_id, question, plan.videos.frames_per_second, progress)
    return pool.read_pool(house, studio, project_id, question.classes)


def train(
    house: House,
    project_id: int,
    cycle: int,
    plan: Plan,
    items: AnyPool,
    classes: tuple[str, ...],
    progress: Progress | None = None,
) -> Learned:
    """Fits the plan's learner on the labels, and keeps model and evidence; of whole videos, that of their frames."""
    if isinstance(items, VideoPool):
        learned = train(house, project_id, cycle, plan, items.frames, items.classes, progress)
        if isinstance(items.frames, BoxPool):
            return learned
        return replace(learned, accuracy=None, notes=_unmeasured(learned))
    if isinstance(items, BoxPool):
        return learning_boxes.train_boxes(house, project_id, cycle, plan, items, classes, progress)
    return learning.train(house, project_id, cycle, plan, items, classes)


def recall(
    house: House, project_id: int, trained_in: int, plan: Plan, items: AnyPool, classes: tuple[str, ...]
) -> Learned | None:
    """The evidence of an earlier training on today's items, None where it is gone or does not fit."""
    if isinstance(items, VideoPool):
        return recall(house, project_id, trained_in, plan, items.frames, items.classes)
    if isinstance(items, BoxPool):
        return learning_boxes.recall_boxes(house, project_id, trained_in, plan, items, classes)
    return learning.recall(house, project_id, trained_in, plan, items, classes)


def _unmeasured(learned: Learned) -> tuple[str, ...]:
    """A learner of classes holds out single frames, which frames beside them in the same video give away."""
    said = "Accuracy is not measured: frames of one video are too alike to be held out from each other."
    return learned.notes if learned.accuracy is None else (*learned.notes, said)


def rank_items(items: AnyPool, learned: Learned, plan: Plan, *, last: IntArray | None = None) -> Ranking:
    """Orders what may be served; whole videos by their frames. Raises RankingError."""
    if isinstance(items, VideoPool):
        return rank_videos(learned.evidence, items, plan, last=last)
    return rank(learned.evidence, plan, labels=len(items.labeled_task_id), last=last)
