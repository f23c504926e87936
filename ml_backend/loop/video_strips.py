"""What is expected of every frame of every video, kept at each ranking so that a page can draw it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.loop.box_pool import BoxPool
from ml_backend.loop.house import House
from ml_backend.store.arrays import Arrays, ArrayStore
from plugins.evidence import Evidence
from plugins.video.calibrated import Calibration
from plugins.video.coherence_columns import film_of
from plugins.video.explanation import drawing, explain
from plugins.video.footage import Footage, Side, footage
from plugins.video.footage_errors import Expected, Judge, errors_at, expected_errors
from plugins.video.motion import Linear
from plugins.video.ranks import ScoreRanks

WHO = "the strips of videos"
SIDE = ("video", "number", "size", "item", "box", "score", "label", "shown")
PREFIXES = ("pool_", "labeled_")


def strips_key(project_id: int) -> str:
    return f"projects/{project_id}/strips/newest"


@dataclass(frozen=True, eq=False)
class Strips:
    """film: all frames, sorted. task_id: (F,). false_positives, false_negatives: (F,) expected. classes: (C,) names."""

    film: Footage
    task_id: NDArray[np.int64]
    known: Expected
    classes: tuple[str, ...]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(V + 1,) where each video's frames begin."""
        return np.searchsorted(self.film.video, np.arange(len(self.film.names) + 1))

    def place(self, video: int, frame: int) -> int | None:
        """Position of a frame of a video; None where it is not there."""
        low, high = int(self.starts[video]), int(self.starts[video + 1])
        at = low + int(np.searchsorted(self.film.number[low:high], frame))
        return at if at < high and int(self.film.number[at]) == frame else None

    def told(self, place: int) -> tuple[str, dict[str, Any]]:
        """One sentence on a frame, and its boxes, links and candidates as `plugins.video.explanation.drawing`."""
        errors, detections, at = errors_at(self.film, JUDGE, self.known, place)
        return explain(errors, detections, at), drawing(errors, detections, at)


JUDGE = Judge(Linear())


def keep_strips(house: House, project_id: int, pool: BoxPool, evidence: Evidence) -> None:
    """Estimates the errors of every frame from how detections agree over time, whatever the plan ranks by.

    Nothing is kept, and what was kept is deleted, where there are no videos or no detector.
    """
    if not (pool.in_videos and evidence.has("detection_score")):
        house.arrays.delete(strips_key(project_id))
        return
    film = film_of(WHO, evidence)
    found = expected_errors(film, JUDGE, None)
    arrays: Arrays = {
        "task_id": np.asarray(pool.task_id),
        "labeled_task_id": np.asarray(pool.labeled_task_id),
        "false_positives": found.false_positives.astype(np.float32),
        "false_negatives": found.false_negatives.astype(np.float32),
        "by_score": found.by_score,
        "classes": np.array(evidence.classes, dtype=np.str_),
    }
    for prefix, side in zip(PREFIXES, film.sides, strict=True):
        arrays |= {f"{prefix}{name}": np.asarray(getattr(side, name)) for name in SIDE}
    house.arrays.write(strips_key(project_id), arrays)


def read_strips(arrays: ArrayStore, project_id: int) -> Strips | None:
    """Those of the newest ranking; None where there are no videos, or nothing was detected yet."""
    kept = arrays.read(strips_key(project_id))
    if kept is None:
        return None
    pool, labeled = (Side(**{name: kept[f"{prefix}{name}"] for name in SIDE}) for prefix in PREFIXES)
    film = footage(pool, labeled, kept["task_id"])
    ranks = ScoreRanks.of([(np.concatenate([pool.score, labeled.score]), np.concatenate([pool.label, labeled.label]))])
    known = Expected(
        kept["false_positives"].astype(np.float64),
        kept["false_negatives"].astype(np.float64),
        kept["by_score"],
        Calibration(ranks),
        0,
    )
    task_id = np.concatenate([kept["task_id"], kept["labeled_task_id"]])[film.row]
    return Strips(film, task_id, known, tuple(kept["classes"].tolist()))
