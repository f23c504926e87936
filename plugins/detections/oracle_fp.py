"""Oracle of false positives: the images with the most wrong boxes first, to know what perfect foresight would gain."""

from __future__ import annotations

import numpy as np

from plugins.contract import PluginConfig, Scorer, Scores
from plugins.detections.true_errors import NEEDS, errors_of
from plugins.evidence import Evidence


class OracleFPConfig(PluginConfig):
    """Nothing to set."""


class OracleFP(Scorer[OracleFPConfig]):
    """values: shown boxes that match no true box of their class with IoU >= 0.5, a second box on an object among them;
    ties are broken by the project's seed, in the selector."""

    name, title = "oracle_fp", "Oracle of wrong boxes"
    summary = "Simulation only: images with the most wrong boxes come first; it reads the true boxes."
    reference = "thesis ch. 2, Oracle FP"
    needs = NEEDS

    def score(self, evidence: Evidence) -> Scores:
        wrong, _, shown, _ = errors_of(self.name, evidence)
        return Scores(wrong.astype(np.float64), reason=lambda i: f"{wrong[i]} of {shown[i]} boxes are wrong")
