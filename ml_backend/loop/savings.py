"""Labels saved: how many random labels today's accuracy would have cost, from the items that were drawn at random.

Everything here is arithmetic on arrays: the labels in the order they were given, and which of them were drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray

Doubles = NDArray[np.float64]
Predict = Callable[[IntArray], IntArray]  # positions of training labels -> (L,) predicted class of every label's item

ENOUGH = 30  # draws; with fewer the random curve is too short to say anything about its course
SIZES = 5  # points on the random curve
REPEATS = 10  # trainings per point
REPLICATES = 1000  # of the bootstrap
RATES = (
    0.5,
    1.0,
)  # how excess error falls with labels: n^-1/2 at the slowest for a head on fixed features, n^-1 at best


@dataclass(frozen=True)
class Draws:
    """Which of L labels, in the order they were given, were drawn at random, and from how many items.

    item: (m,) positions, increasing: also how many labels there were before each draw. left: (m,) items that each
    was drawn from, 1 / propensity.
    """

    item: IntArray
    left: IntArray

    def __len__(self) -> int:
        return len(self.item)


@dataclass(frozen=True)
class Range:
    """A median with its 95 % interval; None where it lies beyond all labels there are, so that nobody can tell."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, replicates: FloatArray, beyond: float = np.inf) -> Range:
        """Of bootstrap replicates (B,); those at `beyond` or above stand for 'more than can be told'.

        >>> Range.of(np.arange(101.0)), Range.of(np.arange(101.0), beyond=90).high
        (Range(value=50.0, low=2.5, high=97.5), None)
        """
        value, low, high = (float(q) if q < beyond else None for q in np.percentile(replicates, [50, 2.5, 97.5]))
        return cls(value, low, high)


@dataclass(frozen=True)
class Savings:
    """labels: behind `accuracy`, which is on the whole collection, of a model that has not seen the item.

    needed: random labels for the same accuracy. saved: `needed` less `labels`; below zero where random labeling would
    have done better. curve: random labels -> accuracy.
    """

    labels: int
    draws: int
    accuracy: Range
    needed: Range
    saved: Range
    curve: dict[int, Range]


def collection_samples(hits: FloatArray, draws: Draws) -> Doubles:
    """(..., m) one estimate per draw of a model's accuracy on the whole collection, labeled and unlabeled.

    At draw t the collection was the labels before it, whose hits are known, and the items left, of which the draw is
    a uniform one: (sum of hits before t + left_t x hit_t) / (before_t + left_t). Each is unbiased for a fixed model
    (Farquhar, Gal & Rainforth 2021, R_PURE with a uniform proposal and deterministic steps between).
    hits: (..., L) in the order of the labels, 1 right, 0 wrong.

    >>> collection_samples(np.array([0.0, 1.0, 1.0]), Draws(np.array([2]), np.array([8]))).tolist()
    [0.9]
    """
    known = np.cumsum(hits, axis=-1) - hits
    return np.asarray((known[..., draws.item] + draws.left * hits[..., draws.item]) / (draws.item + draws.left))


def random_subset(draws: Draws, n: int, rng: np.random.Generator) -> IntArray:
    """(n,) distinct labels, increasing, as if n random labels had been given; fewer where the draws do not suffice.

    A uniform draw from the collection at time t falls on what was labeled before with probability
    before_t / (before_t + left_t), and is the control item otherwise.
    """
    share = draws.item / (draws.item + draws.left)
    chosen: dict[int, None] = {}
    for t in rng.permutation(len(draws.item)).tolist():
        seen = rng.random() < share[t]
        item = int(rng.integers(draws.item[t])) if seen else int(draws.item[t])
        chosen[item] = None
        if len(chosen) == n:
            break
    return np.array(sorted(chosen), dtype=np.int64)


def labels_for(
    accuracy: FloatArray, *, at: int, reached: FloatArray, limit: FloatArray, exponent: FloatArray, most: int
) -> Doubles:
    """(B,) labels at which a curve reaches an accuracy: limit - accuracy falls as n^-exponent, from `reached` at `at`.

    All (B,); at most `most` labels, all there are. A power law: Viering & Loog 2023, POW3.

    >>> labels_for(np.array([0.85]), at=40, reached=np.array([0.7]), limit=np.array([0.9]),
    ...            exponent=np.array([1.0]), most=1000).round(6).tolist()
    [160.0]
    """
    with np.errstate(over="ignore"):
        times = ((limit - reached) / np.maximum(limit - accuracy, 1e-12)) ** (1.0 / exponent)
    return np.asarray(np.clip(at * times, 1.0, most))


def random_curve(
    predict: Predict, labels: IntArray, draws: Draws, *, seed: int, go_on: Callable[[], bool]
) -> tuple[IntArray, Doubles] | None:
    """Sizes (S,) and hits (S, R, L) of trainings on random labels alone; nan where an item was trained on.

    labels: (L,) classes. Each round trains once per size, while `go_on`; None after fewer than half of the rounds.
    """
    rng = np.random.default_rng(seed)
    m = len(draws)
    sizes = np.unique(np.geomspace(max(5, m / 6), 0.75 * m, SIZES).astype(np.int64))
    rounds = []
    for _ in range(REPEATS):
        if not go_on():
            break
        hits = np.empty((len(sizes), len(labels)))
        for row, n in zip(hits, sizes.tolist(), strict=True):
            trained_on = random_subset(draws, n, rng)
            row[:] = predict(trained_on) == labels
            row[trained_on] = np.nan
        rounds.append(hits)
    return (sizes, np.stack(rounds, axis=1)) if len(rounds) >= REPEATS / 2 else None


def compare(
    labels: int, hits: FloatArray, curve: tuple[IntArray, FloatArray], draws: Draws, total: int, *, seed: int
) -> Savings:
    """Labels saved by the model behind `hits` (L,), which was trained on `labels` of them, in a collection of `total`.

    Bayesian bootstrap (Rubin 1981) over draws, the same weights for both sides, so that they are compared on the same
    items, and over the repeated trainings. Each side has half a hit and half a miss of its own besides (Jeffreys'
    prior), or thirty hits of thirty would be certainty. From its longest point the random curve goes on as a power law
    of which little is known: each replicate draws its limit between the best accuracy seen and 1, and its exponent
    from RATES. Labeling everything at random is as many labels as there are.
    """
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=(REPLICATES, len(draws)))
    now = _weighted(np.broadcast_to(collection_samples(hits, draws), weights.shape), weights, rng)
    sizes, repeated = curve
    runs = rng.dirichlet(np.ones(repeated.shape[1]), size=REPLICATES)
    points = np.empty((REPLICATES, len(sizes)))
    for k in range(len(sizes)):
        measured = ~np.isnan(repeated[k])
        mean = (runs @ np.nan_to_num(repeated[k])) / np.maximum(runs @ measured, 1e-12)
        points[:, k] = _weighted(collection_samples(mean, draws), weights, rng)
    best = np.maximum(now, points[:, -1])
    needed = labels_for(
        now,
        at=int(sizes[-1]),
        reached=points[:, -1],
        limit=best + (1.0 - best) * rng.random(REPLICATES),
        exponent=rng.uniform(*RATES, size=REPLICATES),
        most=total,
    )
    return Savings(
        labels=labels,
        draws=len(draws),
        accuracy=Range.of(now),
        needed=Range.of(needed, total),
        saved=Range.of(needed - labels, total - labels),
        curve={int(n): Range.of(points[:, k]) for k, n in enumerate(sizes)},
    )


def _weighted(samples: FloatArray, weights: Doubles, rng: np.random.Generator) -> Doubles:
    """(B,) weighted means of (B, m) samples in [0, 1], with half a hit and half a miss in each."""
    hit, miss = rng.gamma(0.5, size=(2, len(weights)))
    return np.asarray(((weights * samples).sum(axis=1) + hit) / (weights.sum(axis=1) + hit + miss))
