"""Boxes as a page draws them over a picture: what was detected, what looks wrong, and where one may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ml_backend.loop.stored_ranking import StoredRanking

LIKELY = 0.5  # probability from which a box counts as suspected
KINDS = {  # with the words of the legend
    "shown": "detected",
    "wrong": "probably wrong",
    "miss": "possibly missed",
    "link": "counterpart in a frame around",
}


@dataclass(frozen=True)
class Shape:
    """One box in px of the image as it is shown. kind: one of KINDS, each with its own colour and line."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    says: str


def shapes_of(
    detail: dict[str, dict[str, Any]], ranking: StoredRanking | None, rank: int | None, classes: Sequence[str]
) -> list[Shape]:
    """What a scorer drew over the item, else the boxes that its prediction shows."""
    drawing = next((part["drawing"] for part in detail.values() if isinstance(part.get("drawing"), dict)), None)
    if drawing is not None:
        return drawn(drawing, classes)
    return predicted(ranking, rank, classes) if ranking is not None and rank is not None else []


def drawn(drawing: dict[str, Any], classes: Sequence[str]) -> list[Shape]:
    """Of `Scores.drawing`: its shown `boxes`, and those `candidates` that are likely missed.

    >>> [s.kind for s in drawn({"boxes": [{"box": [0, 0, 4, 2], "label": 0, "score": 0.9, "wrong": 0.7}]}, ["Car"])]
    ['wrong']
    """
    shapes = []
    for box in drawing.get("boxes", []):
        if box.get("shown", True):
            wrong = box.get("wrong")
            suspected = wrong is not None and wrong >= LIKELY
            doubt = f", {KINDS['wrong']} ({wrong:.0%})" if suspected else ""
            says = f"{_name(box['label'], classes)} {box['score']:.2f}{doubt}"
            shapes.append(_shape("wrong" if suspected else "shown", box["box"], says))
    for box in drawing.get("candidates", []):
        if box["missed"] >= LIKELY:
            says = f"{_name(box['label'], classes)} {KINDS['miss']} ({box['missed']:.0%})"
            shapes.append(_shape("miss", box["box"], says))
    return shapes


def linked(drawing: dict[str, Any], frame: int, classes: Sequence[str]) -> list[Shape]:
    """The counterparts that the shown boxes of a drawing have in another frame.

    >>> box = {"row": 3, "label": 0, "score": 0.9, "wrong": 0.1}
    >>> [s.says for s in linked({"boxes": [box], "links": [{"row": 3, "frame": 8, "box": [0, 0, 4, 2]}]}, 8, ["Car"])]
    ['counterpart of Car 0.90']
    """
    boxes = {box["row"]: box for box in drawing.get("boxes", []) if box.get("shown", True)}
    return [
        _shape("link", link["box"], f"counterpart of {_name(box['label'], classes)} {box['score']:.2f}")
        for link in drawing.get("links", [])
        if link["frame"] == frame and (box := boxes.get(link["row"])) is not None
    ]


def predicted(ranking: StoredRanking, rank: int, classes: Sequence[str]) -> list[Shape]:
    """The boxes that the prediction at a rank shows; none where classes are predicted."""
    arrays = ranking.shown
    if "box_start" not in arrays:
        return []
    rows = range(int(arrays["box_start"][rank]), int(arrays["box_start"][rank + 1]))
    return [
        _shape(
            "shown",
            arrays["box"][row].tolist(),
            f"{_name(int(arrays['box_label'][row]), classes)} {float(arrays['box_score'][row]):.2f}",
        )
        for row in rows
    ]


def _shape(kind: str, box: Sequence[float], says: str) -> Shape:
    x1, y1, x2, y2 = (float(edge) for edge in box)
    return Shape(kind, round(x1, 2), round(y1, 2), round(x2 - x1, 2), round(y2 - y1, 2), says)


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label] if 0 <= label < len(classes) else f"class {label}"
