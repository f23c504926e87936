"""Why a frame is asked about, in one sentence, and what a picture of it needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from plugins.contract import IntArray
from plugins.video.detections import Detections
from plugins.video.frame_errors import FrameErrors

LIKELY = 0.5  # probability from which a box looks wrong, or a candidate possible


def explain(errors: FrameErrors, detections: Detections, frame: int) -> str:
    """One sentence on the frame at this position.

    "2 of 7 boxes look wrong: they have no counterpart within 3 frames; 1 possible miss between frames 41 and 44".
    """
    shown = _boxes_of(errors, detections, frame)
    if not len(shown) and not (errors.candidate_frame == frame).any():
        return "no box here, and none that is missed by the frames around"
    parts = [_wrong(errors, shown), _missed(errors, detections, frame)]
    said = "; ".join(part for part in parts if part)
    if said:
        return said
    if not len(shown):
        return "no box is shown here, and no miss stands out"
    if errors.mode == "calibrated" and len(shown):
        total = errors.false_positives[frame]
        return f"no box stands out: {total:.1f} of {len(shown)} boxes are expected to be wrong"
    return f"{_count(len(shown), 'box', 'boxes')}, all with support from the frames around"


def _wrong(errors: FrameErrors, shown: IntArray) -> str:
    wrong = shown[errors.wrong[shown] >= LIKELY]
    if not wrong.size:
        return ""
    looks, they = ("looks", "it has") if len(wrong) == 1 else ("look", "they have")
    alone = wrong[errors.linked[wrong] == 0]
    if not errors.neighbours[wrong].any():
        why = "the frames around are not known, and the scores are low"
    elif len(alone) == len(wrong):
        why = f"{they} no counterpart within {_count(errors.k, 'frame', 'frames')}"
    else:
        held, there = int(errors.linked[wrong].sum()), int(errors.neighbours[wrong].sum())
        why = f"{they} a counterpart in {held} of {there} frames around"
    return f"{len(wrong)} of {_count(len(shown), 'box', 'boxes')} {looks} wrong: {why}"


def _missed(errors: FrameErrors, detections: Detections, frame: int) -> str:
    missed = np.flatnonzero((errors.candidate_frame == frame) & (errors.missed >= LIKELY))
    if not missed.size:
        return ""
    number = detections.frames.number
    sources = errors.sources[np.isin(errors.sources[:, 0], missed), 1]
    seen = number[detections.frame[sources]]
    before, after = seen[seen < number[frame]], seen[seen > number[frame]]
    possible = _count(len(missed), "possible miss", "possible misses")
    if before.size and after.size:
        return f"{possible} between frames {before.max()} and {after.min()}"
    near = f"after frame {before.max()}" if before.size else f"before frame {after.min()}"
    return f"{possible} {near}" if before.size or after.size else possible


def _boxes_of(errors: FrameErrors, detections: Detections, frame: int) -> IntArray:
    return np.flatnonzero((detections.frame == frame) & errors.judged)


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def drawing(errors: FrameErrors, detections: Detections, frame: int) -> dict[str, Any]:
    """What a picture of the frame needs, as plain numbers for JSON; boxes xyxy in px.

    boxes: row, box, label, score, wrong (probability or label), linked of neighbours, shown. links: row of a box here,
    frame number and box of its counterpart. candidates: box, label, missed, and the frame numbers it comes from.
    """
    number = detections.frames.number
    rows = np.flatnonzero((detections.frame == frame) & ~detections.dropped)
    boxes = [
        {
            "row": int(i),
            "box": detections.box[i].round(2).tolist(),
            "label": int(detections.label[i]),
            "score": float(detections.score[i]),
            "wrong": None if np.isnan(errors.wrong[i]) else round(float(errors.wrong[i]), 4),
            "linked": int(errors.linked[i]),
            "neighbours": int(errors.neighbours[i]),
            "shown": bool(errors.judged[i]),
        }
        for i in rows
    ]
    mine = np.isin(errors.links, rows)
    pairs = [(int(a), int(b)) for a, b in errors.links[mine[:, 0]]]
    pairs += [(int(b), int(a)) for a, b in errors.links[mine[:, 1]]]
    links = [
        {"row": here, "frame": int(number[detections.frame[there]]), "box": detections.box[there].round(2).tolist()}
        for here, there in sorted(pairs)
    ]
    candidates = []
    for m in np.flatnonzero(errors.candidate_frame == frame):
        sources = errors.sources[errors.sources[:, 0] == m, 1]
        candidates.append(
            {
                "box": errors.candidate_box[m].round(2).tolist(),
                "label": int(errors.candidate_label[m]),
                "missed": round(float(errors.missed[m]), 4),
                "from": sorted({int(one) for one in number[detections.frame[sources]]}),
            }
        )
    return {
        "frame": int(number[frame]),
        "false_positives": round(float(errors.false_positives[frame]), 4),
        "false_negatives": round(float(errors.false_negatives[frame]), 4),
        "boxes": boxes,
        "links": links,
        "candidates": candidates,
    }
