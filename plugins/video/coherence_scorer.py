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
from plugins.detections.columns import check_classes, check_finite, check_items, check_rows
from plugins.evidence import Array, Evidence
from plugins.video.explanation import drawing, explain
from plugins.video.footage import Footage, Side, footage
from plugins.video.footage_errors import Expected, Judge, errors_at, expected_errors, verdicts_on
from plugins.video.frame_errors import Mode
from plugins.video.frame_source import FrameSource, image_files
from plugins.video.grouping import totals
from plugins.video.shots import shots_of
from plugins.video.temporal_coherence import by_scores_alone
from plugins.video.tracker import Tracker
from plugins.video.verdicts import Verdicts

Counts = Literal["fp", "fn", "fp+fn"]
KEPT = 256  # frames whose boxes and links are kept between a reason and a drawing
SIDES = ("", "labeled_")
BOXES = ("item", "box", "score", "label", "shown")
PEOPLE = ("labeled_box_item", "labeled_box", "labeled_box_label")


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
    mode the number of labels of the cut. These are whole and often equal, so a fraction below 1, which grows with the
    sum of 1 - score over shown boxes, orders equal ones. A frame without a box is expected to have no wrong one.
    """

    name, title = "temporal_coherence", "Temporal coherence"
    summary = "Frames of videos whose boxes have no counterpart in the frames around come first."
    reference = "thesis ch. 2 (Zolfaghari Bengar et al., ICCVW 2019), Eq. 2.1-2.4; calibrated mode is ours"
    needs = frozenset(
        {
            "task_id",
            *(f"{side}{name}" for side in SIDES for name in ("video", "frame")),
            *(f"{side}detection_{name}" for side in SIDES for name in BOXES),
            *PEOPLE,
        }
    )
    optional = frozenset(f"{side}{name}" for side in SIDES for name in ("size", "path", "content"))

    def check_classes(self, classes: tuple[str, ...]) -> None:  # noqa: ARG002  # it is called when a plan is saved
        """PluginError where the settings name a tracker that does not exist, or settings that it does not have."""
        self._tracker()

    def score(self, evidence: Evidence) -> Scores:
        try:
            return self._score(evidence)
        except ValueError as error:
            raise PluginError(f"Scorer '{self.name}': {error}") from error

    def _score(self, evidence: Evidence) -> Scores:
        film = footage(_side(evidence, ""), _side(evidence, "labeled_"), evidence.task_id)
        tracker = self._tracker()
        if tracker.pixels:
            frames = _pictures(evidence, film)
            tracker.watch(frames, evidence.cache)
            film = film.with_shots(shots_of(film, frames, evidence.cache))
        chosen = self.config
        judge = Judge(tracker, chosen.mode, chosen.k, chosen.iou, chosen.cluster_iou, chosen.pairwise)
        verdicts = _verdicts(evidence, film)
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
            notes = (*notes, "No frame is labeled yet, so expected misses are rough; counts = fp is safer until then.")
        return notes


def _side(evidence: Evidence, prefix: str) -> Side:
    """Frames and boxes of the pool ("") or of what is labeled, after a look at every column."""
    who, classes = TemporalCoherence.name, len(evidence.classes)
    video, number = (evidence.column(f"{prefix}{name}") for name in ("video", "frame"))
    n = len(evidence) if not prefix else len(video)
    for name, column in ((f"{prefix}video", video), (f"{prefix}frame", number)):
        if column.shape != (n,):
            raise PluginError(f"Scorer '{who}' got {name} of shape {column.shape}; {n} images need {(n,)}.")
    if n and number.dtype.kind not in "iu":
        raise PluginError(f"Scorer '{who}' got {prefix}frame of type {number.dtype}; give whole numbers.")
    size = np.full((n, 2), np.nan)
    if evidence.has(f"{prefix}size"):
        given = evidence.column(f"{prefix}size")
        check_rows(who, f"{prefix}size", given, n, (2,), "images")
        check_finite(who, f"{prefix}size", given)
        size = np.where(given > 0, given, np.nan)  # 0 where nobody knows it
    item, box, score, label, shown = (evidence.column(f"{prefix}detection_{name}") for name in BOXES)
    check_items(who, f"{prefix}detection_item", item, n)
    for name, column, width in (("box", box, (4,)), ("score", score, ()), ("label", label, ()), ("shown", shown, ())):
        check_rows(who, f"{prefix}detection_{name}", column, len(item), width)
    check_finite(who, f"{prefix}detection_box", box)
    check_finite(who, f"{prefix}detection_score", score)
    check_classes(who, f"{prefix}detection_label", label, classes)
    return Side(video, number, size, item, box, score, label, shown.astype(bool, copy=False))


def _verdicts(evidence: Evidence, film: Footage) -> Verdicts | None:
    """What people found, None where no frame is labeled."""
    item, box, label = (evidence.column(name) for name in PEOPLE)
    who, labeled = TemporalCoherence.name, len(film) - film.pool
    check_items(who, PEOPLE[0], item, labeled)
    check_rows(who, PEOPLE[1], box, len(item), (4,))
    check_rows(who, PEOPLE[2], label, len(item))
    check_finite(who, PEOPLE[1], box)
    return verdicts_on(film, item, box, label) if labeled else None


def _pictures(evidence: Evidence, film: Footage) -> FrameSource:
    """The files of all frames, by video and number."""
    for name in ("path", "content"):
        for side in SIDES:
            if not evidence.has(f"{side}{name}"):
                raise PluginError(
                    f"Scorer '{TemporalCoherence.name}' needs '{side}{name}' for a tracker that reads pixels; "
                    "choose the tracker 'linear'."
                )
    path, content = (
        np.concatenate([evidence.column(f"{side}{name}").astype(np.str_) for side in SIDES])[film.row]
        for name in ("path", "content")
    )
    return image_files(film.names[film.video], film.number, path, content)


def _doubt(film: Footage) -> FloatArray:
    """(F,) sum of 1 - score over the shown boxes of each frame."""
    doubt: Array = np.zeros(len(film))
    for start, end in film.stretches():
        detections, shown = film.detections(start, end), film.shown(start, end)
        weight = np.where(shown & ~detections.dropped, np.maximum(1 - detections.score, 0), 0)
        doubt[start:end] = totals(detections.frame, weight, end - start)
    return doubt
