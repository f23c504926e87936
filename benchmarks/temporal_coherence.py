"""Estimated errors of real detectors beside the true ones: MOT15 and KITTI, every second sequence held out.

rho: Spearman's correlation of estimate and truth over the frames of a sequence. gain: share of the errors in the top 10
% of frames, scaled so that random is 0 and the true counts are 1; ties count as if broken at random. Both are means
over sequences with 5 errors or more. raw: all boxes are shown; thr: those above the detector's display threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from benchmarks.tracking_data import Sequence, errors, folder, sequences
from plugins.video.coherence_scorer import with_ties_broken
from plugins.video.detections import Detections, Frames
from plugins.video.motion import Linear, Still
from plugins.video.ranks import ScoreRanks
from plugins.video.temporal_coherence import estimate_errors
from plugins.video.verdicts import Verdicts

TITLE = "Temporal coherence: estimated errors of real detectors beside the true ones, on MOT15 and KITTI"
Array = NDArray[Any]
TARGETS = ("raw FP", "thr FP", "thr FP+FN")
SHARE, DRAWS, NEAR = 0.02, 10, 3  # of frames labeled, drawings of them, and frames beside them that nobody would choose
BEST, REFERENCES = "calibrated, 2 % labeled", ("score alone", "entropy, sum", "thesis' cut, linear")
Figures = dict[str, dict[str, list[tuple[float, float]]]]  # estimator -> target -> (rho, gain) of each sequence


def run() -> dict[str, Any]:
    """rows: estimator by group of sequences. paired: differences by sequence with bootstrap intervals."""
    found = sequences()
    if not found:
        return {"rows": [], "note": f"No tracking data in {folder()}; set NEXTLABEL_DATA to the folder that holds it."}
    means: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    held: Figures = {}
    for part in ("held out", "all"):
        mine = [row for pool in sorted({one.pool for one in found}) for row in _pool_rows(found, pool, part, held)]
        names = dict.fromkeys(row["estimator"] for row in mine)
        means += [_mean(name, part, [row for row in mine if row["estimator"] == name]) for name in names]
        rows += mine
    return {
        "rows": means + rows,
        "paired": paired(held),
        "held_out": "every second sequence of each detector, by name; prior and weights are what the others ask for",
        "labels": f"{SHARE:.0%} of frames at random, {DRAWS} drawings; frames within {NEAR} of one do not count",
        "sequences": len(found),
    }


def _pool_rows(found: list[Sequence], pool: str, part: str, held: Figures) -> list[dict[str, Any]]:
    """Rows of one detector; figures of the sequences that are held out are added to `held`."""
    mine = sorted((one for one in found if one.pool == pool), key=lambda one: one.name)
    figures = measured((mine[1::2] or mine) if part == "held out" else mine)
    for name, targets in figures.items() if part == "held out" else ():
        for target, values in targets.items():
            held.setdefault(name, {}).setdefault(target, []).extend(values)
    return [{"sequences": f"{pool}, {part}", "estimator": name, **_cells(targets)} for name, targets in figures.items()]


def measured(sequences: list[Sequence]) -> Figures:
    """Every estimator on the sequences of one detector."""
    pool = Pool(sequences)
    figures: Figures = {}
    for kind in ("raw", "thr"):
        for name, estimates in pool.estimators(kind).items():
            for target, truth in pool.targets(kind).items():
                keep = np.ones(len(truth), dtype=bool)
                figures.setdefault(name, {})[target] = pool.by_sequence(estimates[target[-2:]], truth, keep)
        drawn: dict[str, dict[str, list[Array]]] = {}
        for draw in range(DRAWS):
            for name, target, values in pool.labeled(kind, draw):
                drawn.setdefault(name, {}).setdefault(target, []).append(np.array(values))
        for name, targets in drawn.items():
            for target, many in targets.items():
                pairs = np.moveaxis(np.array(many), 0, 1)  # of each sequence, those of all drawings
                figures.setdefault(name, {})[target] = [_mean_pair(values) for values in pairs]
    return figures


class Pool:
    """The sequences of one detector as one set of detections, with the truth of each."""

    def __init__(self, sequences: list[Sequence]) -> None:
        self.lengths = [one.frames for one in sequences]
        starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.sequence = np.repeat(np.arange(len(sequences)), self.lengths)
        size = np.repeat([one.size for one in sequences], self.lengths, axis=0)
        number = np.concatenate([np.arange(n) for n in self.lengths])
        self.detections = Detections(
            Frames(number, video=self.sequence, size=size),
            np.concatenate([one.frame + start for one, start in zip(sequences, starts, strict=False)]),
            np.concatenate([one.box for one in sequences]),
            np.concatenate([one.score for one in sequences]),
            np.concatenate([one.label for one in sequences]),
        )
        of_box = np.repeat(np.arange(len(sequences)), [len(one.frame) for one in sequences])
        limit = np.array([one.displayed for one in sequences])[of_box]
        self.shown = {"raw": np.ones(len(self.detections), dtype=bool), "thr": self.detections.score >= limit}
        self.wrong, self.missed = {}, {}
        for kind, shown in self.shown.items():
            pairs = [errors(one, shown[of_box == i]) for i, one in enumerate(sequences)]
            self.wrong[kind] = np.concatenate([wrong for wrong, _ in pairs])
            self.missed[kind] = np.concatenate([missed for _, missed in pairs])
        self.probability = _probabilities(self.detections, sequences[0].pool)

    def targets(self, kind: str) -> dict[str, Array]:
        """Target -> (F,) true errors."""
        false = self._sum(np.nan_to_num(self.wrong[kind]), kind)
        return {"raw FP": false} if kind == "raw" else {"thr FP": false, "thr FP+FN": false + self.missed[kind]}

    def estimators(self, kind: str) -> dict[str, dict[str, Array]]:
        """Estimator -> 'FP' and 'FN' (the sum of both) -> (F,), without labels."""
        p, count = self.probability, self._sum(np.ones(len(self.detections)), kind)
        entropy = scipy.special.entr(p) + scipy.special.entr(1 - p)
        rank = scipy.special.expit(_rank_logits(self.detections))
        plain = {
            "number of detections": count,
            "least confidence, mean": self._sum(1 - p, kind) / np.maximum(count, 1),
            "entropy, mean": self._sum(entropy, kind) / np.maximum(count, 1),
            "entropy, sum": self._sum(entropy, kind),
            "score alone": self._sum(1 - rank, kind),
        }
        found = {name: {"FP": values, "FN": values} for name, values in plain.items()}
        for name, mode, tracker in (
            ("thesis' cut, still", "thesis", Still()),
            ("thesis' cut, linear", "thesis", Linear()),
            ("calibrated, no labels", "calibrated", Linear()),
        ):
            estimate = estimate_errors(self.detections, tracker, mode=mode, shown=self.shown[kind])  # type: ignore[arg-type]  # both are modes
            false, missed = estimate.false_positives, estimate.false_negatives
            found[name] = {"FP": false, "FN": false + missed}
            if mode == "thesis":
                doubt = self._sum(1 - p, kind)
                broken = {target: with_ties_broken(counts, doubt) for target, counts in found[name].items()}
                found[f"{name}, ties by score"] = broken
        truth = self.targets(kind)
        found["oracle"] = {target[-2:]: values for target, values in truth.items()}
        return found

    def labeled(self, kind: str, draw: int) -> Iterator[tuple[str, str, list[tuple[float, float]]]]:
        """(estimator, target, figures) of the estimators that learn from labels."""
        f = len(self.sequence)
        seen = np.random.default_rng(draw).random(f) < SHARE
        beside = np.clip(np.flatnonzero(seen)[:, None] + np.arange(-NEAR, NEAR + 1), 0, f - 1)
        same = self.sequence[beside] == self.sequence[seen][:, None]
        keep = np.ones(f, dtype=bool)
        keep[beside[same]] = False
        false = self._sum(np.nan_to_num(self.wrong[kind]), kind)
        verdicts = Verdicts(
            np.where(seen[self.detections.frame], self.wrong["raw"], np.nan),
            np.where(seen, false, np.nan),
            np.where(seen, self.missed[kind], np.nan),
        )
        shown = self.shown[kind]
        both = estimate_errors(self.detections, Linear(), shown=shown, verdicts=verdicts)
        alone = estimate_errors(self.detections, Linear(), shown=shown, calibration=both.calibration)
        for name, one in ((BEST, both), (f"{BEST}, coefficients alone", alone)):
            for target, truth in self.targets(kind).items():
                values = one.false_positives + (one.false_negatives if target.endswith("FN") else 0)
                yield name, target, self.by_sequence(values, truth, keep)

    def by_sequence(self, values: Array, truth: Array, keep: Array) -> list[tuple[float, float]]:
        """(rho, gain) of each sequence; NaN where it has too few errors."""
        rows = [np.flatnonzero((self.sequence == one) & keep) for one in range(len(self.lengths))]
        return [figures_of(values[mine], truth[mine]) for mine in rows]

    def _sum(self, values: Array, kind: str) -> Array:
        shown = self.shown[kind]
        return np.bincount(self.detections.frame[shown], values[shown], len(self.sequence))


def figures_of(values: Array, truth: Array) -> tuple[float, float]:
    """rho and gain of one sequence."""
    if truth.sum() < 5 or np.ptp(truth) == 0:
        return float("nan"), float("nan")
    rho = 0.0 if np.ptp(values) == 0 else float(scipy.stats.spearmanr(values, truth).statistic)
    n = max(1, round(0.1 * len(truth)))
    random, best = n / len(truth), share_of_top(truth.astype(float), truth, n)
    return rho, (share_of_top(values, truth, n) - random) / (best - random)


def share_of_top(values: Array, truth: Array, n: int) -> float:
    """Expected share of the errors in the n frames with the largest values, ties broken at random."""
    limit = np.partition(values, len(values) - n)[len(values) - n]
    above, equal = values > limit, values == limit
    return float((truth[above].sum() + (n - above.sum()) * truth[equal].mean()) / truth.sum())


def paired(figures: Figures) -> list[dict[str, Any]]:
    """Calibrated less each reference, by sequence: mean and 95 % interval of 10 000 bootstrap samples of sequences."""
    rng, found = np.random.default_rng(0), []
    for name in (BEST, "calibrated, no labels"):
        for reference in REFERENCES:
            for target in TARGETS:
                difference = np.array(figures[name][target]) - np.array(figures[reference][target])
                difference = difference[~np.isnan(difference).any(axis=1)]
                if not len(difference):
                    continue
                samples = difference[rng.integers(len(difference), size=(10_000, len(difference)))].mean(axis=1)
                low, high = np.quantile(samples, [0.025, 0.975], axis=0)
                row: dict[str, Any] = {"estimator": name, "less": reference, "target": target, "of": len(difference)}
                for i, figure in enumerate(("rho", "gain")):
                    row[figure] = round(float(difference[:, i].mean()), 3)
                    row[f"{figure}_95"] = [round(float(low[i]), 3), round(float(high[i]), 3)]
                found.append(row)
    return found


def _mean_pair(pairs: Array | list[tuple[float, float]]) -> tuple[float, float]:
    """Mean (rho, gain) of those that are known; NaN if none is."""
    known = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    known = known[~np.isnan(known).any(axis=1)]
    return (float(known[:, 0].mean()), float(known[:, 1].mean())) if len(known) else (float("nan"), float("nan"))


def _cells(targets: dict[str, list[tuple[float, float]]]) -> dict[str, float | None]:
    """A row's figures; None where no sequence has errors enough."""
    cells: dict[str, float | None] = {}
    for target in TARGETS:
        for name, value in zip(("rho", "gain"), _mean_pair(targets[target]), strict=True):
            cells[f"{target} {name}"] = None if np.isnan(value) else round(value, 3)
    return cells


def _mean(name: str, part: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The mean over detectors."""
    cells: dict[str, Any] = {"sequences": f"mean of detectors, {part}", "estimator": name}
    for key in [key for key in rows[0] if key[:3] in ("raw", "thr")]:
        known = [row[key] for row in rows if row[key] is not None]
        cells[key] = round(float(np.mean(known)), 3) if known else None
    return cells


def _rank_logits(detections: Detections) -> Array:
    ranks = ScoreRanks.of([(detections.score, detections.label)])
    return ranks.logits(detections.score, detections.label)


def _probabilities(detections: Detections, pool: str) -> Array:
    """(K,) the score as a probability: as it is, through a sigmoid if it is a logit, or its rank if it is neither."""
    as_probability: dict[str, Callable[[], Array]] = {
        "MOT15 frcnn": lambda: detections.score,
        "KITTI pointrcnn": lambda: np.asarray(scipy.special.expit(detections.score)),
    }
    return as_probability.get(pool, lambda: np.asarray(scipy.special.expit(_rank_logits(detections))))()
