"""Oracle of false negatives: the images with the most missed objects first, to know what foresight would gain."""

from __future__ import annotations

import numpy as np

from plugins.contract import PluginConfig, Scorer, Scores
from plugins.detections.true_errors import NEEDS, errors_of
from plugins.evidence import Evidence


class OracleFNConfig(PluginConfig):
    """Nothing to set."""


class OracleFN(Scorer[OracleFNConfig]):
    """values: true boxes that no shown box of their class matches with IoU >= 0.5; ties are broken by the project's
    seed, in the selector."""

    name, title = "oracle_fn", "Oracle of missed objects"
    summary = "Simulation only: images with the most missed objects come first; it reads the true boxes."
    reference = "thesis ch. 2, Oracle FN"
    needs = NEEDS

    def score(self, evidence: Evidence) -> Scores:
        _, missed, _, objects = errors_of(self.name, evidence)
        return Scores(missed.astype(np.float64), reason=lambda i: f"{missed[i]} of {objects[i]} objects are missed")
