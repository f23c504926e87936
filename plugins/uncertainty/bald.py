"""BALD: ask about the items on which dropout passes are each sure, and disagree."""

from __future__ import annotations

import numpy as np

from plugins.contract import FloatArray, PluginConfig, PluginError, Scorer, Scores
from plugins.evidence import Evidence
from plugins.uncertainty.distributions import by_rows
from plugins.uncertainty.entropy import entropy
from plugins.uncertainty.margin import undecided


class BALDConfig(PluginConfig):
    """Nothing to set; the number of dropout passes is the learner's."""


def mutual_information(expected_probabilities: FloatArray, expected_entropy: FloatArray) -> FloatArray:
    """H(mean_m p_m) - mean_m H(p_m) of each row, in nats: what is unsure because the M passes disagree (Houlsby Eq. 2).

    expected_probabilities: (N, C), mean over passes. expected_entropy: (N,), entropy of a pass, mean over passes.
    Returns (N,), between 0 (all passes alike) and log min(C, M); what rounding puts below 0 is 0.

    >>> mutual_information(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0.0, np.log(2)])).round(3)
    array([0.693, 0.   ])
    """
    return np.asarray(np.maximum(by_rows(entropy, expected_probabilities) - expected_entropy, 0.0))


class Passes:
    """Both columns that BALD reads, summed up one dropout pass at a time: (n, M, C) never exists.

    >>> passes = Passes(1, 2)
    >>> passes.add(np.array([[1.0, 0.0]])); passes.add(np.array([[0.0, 1.0]]))
    >>> passes.expected_probabilities.tolist(), passes.expected_entropy.tolist()
    ([[0.5, 0.5]], [0.0])
    """

    def __init__(self, n: int, classes: int) -> None:
        self.count = 0
        self._probabilities = np.zeros((n, classes))
        self._entropy = np.zeros(n)

    def add(self, probabilities: FloatArray) -> None:
        """One pass: (n, C) class probabilities. ValueError on another shape."""
        if probabilities.shape != self._probabilities.shape:
            raise ValueError(
                f"A pass of shape {probabilities.shape} was added to passes of shape {self._probabilities.shape}; "
                "every pass covers the same items and classes."
            )
        self._probabilities += probabilities
        self._entropy += by_rows(entropy, probabilities)
        self.count += 1

    @property
    def expected_probabilities(self) -> FloatArray:
        """(n, C) mean over the passes so far; ValueError before the first."""
        return np.asarray(self._probabilities / self._counted())

    @property
    def expected_entropy(self) -> FloatArray:
        """(n,) entropy in nats, mean over the passes so far; ValueError before the first."""
        return np.asarray(self._entropy / self._counted())

    def _counted(self) -> int:
        if self.count == 0:
            raise ValueError("No pass was added yet; call `add` at least once before reading the means.")
        return self.count


class BALD(Scorer[BALDConfig]):
    """values: mutual information between prediction and weights, in nats."""

    name, title = "bald", "BALD"
    summary = "Items whose dropout passes contradict each other come first; needs a learner with dropout passes."
    reference = "Houlsby et al. 2011, Eq. 2; Gal, Islam & Ghahramani 2017; thesis ch. 3, baseline BALD"
    needs = frozenset({"expected_probabilities", "expected_entropy"})
    harmful_below = 0.6  # docs/studies/dispersion.md, CIFAR-10

    def score(self, evidence: Evidence) -> Scores:
        probabilities, classes = evidence.expected_probabilities, evidence.classes
        if evidence.expected_entropy.shape != probabilities.shape[:1]:
            raise PluginError(
                f"Scorer 'bald' got expected entropies of shape {evidence.expected_entropy.shape} beside expected "
                f"probabilities of shape {probabilities.shape}; let one learner make both."
            )
        values = mutual_information(probabilities, evidence.expected_entropy)
        return Scores(
            values,
            reason=lambda i: f"dropout passes differ by {values[i]:.2f} nats, {undecided(probabilities[i], classes)}",
        )
