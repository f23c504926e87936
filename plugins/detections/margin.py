"""Margin of detections: ask about the images with many boxes that are nearly tied between two answers."""

from __future__ import annotations

from pydantic import Field

from plugins.contract import PluginConfig, Scorer, Scores
from plugins.detections.columns import WHICH, Which
from plugins.detections.over_boxes import EMPTY, NEEDS, OPTIONAL, OVER, Over, scored
from plugins.evidence import Evidence
from plugins.uncertainty.margin import margin


class DetectionMarginConfig(PluginConfig):
    """Which boxes count, and how they become one value."""

    over: Over = Field("sum", description=OVER)
    boxes: Which = Field("shown", description=WHICH)
    empty: float = Field(0.0, ge=0, le=1, description=EMPTY)


class DetectionMargin(Scorer[DetectionMarginConfig]):
    """values: sum, mean or maximum over an image's boxes of 1 - (P(best) - P(second best)); of a box without class
    probabilities P is (score, 1 - score), so its value is 1 - |2 score - 1|."""

    name, title = "detection_margin", "Margin of boxes"
    summary = "Images with the most boxes that are nearly tied between two answers come first."
    reference = "thesis ch. 2, baseline margin (sum over detections)"
    needs, optional = NEEDS, OPTIONAL

    def score(self, evidence: Evidence) -> Scores:
        chosen = self.config
        return scored(self.name, evidence, margin, over=chosen.over, which=chosen.boxes, empty=chosen.empty)
