"""Evidence columns of boxes on frames as footage, verdicts and pictures, checked at the door."""

from __future__ import annotations

import numpy as np

from plugins.contract import PluginError
from plugins.detections.columns import check_classes, check_finite, check_items, check_rows
from plugins.evidence import Evidence
from plugins.video.footage import Footage, Side, footage
from plugins.video.footage_errors import verdicts_on
from plugins.video.frame_source import FrameSource, image_files
from plugins.video.verdicts import Verdicts

SIDES = ("", "labeled_")
BOXES = ("item", "box", "score", "label", "shown")
PEOPLE = ("labeled_box_item", "labeled_box", "labeled_box_label")
NEEDS = frozenset(
    {
        "task_id",
        *(f"{side}{name}" for side in SIDES for name in ("video", "frame")),
        *(f"{side}detection_{name}" for side in SIDES for name in BOXES),
        *PEOPLE,
    }
)
OPTIONAL = frozenset({"labeled_held", *(f"{side}{name}" for side in SIDES for name in ("size", "path", "content"))})


def film_of(who: str, evidence: Evidence) -> Footage:
    """Pool and labeled frames with the boxes detected on them; PluginError that names scorer `who`."""
    return footage(_side(who, evidence, ""), _side(who, evidence, "labeled_"), evidence.task_id)


def _side(who: str, evidence: Evidence, prefix: str) -> Side:
    """Frames and boxes of the pool ("") or of what is labeled, after a look at every column."""
    classes = len(evidence.classes)
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


def verdicts_of(who: str, evidence: Evidence, film: Footage) -> Verdicts | None:
    """What people found on labeled frames, None where there is none.

    Where `labeled_held` says which of them the detector never learned from, on these alone: it knows the others by
    heart, and would look better than it is everywhere else.
    """
    item, box, label = (evidence.column(name) for name in PEOPLE)
    labeled = len(film) - film.pool
    check_items(who, PEOPLE[0], item, labeled)
    check_rows(who, PEOPLE[1], box, len(item), (4,))
    check_rows(who, PEOPLE[2], label, len(item))
    check_finite(who, PEOPLE[1], box)
    held = evidence.column("labeled_held") if evidence.has("labeled_held") else np.ones(labeled, dtype=bool)
    check_rows(who, "labeled_held", held, labeled, of="labeled images")
    return verdicts_on(film, item, box, label, held.astype(bool)) if held.any() else None


def pictures_of(who: str, evidence: Evidence, film: Footage) -> FrameSource:
    """The files of all frames, by video and number."""
    for name in ("path", "content"):
        for side in SIDES:
            if not evidence.has(f"{side}{name}"):
                raise PluginError(
                    f"Scorer '{who}' needs '{side}{name}' for a tracker that reads pixels; choose the tracker 'linear'."
                )
    path, content = (
        np.concatenate([evidence.column(f"{side}{name}").astype(np.str_) for side in SIDES])[film.row]
        for name in ("path", "content")
    )
    return image_files(film.names[film.video], film.number, path, content)
