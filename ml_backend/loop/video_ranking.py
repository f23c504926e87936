"""Ranking whole videos: scorers give values to sampled frames, and a video is worth what its best frames are worth."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ml_backend.loop.box_pool import BoxPool
from ml_backend.loop.plan import Plan, WholeVideos
from ml_backend.loop.ranking import (
    Column,
    Ranking,
    RankingError,
    joined_notes,
    put_last,
    score_columns,
    why_blind,
)
from ml_backend.loop.stored_ranking import COVER
from ml_backend.loop.video_pool import VideoPool
from ml_backend.loop.video_predicted import video_arrays
from ml_backend.loop.video_ranges import range_arrays
from ml_backend.loop.video_values import floor_of, in_words, standing_out, stretches, video_values
from ml_backend.store.arrays import Arrays
from plugins.combination import combine, percentile_ranks
from plugins.contract import FloatArray, IntArray, Scores
from plugins.evidence import Evidence, uniform_by_id


def rank_videos(evidence: Evidence, pool: VideoPool, plan: Plan, *, last: IntArray | None = None) -> Ranking:
    """Orders the videos of a pool by value; a selector has no part in it. Raises RankingError.

    evidence: of the pool's sampled frames. last: positions of videos that must come last.
    """
    batch = plan.batch_size(len(evidence.classes), len(pool.labeled_task_id))
    if why_blind(evidence, np.asarray(evidence.counts)) is not None:
        order = np.argsort(uniform_by_id(pool.task_id, plan.seed + 1), kind="stable")
        first = (
            "labeled video that has a box" if isinstance(pool.frames, BoxPool) else "range that is not a whole video"
        )
        note = f"Random queue: the model learns from the first {first}."
        return Ranking(put_last(order, last), "random", batch, notes=(note,))
    frames, problems = score_columns(evidence, plan)
    if not frames:
        raise RankingError(f"No scorer could speak: {'; '.join(problems.values())}")
    columns = tuple(_of_videos(column, pool, plan.videos) for column in frames)
    values = columns[0].scores.values
    if len(columns) > 1:
        values = combine([(column.scores.values, column.weight) for column in columns])
    order = np.lexsort((uniform_by_id(pool.task_id, plan.seed), -values))
    return Ranking(
        put_last(order, last),
        "scored",
        batch,
        columns,
        notes=joined_notes(frames, *_left_out(plan)),
        problems=problems,
        shows=_shows(evidence, pool, _mixed(frames), plan.videos),
    )


def _shows(
    evidence: Evidence, pool: VideoPool, values: FloatArray, chosen: WholeVideos
) -> Callable[[IntArray], Arrays]:
    """What predictions are made of, and by which frame a page shows each video. values: (N,) of the pool's frames."""
    made: Callable[[IntArray], Arrays] = partial(range_arrays, evidence, pool)
    if isinstance(pool.frames, BoxPool):
        made = partial(video_arrays, evidence, pool, _doubtful(values, pool, chosen), chosen.tolerance_px)
    parts = zip(pool.first[:-1].tolist(), pool.first[1:].tolist(), strict=True)
    most = np.array([low + int(values[low:high].argmax()) for low, high in parts], dtype=np.int64)
    return lambda order: {**made(order), COVER: pool.number[most[order]]}


def _left_out(plan: Plan) -> tuple[str, ...]:
    """What the plan says and a queue of videos cannot do; a plan that is saved for one does not say it."""
    if plan.selector.name == "top" and plan.cold_start is None:
        return ()
    return ("Whole videos are ranked by value alone; the plan's selector and cold start are for images and frames.",)


def _of_videos(column: Column, pool: VideoPool, chosen: WholeVideos) -> Column:
    """One scorer's part, from frames to videos."""
    values = video_values(column.scores.values, pool.first, chosen.best, chosen.over)
    reason = _reasons(column.scores, pool, chosen.best)
    return Column(column.name, column.weight, Scores(values, reason, column.scores.notes), percentile_ranks(values))


def _reasons(scores: Scores, pool: VideoPool, best: int) -> Callable[[int], str]:
    """Where to look in a video, and what the scorer says of its most doubtful frame."""
    floor, number = floor_of(scores.values), pool.number

    def reason(video: int) -> str:
        low, high = int(pool.first[video]), int(pool.first[video + 1])
        values = scores.values[low:high]
        places = standing_out(values, floor, best)
        most = low + int(values.argmax())
        said = f"frame {number[most]}: {scores.reason(most)}"
        if not len(places):
            return f"no frame stands out; {said}"
        spans = [(int(number[low + start]), int(number[low + end])) for start, end in stretches(places)]
        return f"look at {in_words(spans)}; {said}"

    return reason


def _mixed(frames: tuple[Column, ...]) -> FloatArray:
    """(N,) how much the pool's frames are worth under all scorers together."""
    if len(frames) == 1:
        return frames[0].scores.values
    return combine([(column.scores.values, column.weight) for column in frames])


def _doubtful(values: FloatArray, pool: VideoPool, chosen: WholeVideos) -> NDArray[np.bool_]:
    """(N,) the frames that a prediction points at."""
    marked, floor = np.zeros(len(values), dtype=bool), floor_of(values)
    for low, high in zip(pool.first[:-1].tolist(), pool.first[1:].tolist(), strict=True):
        marked[low + standing_out(values[low:high], floor, chosen.best)] = True
    return marked
