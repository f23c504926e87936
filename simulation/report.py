"""A study's report: one HTML page that needs nothing beside it, the figures as PNG, the numbers as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
import yaml

from simulation import figures
from simulation.experiment import STUDY
from simulation.figures import Line
from simulation.results import ConditionResult, Results, collect, summary
from simulation.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, NUMBERS, FIGURES = "report.html", "results.json", "figures"
MOST_CLASSES = 20  # beyond it a bar per class cannot be read: sorted accuracies are drawn instead


def write(folder: Path) -> Results:
    """Writes report.html, results.json and figures/*.png into a study's directory, as far as it is finished."""
    results = collect(folder)
    (folder / NUMBERS).write_text(json.dumps(summary(results), indent=1) + "\n", encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("simulation", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"points": _points, "percent": _percent, "count": _count}
    page = environment.get_template("report.html").render(
        results=results,
        drawn={condition.name: _draw(folder, condition, results.study.baseline) for condition in results.conditions},
        study=yaml.safe_dump(results.study.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        command=f"nextlabel simulate {STUDY}",
    )
    (folder / PAGE).write_text(page, encoding="utf-8")
    return results


def _draw(folder: Path, condition: ConditionResult, baseline: str) -> dict[str, str]:
    """Caption -> SVG of each figure of a condition; the PNGs lie in figures/."""
    methods = condition.methods
    drawn = {
        "accuracy": figures.lines(
            {method.method: Line.of(method.curve) for method in methods},
            title=f"{condition.name}: {condition.measure} on the test images",
            value=condition.measure,
            baseline=baseline,
        ),
        "balance": figures.lines(
            {method.method: Line.of(method.balance) for method in methods},
            title=f"{condition.name}: L1 balance score of all labels (0 balanced, 1 one class)",
            value="L1 score",
            percent=False,
            baseline=baseline,
        ),
        "classes": _classes(condition, baseline),
        "seconds": _seconds(condition),
    }
    queried = {method.method: method.informativeness for method in methods if method.informativeness is not None}
    if queried:
        drawn["informativeness"] = figures.lines(
            {name: Line.of(curve) for name, curve in queried.items()},
            title=f"{condition.name}: the model's {condition.measure} on what was queried, before it was labeled",
            value=f"{condition.measure} on the batch",
            baseline=baseline,
        )
    return {
        name: figures.save(figure, folder / FIGURES / f"{condition.name}-{name}.png") for name, figure in drawn.items()
    }


def _classes(condition: ConditionResult, baseline: str) -> Figure:
    title = f"{condition.name}: {condition.measure} per class at the last training"
    rows = {method.method: 100 * method.per_class for method in condition.methods}
    if len(condition.classes) <= MOST_CLASSES:
        return figures.bars(rows, condition.classes, title=title, value=f"{condition.measure}, %", baseline=baseline)
    order = {name: np.sort(row[~np.isnan(row)]) / 100 for name, row in rows.items()}
    shown = {name: Line(np.arange(1, len(row) + 1), row) for name, row in order.items()}
    return figures.lines(shown, title=f"{title}, worst first", value=condition.measure, baseline=baseline, over="class")


def _seconds(condition: ConditionResult) -> Figure:
    stages = list(dict.fromkeys(stage for method in condition.methods for stage in method.seconds))
    rows = {
        method.method: np.array([method.seconds.get(stage, 0.0) for stage in stages]) for method in condition.methods
    }
    return figures.bars(rows, stages, title=f"{condition.name}: time per cycle", value="seconds")


def _points(estimate: Estimate | None) -> str:
    """A difference in accuracy points with its interval.

    >>> _points(Estimate(1.234, 0.5, 2.0))
    '+1.2 [+0.5, +2.0]'
    """
    return "" if estimate is None else f"{estimate.value:+.1f} [{estimate.low:+.1f}, {estimate.high:+.1f}]"


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _count(estimate: Estimate | None) -> str:
    """Labels with their interval.

    >>> _count(Estimate(146.0, 139.5, math.inf)), _count(None)
    ('146 [140, not always]', 'not reached')
    """
    if estimate is None:
        return "not reached"
    high = f"{estimate.high:.0f}" if math.isfinite(estimate.high) else "not always"
    low = f"{estimate.low:.0f}" if math.isfinite(estimate.low) else "not always"
    return f"{estimate.value:.0f} [{low}, {high}]"
