"""By which frame a page shows a whole video: the most doubtful one, else its first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml_backend.loop.house import House
from ml_backend.loop.stored_ranking import COVER, StoredRanking
from ml_backend.loop.video_frames import numbers_at, sampled_before
from ml_backend.loop.video_items import STORE
from ml_backend.store.tables import Item


@dataclass(frozen=True)
class Cover:
    """A sampled frame: its picture, the SHA-256 of that, and the number that Label Studio gives it."""

    file: Path
    content: str
    number: int


def cover_of(house: House, item: Item, ranking: StoredRanking | None, frames_per_second: float) -> Cover | None:
    """Of a task that is a video; None until its frames were taken at this rate. Nothing is decoded here.

    ranking: the live one, which knows the most doubtful frames.
    """
    if item.content is None or item.fps is None:
        return None
    sampled = sampled_before(item.content, frames_per_second, house.settings.model_dir.absolute() / STORE)
    if sampled is None:
        return None
    number, at = numbers_at(sampled.time, item.fps), 0
    rank = None if ranking is None else ranking.ranks.get(item.task_id)
    if ranking is not None and rank is not None and COVER in ranking.shown:
        at = int(np.abs(number - int(ranking.shown[COVER][rank])).argmin())
    return Cover(sampled.files[at], sampled.contents[at], int(number[at]))
