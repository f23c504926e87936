"""Labels and scores that a learner gives, looked at before they are written."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml_backend.studio.regions.config import RegionsConfig
from ml_backend.studio.regions.geometry import FloatArray


def checked_labels(what: str, labels: ArrayLike, config: RegionsConfig, count: int) -> NDArray[np.int64]:
    """(count,) int64 positions in the config's classes; `what` names their owners in errors."""
    given = np.asarray(labels)
    if given.shape != (count,) or (count and not np.issubdtype(given.dtype, np.integer)):
        raise ValueError(
            f"The labels of {what} are {given.dtype} of shape {given.shape}; give ({count},) positions in the classes."
        )
    wrong = (given < 0) | (given >= len(config.classes))
    if wrong.any():
        raise ValueError(
            f"A label of {what} is {given[wrong][0]}; "
            f"'{config.from_name}' has the classes 0 to {len(config.classes) - 1}."
        )
    return given.astype(np.int64)


def checked_scores(what: str, scores: ArrayLike | None, count: int) -> FloatArray | None:
    """(count,) float64 confidences in [0, 1], or None where there are none."""
    if scores is None:
        return None
    given = np.asarray(scores, dtype=np.float64)
    if given.shape != (count,):
        raise ValueError(f"The scores of {what} have shape {given.shape}; give one to each of the {count}.")
    wrong = ~((given >= 0) & (given <= 1))
    if wrong.any():
        raise ValueError(f"A score of {what} is {given[wrong][0]}; it must lie in [0, 1].")
    return given
