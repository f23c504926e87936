"""Entropy of detections: ask about the images on whose boxes the detector is most undecided."""

from __future__ import annotations

from pydantic import Field

from plugins.contract import PluginConfig, Scorer, Scores
from plugins.detections.columns import WHICH, Which
from plugins.detections.over_boxes import EMPTY, NEEDS, OPTIONAL, OVER, Over, scored
from plugins.evidence import Evidence
from plugins.uncertainty.entropy import entropy


class DetectionEntropyConfig(PluginConfig):
    """Which boxes count, and how they become one value."""

    over: Over = Field("mean", description=OVER)
    boxes: Which = Field("shown", description=WHICH)
    empty: float = Field(0.0, ge=0, le=10, description=EMPTY)


class DetectionEntropy(Scorer[DetectionEntropyConfig]):
    """values: mean, sum or maximum over an image's boxes of -sum_c P(c) log P(c), in nats; of a box without class
    probabilities P is (score, 1 - score)."""

    name, title = "detection_entropy", "Entropy of boxes"
    summary = (
        "Images with boxes that may as well be something else come first; the sum finds more errors than the mean."
    )
    reference = "thesis ch. 2, baseline entropy (mean over detections)"
    needs, optional = NEEDS, OPTIONAL

    def score(self, evidence: Evidence) -> Scores:
        chosen = self.config
        return scored(self.name, evidence, entropy, over=chosen.over, which=chosen.boxes, empty=chosen.empty)
