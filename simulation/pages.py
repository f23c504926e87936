"""Pages of published studies: tables and figures come from result files, so that no number is typed by hand.

`python -m simulation.pages docs/studies/NAME.md STUDY_DIR` takes over a finished study; without STUDY_DIR the tables
are written anew from the results that lie beside the page.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from simulation.report import FIGURES, NUMBERS

BLOCK = re.compile(r"(<!-- results: (?P<condition>[^ ]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


class PageError(ValueError):
    """A page that cannot be filled; one sentence with the culprit."""


def fill(text: str, results: dict[str, Any], folder: str) -> str:
    """A page with the block of each condition replaced by its table and figure; folder: where the figures lie."""

    def block(match: re.Match[str]) -> str:
        name = match["condition"]
        if name not in results["conditions"]:
            raise PageError(f"The page asks for '{name}'; the results have {', '.join(results['conditions'])}.")
        body = f"{table(results, name)}\n\n![{name}: accuracy against labels]({folder}/{name}-accuracy.png)\n"
        return f"{match[1]}{body}{match[4]}"

    return BLOCK.sub(block, text)


def table(results: dict[str, Any], condition: str) -> str:
    """One row per method, as Markdown."""
    baseline = results["study"]["baseline"]
    rows = [
        f"| method | seeds | final accuracy, % | mean difference to {baseline}, points | at the end | better on "
        f"| n* (labels to reach {baseline}'s end) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, method in results["conditions"][condition]["methods"].items():
        final, found = method["final"], method["comparison"]
        cells = [name, str(len(method["seeds"])), _interval(final, 100, plus=False)]
        if found is None:
            cells += ["", "", "", str(method["labels"][-1])]
        else:
            cells += [
                _interval(found["area"], 1),
                _interval(found["final"], 1),
                f"{100 * found['better']:.0f} %",
                _reach(found["reach"]),
            ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _interval(estimate: dict[str, float], factor: float, *, plus: bool = True) -> str:
    sign = "+" if plus else ""
    value, low, high = (format(factor * estimate[key], f"{sign}.1f") for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _reach(estimate: dict[str, float | None] | None) -> str:
    if estimate is None:
        return "never"
    low, high = (f"{end:.0f}" if end is not None else "not always" for end in (estimate["low"], estimate["high"]))
    return f"{estimate['value']:.0f} [{low}, {high}]"


def publish(page: Path, study: Path | None) -> None:
    """Fills a page; takes results.json and the accuracy figures of `study` into the folder of the page's name."""
    home = page.with_suffix("")
    if study is not None:
        home.mkdir(exist_ok=True)
        shutil.copy(study / NUMBERS, home / NUMBERS)
        for figure in sorted((study / FIGURES).glob("*-accuracy.png")):
            shutil.copy(figure, home / figure.name)
    results = json.loads((home / NUMBERS).read_text(encoding="utf-8"))
    page.write_text(fill(page.read_text(encoding="utf-8"), results, home.name), encoding="utf-8")


if __name__ == "__main__":
    publish(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
