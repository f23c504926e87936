"""What a study may claim: differences paired by seed, bootstrap intervals over seeds, and a verdict in words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from simulation.curve import Curve, areas, labels_to_reach

RESAMPLES = 10_000
ENOUGH = 5  # seeds below which nothing is claimed: four coins fall alike once in eight, five once in sixteen
FEW = 5  # seeds: up to here all 3 125 resamples are enumerated
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; infinite where some resamples never get there."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A method beside the baseline under the same S seeds. Differences are in accuracy points (0 to 100)."""

    method: str
    seeds: int
    area: Estimate  # mean accuracy over the budget, method less baseline
    final: Estimate  # at the last point
    start: Estimate  # at the first point
    better: float  # share of seeds whose area is larger
    reach: Estimate | None  # labels to reach the baseline's final accuracy; None if the mean curve never does
    budget: int

    @property
    def saved(self) -> Estimate | None:
        """Labels saved to reach the baseline's final accuracy."""
        if self.reach is None:
            return None
        return Estimate(self.budget - self.reach.value, self.budget - self.reach.high, self.budget - self.reach.low)


def resamples(seeds: int) -> Ints:
    """(R, S) seeds drawn with replacement: all of them where these are few, else a fixed random 10 000."""
    if seeds <= FEW:
        return np.array(list(itertools.product(range(seeds), repeat=seeds)), dtype=np.int64).reshape(-1, seeds)
    return np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))


def levels(seeds: int, confidence: float = 0.95) -> tuple[float, float]:
    """Which quantiles of the bootstrap make an interval of that confidence for the mean of S seeds.

    Plain percentiles are too narrow for few seeds by sqrt((S - 1) / S) and for taking the normal's quantile for
    Student's; "expanded percentiles" make up for both (Hesterberg 2015, The American Statistician 69:4, section 3.3).

    >>> [round(level, 4) for level in levels(1000)], [round(level, 4) for level in levels(5)]
    ([0.0248, 0.9752], [0.001, 0.999])
    """
    quantile = scipy.stats.t.ppf(0.5 - confidence / 2, seeds - 1) * math.sqrt(seeds / (seeds - 1))
    low = float(scipy.stats.norm.cdf(quantile))
    return low, 1.0 - low


def interval(values: Doubles) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of (S,) values; the value twice for a single one."""
    if len(values) < 2:
        return float(values[0]), float(values[0])
    means = values[resamples(len(values))].mean(axis=1)
    low, high = np.quantile(means, levels(len(values)))
    return float(low), float(high)


def estimate(values: Doubles) -> Estimate:
    """The mean of (S,) values, with its interval."""
    return Estimate(float(values.mean()), *interval(values))


def band(curve: Curve) -> tuple[Doubles, Doubles]:
    """(k,) lower and upper ends of the interval of the mean at each point of a curve."""
    ends = np.array([interval(column) for column in curve.accuracies.T])
    return ends[:, 0], ends[:, 1]


def compare(method: str, curve: Curve, baseline: Curve) -> Comparison:
    """A method with the baseline, the same seeds in the same order and the same labels."""
    if curve.accuracies.shape != baseline.accuracies.shape or not np.array_equal(curve.labels, baseline.labels):
        raise ValueError(f"'{method}' and the baseline have other labels or seeds; compare what was run alike.")
    ahead = areas(curve) - areas(baseline)
    points = 100 * (curve.accuracies - baseline.accuracies)
    return Comparison(
        method=method,
        seeds=len(ahead),
        area=estimate(100 * ahead),
        final=estimate(points[:, -1]),
        start=estimate(points[:, 0]),
        better=float((ahead > 0).mean()),
        reach=_reach(curve, baseline),
        budget=int(curve.labels[-1]),
    )


def _reach(curve: Curve, baseline: Curve) -> Estimate | None:
    """Labels at which the mean curve reaches the baseline's mean final accuracy; seeds are resampled in pairs."""

    def reach(rows: Ints) -> float:
        goal = float(baseline.accuracies[rows, -1].mean())
        found = labels_to_reach(curve.labels, curve.accuracies[rows].mean(axis=0), goal)
        return math.inf if found is None else float(found)

    value = reach(np.arange(len(curve.accuracies)))
    if not math.isfinite(value):
        return None
    if len(curve.accuracies) < 2:
        return Estimate(value, value, value)
    low, high = _quantiles(reach, len(curve.accuracies))
    return Estimate(value, low, high)


def _quantiles(statistic: Callable[[Ints], float], seeds: int) -> tuple[float, float]:
    values = np.sort([statistic(rows) for rows in resamples(seeds)[:: 1 if seeds <= FEW else 5]])
    low, high = levels(seeds)
    return float(values[int(low * (len(values) - 1))]), float(values[math.ceil(high * (len(values) - 1))])


def verdict(comparison: Comparison, baseline: str, measure: str = "accuracy") -> str:
    """One plain sentence or two on what was shown at this budget."""
    if comparison.seeds < ENOUGH:
        plural = "seed" if comparison.seeds == 1 else "seeds"
        return f"No verdict: {comparison.seeds} {plural} cannot tell a gain from luck; run at least {ENOUGH}."
    area = comparison.area
    on_average = f"{area.value:+.1f} points on average over the budget [{area.low:+.1f}, {area.high:+.1f}]"
    seeds = f"better on {round(comparison.better * comparison.seeds)} of {comparison.seeds} seeds"
    if area.low > 0:
        return f"Better than {baseline}: {on_average}, {seeds}. {_saving(comparison, baseline, measure)}"
    if area.high < 0:
        return f"Worse than {baseline} at this budget: {on_average}, {seeds}."
    return f"Not better than {baseline} at this budget: {on_average}, {seeds}."


def _saving(comparison: Comparison, baseline: str, measure: str) -> str:
    if comparison.reach is None or comparison.saved is None:
        return f"It ends below {baseline} all the same."
    high = f"{comparison.reach.high:.0f}" if math.isfinite(comparison.reach.high) else "not always"
    return (
        f"It reaches {baseline}'s final {measure} with {comparison.reach.value:.0f} labels "
        f"[{comparison.reach.low:.0f}, {high}] of {comparison.budget}: {comparison.saved.value:.0f} saved."
    )
