"""Which boxes say how many objects a frame holds: all of them or the shown ones, each counted by its score.

The detections of MOT15's Faster R-CNN beside its true boxes, sequence by sequence (scores from .5 on, shown from .9).
`share` is the sum of scores over the true objects: 1 if scores were probabilities and nothing was missed.
`correlation` is that of a frame's sum of scores with its true number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.tracking_data import DISPLAYED, Sequence, folder, sequences
from plugins.balance.objects import expected_objects

TITLE = "Expected objects of frames: all boxes beside the shown ones, against the truth"
DETECTOR = "frcnn"  # the one whose scores are probabilities


def run() -> dict[str, Any]:
    """rows: one for each sequence. mean: over the sequences."""
    rows = [_row(one) for one in sequences() if one.pool.endswith(DETECTOR)]
    if not rows:
        return {"skipped": f"no MOT15 in {folder()}; set NEXTLABEL_DATA"}
    figures = [name for name in rows[0] if name.startswith(("share", "correlation"))]
    return {
        "rows": rows,
        "mean": {name: round(float(np.mean([row[name] for row in rows])), 3) for name in figures},
        "shown_from": DISPLAYED[DETECTOR],
    }


def _row(one: Sequence) -> dict[str, Any]:
    truth = np.bincount(one.true_frame, minlength=one.frames)
    row: dict[str, Any] = {"sequence": one.name, "frames": one.frames, "objects": int(truth.sum())}
    for name, kept in (("all", one.score >= 0), ("shown", one.score >= one.displayed)):
        item, label = one.frame[kept], np.zeros(int(kept.sum()), dtype=np.int64)
        score = np.minimum(one.score[kept], 1.0)
        seen = expected_objects(item, score, label, None, one.frames, classes=1)[:, 0]
        row[f"share_{name}"] = round(float(seen.sum() / truth.sum()), 3)
        row[f"correlation_{name}"] = round(float(np.corrcoef(seen, truth)[0, 1]), 3)
    return row
