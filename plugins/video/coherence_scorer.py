"""Temporal coherence: ask about the frames with the most boxes that the frames around do not bear out.

Objects last and mistakes flicker, so the detections of a video's other frames, labeled ones included, tell which boxes
of a frame are probably wrong and where one is probably missing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import Field

from plugins import registry
from plugins.contract import FloatArray, PluginConfig, PluginError, Scorer, Scores
from plugins.evidence import Array, Evidence
from plugins.video.coherence_columns import NEEDS, OPTIONAL, film_of, pictures_of, verdicts_of
from plugins.video.explanation import drawing, explain
from plugins.video.footage import Footage
from plugins.video.footage_errors import Expected, Judge, errors_at, expected_errors
from plugins.video.frame_errors import Mode
from plugins.video.grouping import totals
from plugins.video.shots import shots_of
from plugins.video.temporal_coherence import by_scores_alone
from plugins.video.tracker import Tracker
from plugins.video.verdicts import Verdicts

Counts = Literal["fp", "fn", "fp+fn"]
KEPT = 256  # frames whose boxes and links are kept between a reason and a drawing


class TemporalCoherenceConfig(PluginConfig):
    """What is counted, and how boxes are linked."""

    counts: Counts = Field(
        "fp",
        description="What is expected of a frame: wrong boxes, missed objects, or both; misses are rough until some "
        "frames are labeled.",
    )
    mode: Mode = Field(
        "calibrated",
        description="calibrated weighs scores and links into probabilities and learns from labels; thesis is the "
        "binary cut of the paper, which reads neither.",
    )
    labels: bool = Field(
        True,
        description="Of calibrated mode: whether what people drew corrects the estimate. Frames that the "
        "detector learned from do not count where it says which, since it knows these by heart.",
    )
    tracker: str = Field(
        "linear",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="Name of the tracker that moves boxes to the frames around: linear and still read no pixels; flow "
        "reads the frames, once for all cycles.",
    )
    tracker_settings: dict[str, Any] = Field(
        {}, description="Settings of that tracker by name; its defaults where nothing is given."
    )
    k: int = Field(
        3,
        ge=1,
        le=30,
        description="Frames looked at on either side; more tells better at high frame rates, and costs more.",
    )
    iou: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="IoU (no unit) above which two boxes are one object; lower links more, also strangers.",
    )
    cluster_iou: float = Field(
        0.75,
        gt=0,
        lt=1,
        description="IoU (no unit) above which moved boxes without a counterpart are one possible miss; higher leaves "
        "more of them.",
    )
    pairwise: int = Field(
        1,
        ge=0,
        le=100,
        description="Of thesis mode: cost of a link whose ends disagree (no unit); more makes whole tracks right or "
        "wrong, 2 is what the published code amounts to.",
    )


def with_ties_broken(counts: FloatArray, doubt: FloatArray) -> FloatArray:
    """(F,) whole counts plus a fraction below 1 that grows with (F,) doubt >= 0, so that it orders equal counts alone.

    >>> with_ties_broken(np.array([2.0, 1.0, 2.0]), np.array([0.0, 9.0, 1.0])).tolist()
    [2.0, 1.9, 2.5]
    """
    return np.asarray(counts + doubt / (1 + doubt))


class TemporalCoherence(Scorer[TemporalCoherenceConfig]):
    """values: expected number of wrong boxes (of missed objects, or of both) among those that are shown.

    In calibrated mode the sum of the boxes' probabilities, with coefficients fitted to the labeled frames; in thesis
    mode the number of such labels of the cut. These are whole and often equal, so a fraction below 1, which grows with
    the sum of 1 - score over shown boxes, orders equal ones. A frame without a box is expected to have no wrong one.
    """

    name, title = "temporal_coherence", "Temporal coherence"
    summary = "Frames of videos whose boxes have no counterpart in the frames around come first."
    reference = "thesis ch. 2 (Zolfaghari Bengar et al., ICCVW 2019), Eq. 2.1-2.4; calibrated mode is ours"
    needs, optional = NEEDS, OPTIONAL

    def check_classes(self, classes: tuple[str, ...]) -> None:  # noqa: ARG002  # it is called when a plan is saved
        """PluginError where the settings name a tracker that does not exist, or settings that it does not have."""
        self._tracker()

    def score(self, evidence: Evidence) -> Scores:
        try:
            return self._score(evidence)
        except ValueError as error:
            raise PluginError(f"Scorer '{self.name}': {error}") from error

    def _score(self, evidence: Evidence) -> Scores:
        film = film_of(self.name, evidence)
        tracker = self._tracker()
        if tracker.pixels:
            frames = pictures_of(self.name, evidence, film)
            tracker.watch(frames, evidence.cache)
            film = film.with_shots(shots_of(film, frames, evidence.cache))
        chosen = self.config
        judge = Judge(tracker, chosen.mode, chosen.k, chosen.iou, chosen.cluster_iou, chosen.pairwise)
        verdicts = verdicts_of(self.name, evidence, film) if chosen.labels else None
        known = expected_errors(film, judge, verdicts)
        counts = known.false_positives if chosen.counts == "fp" else known.false_negatives
        if chosen.counts == "fp+fn":
            counts = known.false_positives + known.false_negatives
        if chosen.mode == "thesis":
            counts = with_ties_broken(counts, _doubt(film))
        mine = film.row < film.pool
        place, values = np.empty(film.pool, dtype=np.int64), np.empty(film.pool)
        place[film.row[mine]] = np.flatnonzero(mine)
        values[film.row[mine]] = counts[mine]

        @lru_cache(maxsize=KEPT)
        def seen(item: int) -> tuple[str, dict[str, Any]]:
            errors, detections, at = errors_at(film, judge, known, int(place[item]))
            return explain(errors, detections, at), drawing(errors, detections, at)

        notes = self._notes(film, known, verdicts)
        return Scores(values, reason=lambda i: seen(i)[0], notes=notes, drawing=lambda i: seen(i)[1])

    def _tracker(self) -> Tracker[Any]:
        tracker: Tracker[Any] = registry.make("tracker", self.config.tracker, self.config.tracker_settings)
        return tracker

    def _notes(self, film: Footage, known: Expected, verdicts: Verdicts | None) -> tuple[str, ...]:
        notes = by_scores_alone(film.video, known.by_score)
        if known.dropped:
            notes = (
                *notes,
                f"{known.dropped} of {len(film.box_row)} boxes have no area inside their image and do not count.",
            )
        if verdicts is None and self.config.counts != "fp" and self.config.mode == "calibrated":
            notes = (
                *notes,
                "No labels correct the expected misses, which are rough; counts = fp is safer until they do.",
            )
        return notes


def _doubt(film: Footage) -> FloatArray:
    """(F,) sum of 1 - score over the shown boxes of each frame."""
    doubt: Array = np.zeros(len(film))
    for start, end in film.stretches():
        detections, shown = film.detections(start, end), film.shown(start, end)
        weight = np.where(shown & ~detections.dropped, np.maximum(1 - detections.score, 0), 0)
        doubt[start:end] = totals(detections.frame, weight, end - start)
    return doubt
