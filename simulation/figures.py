"""Figures of learning curves and what goes with them: for reports, studies and the demo alike."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulation.curve import Curve
from simulation.statistics import band

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Doubles = NDArray[np.float64]
COLOURS = ("#0b6e99", "#b0562c", "#3d7a3a", "#7a4a8f", "#b08a00", "#a03050", "#3f6fb5", "#00807a", "#8a5a44", "#5a5a5a")
BASELINE = "#777777"
MARKERS = "osD^v"  # of the lines that share a colour


@dataclass(frozen=True)
class Line:
    """One curve as it is drawn: labels (k,), values (k,) and, where there is one, its interval (k,) each."""

    labels: Sequence[int] | NDArray[np.int64]
    values: Doubles
    low: Doubles | None = None
    high: Doubles | None = None

    @classmethod
    def of(cls, curve: Curve) -> Line:
        """Mean over the seeds, with the interval of the mean where there are two or more."""
        if len(curve.accuracies) < 2:
            return cls(curve.labels, curve.mean)
        return cls(curve.labels, curve.mean, *band(curve))


def lines(
    shown: Mapping[str, Line],
    *,
    title: str,
    value: str,
    percent: bool = True,
    baseline: str | None = None,
    over: str = "labels given",
) -> Figure:
    """Lines over labels given (or what `over` says), the baseline grey and dashed, intervals as bands."""
    figure, axes = _axes(title)
    factor = 100.0 if percent else 1.0
    drawn: list[str] = []
    for colour, (name, line) in zip(_colours(list(shown), baseline), shown.items(), strict=True):
        style: dict[str, Any] = {"ls": "--"} if name == baseline else {}
        if colour in drawn:
            style["ls"] = ":"
        mark = MARKERS[drawn.count(colour) % len(MARKERS)]
        drawn.append(colour)
        axes.plot(line.labels, factor * line.values, marker=mark, ms=3, label=name, color=colour, **style)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.labels, factor * line.low, factor * line.high, alpha=0.13, color=colour, lw=0)
    axes.set(xlabel=over, ylabel=f"{value}, %" if percent else value)
    axes.legend(loc="best", fontsize=8)
    return figure


def bars(
    shown: Mapping[str, Doubles], ticks: Sequence[str], *, title: str, value: str, baseline: str | None = None
) -> Figure:
    """Grouped bars: for each of k ticks one bar per name, (k,) values each."""
    figure, axes = _axes(title)
    width = 0.8 / max(1, len(shown))
    for place, (colour, (name, values)) in enumerate(zip(_colours(list(shown), baseline), shown.items(), strict=True)):
        axes.bar(np.arange(len(ticks)) - 0.4 + (place + 0.5) * width, values, width, label=name, color=colour)
    rotated = 45 if max(map(len, ticks), default=0) > 4 else 0
    axes.set_xticks(np.arange(len(ticks)), ticks, rotation=rotated, ha="right" if rotated else "center", fontsize=8)
    axes.set(ylabel=value)
    axes.legend(loc="best", fontsize=8)
    return figure


def _axes(title: str) -> tuple[Figure, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "nextlabel"  # the same figures give the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.8), dpi=150)
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
    return figure, axes


def _colours(names: Sequence[str], baseline: str | None) -> list[str]:
    others = [name for name in names if name != baseline]
    own = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(others)}
    return [own.get(name, BASELINE) for name in names]


def save(figure: Figure, path: Path) -> str:
    """Saves a figure as PNG and returns it as an SVG element to stand in a page."""
    from matplotlib import pyplot as plt

    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
