"""Charts as Plotly draws them, each with the table that says the same: for Learning and Balance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_backend.loop.balance import BalanceRow
from ml_backend.loop.learning_curve import Point
from plugins.balance.wanted import l1_score

MOST = 12  # lines in a chart; of more classes the scarcest and the most common are drawn
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKS = ("circle", "square", "diamond", "cross", "x", "triangle-up")


@dataclass(frozen=True)
class Chart:
    """id of the element, title, Plotly's figure, and the table's head and rows as text."""

    id: str
    title: str
    figure: dict[str, Any]
    head: list[str]
    rows: list[list[str]]


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def line(name: str, x: Sequence[Any], y: Sequence[Any], number: int = 0, **more: Any) -> dict[str, Any]:
    """A series told from the others by dash and mark too, not by its colour alone."""
    turn = number // len(DASHES)  # colours come again after six lines, and then with another dash and mark
    dash = {"dash": DASHES[(number + turn) % len(DASHES)]}
    mark = {"symbol": MARKS[(number + 2 * turn) % len(MARKS)], "size": 7}
    return {"type": "scatter", "mode": "lines+markers", "name": name, "x": list(x), "y": list(y), "line": dash,
            "marker": mark, **more}  # fmt: skip


def with_interval(series: dict[str, Any], low: Sequence[float], high: Sequence[float]) -> dict[str, Any]:
    """The series with error bars from `low` to `high`."""
    y = series["y"]
    above = [top - value for top, value in zip(high, y, strict=True)]
    below = [value - bottom for bottom, value in zip(low, y, strict=True)]
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.2, "width": 4}
    return {**series, "error_y": bars}


def _layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    below = {"y": -0.3, "yanchor": "top"}  # the legend, clear of the axis' title
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}, **more}, "legend": below}


# learning


def against_labels(points: Sequence[Point], savings: dict[str, Any] | None, measure: str) -> Chart:
    """The measure by labels; beside it what random labels would have given, where the control arm can tell."""
    labels = [point.labels for point in points]
    held = line(f"{measure}, held out", labels, [point.value for point in points])
    data = [with_interval(held, [point.low for point in points], [point.high for point in points])]
    rows = [
        [str(p.cycle), str(p.labels), f"{measure}, held out", percent(p.value), _span(p.low, p.high)] for p in points
    ]
    measured = [(point, point.remaining) for point in points if point.remaining is not None]
    if measured:
        series = line(
            "On what is unlabeled (control arm)", [p.labels for p, _ in measured], [r.value for _, r in measured], 1
        )
        data.append(with_interval(series, [r.low for _, r in measured], [r.high for _, r in measured]))
        rows += [
            [str(p.cycle), str(p.labels), "on what is unlabeled", percent(r.value), _span(r.low, r.high)]
            for p, r in measured
        ]
    curve = _curve(savings)
    if curve:
        series = line("Random labels, estimated", [n for n, _ in curve], [one["value"] for _, one in curve], 2)
        data.append(with_interval(series, [one["low"] for _, one in curve], [one["high"] for _, one in curve]))
        rows += [
            ["", str(n), "random labels", percent(one["value"]), _span(one["low"], one["high"])] for n, one in curve
        ]
    head = ["Cycle", "Labels", "What", "Value", "95 % interval"]
    figure = {"data": data, "layout": _layout("labels", measure, tickformat=".0%")}
    return Chart("chart-labels", f"{measure} against labels", figure, head, rows)


def _curve(savings: dict[str, Any] | None) -> list[tuple[int, dict[str, float]]]:
    """(random labels, accuracy) as the control arm measured them, fewest first, where they can be told."""
    found = [(int(n), one) for n, one in (savings or {}).get("curve", {}).items()]
    return sorted((n, one) for n, one in found if None not in (one["value"], one["low"], one["high"]))


def against_hours(points: Sequence[Point], measure: str) -> Chart:
    """The measure by hours of annotation: Label Studio's lead times, added up."""
    hours = [round(point.hours, 3) for point in points]
    series = line(f"{measure}, held out", hours, [point.value for point in points])
    data = [with_interval(series, [point.low for point in points], [point.high for point in points])]
    rows = [[str(p.cycle), f"{p.hours:.2f}", percent(p.value), _span(p.low, p.high)] for p in points]
    figure = {"data": data, "layout": _layout("hours of annotation", measure, tickformat=".0%")}
    return Chart(
        "chart-hours",
        f"{measure} against hours of annotation",
        figure,
        ["Cycle", "Hours", measure, "95 % interval"],
        rows,
    )


def _span(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


# balance


def class_counts(rows: Sequence[BalanceRow], classes: Sequence[str], target: Sequence[float] | None) -> Chart:
    """Labels of each class, cycle by cycle, and at the end the number that the target asks for.

    rows: oldest first. target: (C,) shares that sum to 1, None where it is not known beforehand.
    """
    fitting = [row for row in rows if len(row.counts) == len(classes)]
    cycles = [row.cycle for row in fitting]
    newest = fitting[-1].counts if fitting else [0] * len(classes)
    drawn = _drawn(newest)
    data = [line(classes[c], cycles, [row.counts[c] for row in fitting], place) for place, c in enumerate(drawn)]
    wanted = [None] * len(classes) if target is None else [share * sum(newest) for share in target]
    if target is not None and cycles:
        data.append(
            {"type": "scatter", "mode": "markers", "name": "target", "x": [cycles[-1]] * len(drawn),
             "y": [wanted[c] for c in drawn], "marker": {"symbol": "line-ew-open", "size": 14}}
        )  # fmt: skip
    last = fitting[-1].counts if fitting else []
    before = fitting[-2].counts if len(fitting) > 1 else last
    table = [
        [name, str(last[c]), f"+{max(last[c] - before[c], 0)}", "" if wanted[c] is None else f"{wanted[c]:.0f}"]
        for c, name in enumerate(classes)
        if last
    ]
    title = "Labels of each class" + ("" if len(drawn) == len(classes) else f", the {len(drawn)} that stand out")
    head = ["Class", "Labels", "In the last cycle", "By the target"]
    return Chart("chart-counts", title, {"data": data, "layout": _layout("cycle", "labels")}, head, table)


def _drawn(counts: Sequence[int]) -> list[int]:
    """The scarcest and the most common classes, in the order of the config."""
    order = np.argsort(counts, kind="stable").tolist()
    return sorted(order if len(order) <= MOST else [*order[: MOST // 2], *order[-MOST // 2 :]])


def evenness(rows: Sequence[BalanceRow]) -> Chart:
    """L1 scores by cycle: of all labels, of what was added, and what the selector expected of its batch."""
    expected = [_expected(row) for row in rows]
    cycles = [row.cycle for row in rows]
    series: list[tuple[str, list[float | None]]] = [
        ("all labels", [row.score for row in rows]),
        ("added", [row.added_score for row in rows]),
        ("expected of the batch", expected),
    ]
    data = [
        line(name, cycles, values, number)
        for number, (name, values) in enumerate(series)
        if any(v is not None for v in values)
    ]
    table = [
        [str(row.cycle), *("" if v is None else f"{v:.3f}" for v in (row.score, row.added_score, wanted))]
        for row, wanted in zip(rows, expected, strict=True)
    ]
    head = ["Cycle", "All labels", "Added", "Expected of the batch"]
    figure = {"data": data, "layout": _layout("cycle", "L1 score: 0 even, 1 one class", rangemode="tozero")}
    return Chart("chart-evenness", "How even the classes are", figure, head, table)


def _expected(row: BalanceRow) -> float | None:
    expected = row.facts.get("expected")
    return l1_score(np.array(expected)) if expected else None


def proofs(rows: Sequence[BalanceRow]) -> Chart | None:
    """The gap that was proven and lambda, by cycle; None where no selector proved anything."""
    proven = [row for row in rows if row.facts.get("gap") is not None]
    if not proven:
        return None
    cycles = [row.cycle for row in proven]
    gap = line("proven gap", cycles, [row.facts["gap"] for row in proven])
    weights = [row.facts.get("weight") for row in proven]
    second = line("lambda", cycles, weights, 1, yaxis="y2")
    layout = _layout("cycle", "gap", rangemode="tozero", tickformat=".1e")
    layout["yaxis2"] = {"title": {"text": "lambda"}, "overlaying": "y", "side": "right", "rangemode": "tozero"}
    table = [
        [str(row.cycle), f"{row.facts['gap']:.2g}", "" if weight is None else f"{weight:.3g}"]
        for row, weight in zip(proven, weights, strict=True)
    ]
    return Chart(
        "chart-proofs",
        "Lambda and the proven gap",
        {"data": [gap, second], "layout": layout},
        ["Cycle", "Gap", "Lambda"],
        table,
    )


def lambda_path(rows: Sequence[BalanceRow]) -> Chart | None:
    """Balance against cost at each weight that the newest batch tried, the chosen one marked."""
    row = next((row for row in reversed(rows) if row.facts.get("path")), None)
    if row is None:
        return None
    path, chosen = row.facts["path"], row.facts.get("weight")
    series = line("weights tried", [one["cost"] for one in path], [one["distance"] for one in path])
    series |= {"text": [f"lambda {one['weight']:.3g}" for one in path], "hoverinfo": "text+x+y"}
    mine = [one for one in path if one["weight"] == chosen]
    data = [series]
    if mine:
        star = {"symbol": "star", "size": 15}
        place = {"x": [mine[0]["cost"]], "y": [mine[0]["distance"]]}
        data.append(
            {"type": "scatter", "mode": "markers", "name": f"chosen: lambda {chosen:.3g}", **place, "marker": star}
        )
    table = [
        [
            f"{one['weight']:.3g}",
            f"{one['distance']:.2f}",
            f"{one['cost']:.3f}",
            "chosen" if one["weight"] == chosen else "",
        ]
        for one in path
    ]
    figure = {"data": data, "layout": _layout("cost of the batch by the scores", "distance from the target")}
    return Chart(
        "chart-path", f"What balance costs, cycle {row.cycle}", figure, ["Lambda", "Distance", "Cost", ""], table
    )
