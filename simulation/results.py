"""The figures of a study, read from its directory: curves, comparisons, and everything else that was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulation.curve import Curve, areas
from simulation.experiment import PROVENANCE, Progress, cycles, open_study, progress
from simulation.statistics import Comparison, Estimate, band, compare, estimate, verdict
from simulation.study import Study, Trial
from simulation.trial import Cycle

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class MethodResult:
    """One method on one condition, over the S seeds that are finished."""

    method: str
    seeds: tuple[int, ...]
    curve: Curve
    per_class: Doubles  # (C,) accuracy at the last point, mean over the seeds; NaN where no test image has the class
    informativeness: Curve | None  # at the labels before each batch; None for a single training
    balance: Curve  # L1 score of all labels
    batch_balance: Curve | None
    batch_modelled: Curve | None  # L1 score of what the model expected each batch to be
    seconds: dict[str, float]  # per cycle and stage, mean
    notes: dict[str, int]  # what cycles said -> how many
    comparison: Comparison | None  # with the baseline, on the seeds both have; None for the baseline itself
    verdict: str

    @property
    def final(self) -> Estimate:
        return estimate(self.curve.accuracies[:, -1])

    @property
    def area(self) -> Estimate:
        return estimate(areas(self.curve))


@dataclass(frozen=True)
class ConditionResult:
    """All methods on one condition."""

    name: str
    classes: tuple[str, ...]
    dataset: str  # with its caveats
    methods: tuple[MethodResult, ...]
    measure: str = "accuracy"  # what "accuracy" stands for everywhere here


@dataclass(frozen=True)
class Results:
    """A whole study, as far as it is finished."""

    study: Study
    provenance: dict[str, Any]
    conditions: tuple[ConditionResult, ...]
    unfinished: tuple[Progress, ...]


def collect(folder: Path) -> Results:
    """Reads a study's directory; conditions without a finished trial of the baseline are left out."""
    study = open_study(folder)
    states = progress(folder, study)
    finished = [state.trial for state in states if state.finished]
    about = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    conditions = [_condition(folder, study, name, finished, about) for name in study.conditions]
    return Results(
        study,
        about,
        tuple(condition for condition in conditions if condition.methods),
        tuple(state for state in states if not state.finished),
    )


def _condition(folder: Path, study: Study, name: str, finished: list[Trial], about: dict[str, Any]) -> ConditionResult:
    runs = {
        method: {
            trial.seed: cycles(folder, trial) for trial in finished if (trial.condition, trial.method) == (name, method)
        }
        for method in study.methods_of(name)
    }
    known = about["conditions"][name]
    measure = known.get("measure", "accuracy")
    twin = runs.get(study.baseline, {})
    methods = [_method(method, own, twin, study.baseline, measure) for method, own in runs.items() if own and twin]
    return ConditionResult(name, tuple(known["classes"]), known["dataset"], tuple(methods), measure)


def _method(
    method: str, runs: dict[int, list[Cycle]], twin: dict[int, list[Cycle]], baseline: str, measure: str
) -> MethodResult:
    own = list(runs.values())
    shared = sorted(set(runs) & set(twin))
    comparison = None
    if method != baseline and shared:
        comparison = compare(
            method,
            _curve([runs[seed] for seed in shared], lambda cycle: cycle.accuracy),
            _curve([twin[seed] for seed in shared], lambda cycle: cycle.accuracy),
        )
    return MethodResult(
        method=method,
        seeds=tuple(runs),
        curve=_curve(own, lambda cycle: cycle.accuracy),
        per_class=_per_class([run[-1] for run in own]),
        informativeness=_batches(own, lambda cycle: cycle.informativeness),
        balance=_curve(own, lambda cycle: cycle.balance),
        batch_balance=_batches(own, lambda cycle: cycle.batch_balance),
        batch_modelled=_batches(own, lambda cycle: cycle.batch_modelled),
        seconds=_seconds(own),
        notes=_notes(own),
        comparison=comparison,
        verdict=verdict(comparison, baseline, measure) if comparison else _unpaired(method, baseline),
    )


def _unpaired(method: str, baseline: str) -> str:
    return (
        "The baseline." if method == baseline else f"No verdict: no seed is finished by both {method} and {baseline}."
    )


def _curve(runs: list[list[Cycle]], value: Callable[[Cycle], float]) -> Curve:
    labels = np.array([cycle.labels for cycle in runs[0]], dtype=np.int64)
    return Curve(labels, np.array([[value(cycle) for cycle in run] for run in runs]))


def _batches(runs: list[list[Cycle]], value: Callable[[Cycle], float | None]) -> Curve | None:
    """Of the cycles that chose a batch: all but the last."""
    if len(runs[0]) < 2:
        return None
    return _curve([run[:-1] for run in runs], lambda cycle: math.nan if (v := value(cycle)) is None else v)


def _per_class(last: list[Cycle]) -> Doubles:
    rows = np.array([[math.nan if value is None else value for value in cycle.per_class] for cycle in last])
    known = ~np.isnan(rows).all(axis=0)
    out = np.full(rows.shape[1], np.nan)
    out[known] = np.nanmean(rows[:, known], axis=0)
    return out


def _seconds(runs: list[list[Cycle]]) -> dict[str, float]:
    stages = dict.fromkeys(stage for run in runs for cycle in run for stage in cycle.seconds)
    total = sum(len(run) for run in runs)
    return {stage: sum(cycle.seconds.get(stage, 0.0) for run in runs for cycle in run) / total for stage in stages}


def _notes(runs: list[list[Cycle]]) -> dict[str, int]:
    said: dict[str, int] = {}
    for run in runs:
        for cycle in run:
            for note in cycle.notes:
                said[note] = said.get(note, 0) + 1
    return dict(sorted(said.items(), key=lambda entry: -entry[1]))


def summary(results: Results) -> dict[str, Any]:
    """Everything that the figures show, as plain numbers for JSON."""
    return {
        "study": results.study.model_dump(mode="json"),
        "provenance": results.provenance,
        "unfinished": [state.trial.name for state in results.unfinished],
        "conditions": {
            condition.name: {
                "dataset": condition.dataset,
                "measure": condition.measure,
                "classes": list(condition.classes),
                "methods": {method.method: _numbers(method) for method in condition.methods},
            }
            for condition in results.conditions
        },
    }


def _numbers(method: MethodResult) -> dict[str, Any]:
    low, high = band(method.curve)
    compared = method.comparison
    found = None
    if compared is not None:
        found = {**asdict(compared), "saved": asdict(compared.saved) if compared.saved else None}
    numbers: dict[str, Any] = _finite(
        {
            "seeds": list(method.seeds),
            "labels": method.curve.labels.tolist(),
            "accuracy": method.curve.mean.tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
            "final": asdict(method.final),
            "area": asdict(method.area),
            "per_class": method.per_class.tolist(),
            "informativeness": method.informativeness.mean.tolist() if method.informativeness else None,
            "balance": method.balance.mean.tolist(),
            "batch_balance": method.batch_balance.mean.tolist() if method.batch_balance else None,
            "batch_modelled": method.batch_modelled.mean.tolist() if method.batch_modelled else None,
            "seconds": method.seconds,
            "notes": method.notes,
            "comparison": found,
            "verdict": method.verdict,
        }
    )
    return numbers


def _finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity: null stands for both. Six digits are plenty."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
