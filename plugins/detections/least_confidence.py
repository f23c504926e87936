"""Least confidence of detections: ask about the images whose boxes convince the detector least."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from plugins.contract import FloatArray, PluginConfig, Scorer, Scores
from plugins.detections.columns import WHICH, Which
from plugins.detections.over_boxes import EMPTY, NEEDS, OPTIONAL, OVER, Over, scored
from plugins.evidence import Evidence
from plugins.uncertainty.least_confidence import least_confidence


class DetectionLeastConfidenceConfig(PluginConfig):
    """Which boxes count, and how they become one value."""

    over: Over = Field("mean", description=OVER)
    boxes: Which = Field("shown", description=WHICH)
    empty: float = Field(0.0, ge=0, le=1, description=EMPTY)


def doubt_in_answer(distributions: FloatArray, two: bool) -> FloatArray:
    """(n,) one minus the probability of the answer that a box shows.

    distributions: (n, C), the answer being the likeliest class; or if `two` (n, 2), score and 1 - score, the answer
    being the box itself, however low its score.

    >>> doubt_in_answer(np.array([[0.25, 0.75]]), two=False).tolist()
    [0.25]
    >>> doubt_in_answer(np.array([[0.25, 0.75]]), two=True).tolist()
    [0.75]
    """
    return np.asarray(1.0 - distributions[:, 0]) if two else least_confidence(distributions)


class DetectionLeastConfidence(Scorer[DetectionLeastConfidenceConfig]):
    """values: mean, sum or maximum over an image's boxes of 1 - P(answer); P(answer) is the score of a box, or its
    likeliest class where the detector gives probabilities of several."""

    name, title = "detection_least_confidence", "Least confidence of boxes"
    summary = "Images whose boxes have the lowest scores come first."
    reference = "thesis ch. 2, baseline least confidence (mean over detections)"
    needs, optional = NEEDS, OPTIONAL

    def score(self, evidence: Evidence) -> Scores:
        chosen = self.config
        several = evidence.has("detection_probabilities") and len(evidence.classes) > 1
        return scored(
            self.name,
            evidence,
            lambda block: doubt_in_answer(block, two=not several),
            over=chosen.over,
            which=chosen.boxes,
            empty=chosen.empty,
        )
