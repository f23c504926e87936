"""How a score stands among the scores of its detector and class: what detectors of any scale have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.special

from plugins.contract import FloatArray, IntArray

KEPT = 4096  # scores of a class that are kept; more are thinned, and a rank is then off by about 1 / KEPT


@dataclass(frozen=True)
class ScoreRanks:
    """Sorted scores of each class, at most 2 * KEPT; a class that was never seen is ranked among all."""

    by_class: dict[int, FloatArray]
    overall: FloatArray

    @classmethod
    def of(cls, chunks: Iterable[tuple[FloatArray, IntArray]]) -> ScoreRanks:
        """From chunks of scores (n,) and class indices (n,), in memory that does not grow with their number."""
        kept: dict[int, _Thinned] = {}
        overall = _Thinned()
        for score, label in chunks:
            overall.add(score)
            for one in np.unique(label).tolist():
                kept.setdefault(one, _Thinned()).add(score[label == one])
        return cls({one: thinned.sorted() for one, thinned in kept.items()}, overall.sorted())

    def logits(self, score: FloatArray, label: IntArray) -> FloatArray:
        """(K,) log(q / (1 - q)), q being the score's rank in its class, (rank - 1/2) / n; ties share the middle.

        >>> ranks = ScoreRanks.of([(np.array([0.2, 0.9, 0.5]), np.zeros(3, dtype=int))])
        >>> ranks.logits(np.array([0.5, 0.9]), np.zeros(2, dtype=int)).round(2).tolist()
        [0.0, 1.61]
        """
        share = np.full(len(score), 0.5)
        for one in np.unique(label).tolist():
            rows = label == one
            share[rows] = _share(self.by_class.get(one, self.overall), score[rows])
        return np.asarray(scipy.special.logit(share))


def _share(known: FloatArray, score: FloatArray) -> FloatArray:
    """(K,) where scores stand among sorted known ones, strictly between 0 and 1."""
    n = len(known)
    if not n:
        return np.full(len(score), 0.5)
    middle = (np.searchsorted(known, score) + np.searchsorted(known, score, side="right")) / 2
    return np.asarray(np.clip(middle, 0.5, n - 0.5) / n)


class _Thinned:
    """Scores of which, once there are too many, every second one in order stays, and of later ones as few."""

    def __init__(self) -> None:
        self._kept: list[FloatArray] = []
        self._count = 0
        self._step, self._carry = 1, 0

    def add(self, score: FloatArray) -> None:
        taken = np.sort(score)[self._carry :: self._step]
        self._carry = (self._carry - len(score)) % self._step
        self._kept.append(taken)
        self._count += len(taken)
        while self._count > 2 * KEPT:
            whole = np.sort(np.concatenate(self._kept))
            self._kept = [whole[1::2]]
            self._count = len(self._kept[0])
            self._step *= 2

    def sorted(self) -> FloatArray:
        return np.sort(np.concatenate(self._kept)) if self._kept else np.empty(0)
