"""Oracle: the items that the model gets wrong first, to know in a simulation what perfect foresight would gain."""

from __future__ import annotations

import numpy as np

from plugins.contract import FloatArray, PluginConfig, PluginError, Scorer, Scores
from plugins.evidence import Array, Evidence
from plugins.uncertainty.distributions import by_rows


class OracleConfig(PluginConfig):
    """Nothing to set."""


def misclassified(probabilities: FloatArray, truth: Array) -> FloatArray:
    """1 where the likeliest class is not the true one, else 0; of equally likely classes the first is the prediction.

    probabilities: (N, C). truth: (N,) class indices. Returns (N,); a row that is not finite stays NaN.

    >>> misclassified(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0])).tolist()
    [0.0, 1.0]
    """
    predicted = by_rows(_predicted, probabilities)
    return np.where(np.isnan(predicted), np.nan, (predicted != truth).astype(np.float64))


def _predicted(block: FloatArray) -> FloatArray:
    """(n,) likeliest class of (n, C), NaN for a row that is not finite."""
    return np.where(np.isfinite(block).all(axis=1), block.argmax(axis=1), np.nan)


class Oracle(Scorer[OracleConfig]):
    """values: 1 for a misclassified item, else 0; ties are broken by the project's seed, in the selector."""

    name, title = "oracle", "Oracle"
    summary = "Simulation only: items that the model gets wrong come first, in random order; it reads the true classes."
    reference = "thesis ch. 3, baseline Oracle"
    needs = frozenset({"truth", "probabilities"})

    def score(self, evidence: Evidence) -> Scores:
        probabilities, truth, classes = evidence.probabilities, evidence.truth, evidence.classes
        if truth.shape != probabilities.shape[:1]:
            raise PluginError(
                f"Scorer 'oracle' got truth of shape {truth.shape} beside probabilities of shape "
                f"{probabilities.shape}; give one class index per item."
            )
        values = misclassified(probabilities, truth)

        def reason(item: int) -> str:
            predicted, true = classes[probabilities[item].argmax()], classes[truth[item]]
            return f"predicted {predicted}, {'but' if values[item] else 'and'} it is {true}"

        return Scores(values, reason=reason)
