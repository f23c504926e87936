"""Labels as learners take them: checked, and parted into those to learn from and those to measure on."""

from __future__ import annotations

import numpy as np

from ml_backend.learners.contract import Images
from plugins.contract import IntArray


def checked_labels(labels: IntArray, labeled: Images, classes: tuple[str, ...]) -> IntArray:
    """(L,) int64 labels below C of at least two classes, one per labeled image, else ValueError."""
    array = np.asarray(labels)
    if array.shape != (len(labeled),) or array.dtype.kind not in "iu":
        raise ValueError(
            f"{len(labeled)} labeled images came with labels of shape {array.shape} and type {array.dtype}; "
            "give one class index per image."
        )
    if array.size and (array.min() < 0 or array.max() >= len(classes)):
        wrong = int(array.min() if array.min() < 0 else array.max())
        raise ValueError(f"Label {wrong} is not one of the {len(classes)} classes; give indices from 0.")
    present = len(np.unique(array))
    if present < 2:
        raise ValueError(f"A classifier needs labels of two classes and got {present}; label more items first.")
    return array.astype(np.int64)


def held_out_part(labels: IntArray, share: float, seed: int) -> IntArray:
    """Positions (k,) to measure on, about `share` of (L,): every class gives its share, none its last label."""
    rng = np.random.default_rng(seed)
    out: list[int] = []
    owed = 0.5  # what rounding leaves over goes on to the next class
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        owed += share * len(members)
        taken = min(int(owed), len(members) - 1)
        owed -= taken
        out += members[:taken].tolist()
    return np.array(sorted(out), dtype=np.int64)
