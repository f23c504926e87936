"""Pages of published studies: tables and figures come from result files, so that no number is typed by hand.

`python -m simulation.pages docs/studies/NAME.md STUDY_DIR` takes over a finished study; without STUDY_DIR the tables
are written anew from the results that lie beside the page.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulation.report import FIGURES, NUMBERS

BLOCK = re.compile(
    r"(<!-- results: (?P<condition>[^ ]+)(?P<extras>(?: [a-z]+)*) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL
)
GAINS = re.compile(
    r"(<!-- gains: (?P<condition>[^ ]+)(?P<pairs>(?: [^ :]+:[^ :]+)+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL
)
BESIDE = re.compile(
    r"(<!-- beside: (?P<condition>[^ ]+) (?P<all>[^ ]+)(?P<published>(?: [^ =]+=[0-9.]+)+) -->\n)"
    r"(?P<body>.*?)(<!-- end -->)",
    re.DOTALL,
)
EXTRAS = {  # what a block may ask for beside the accuracy: captions of its figure, and heads of its columns
    "informativeness": ("accuracy on what was queried", ("accuracy on what it queries, %",)),
    "balance": ("L1 score of all labels", ("L1 score of the first batch", "as modelled", "of all labels at the end")),
}


class PageError(ValueError):
    """A page that cannot be filled; one sentence with the culprit."""


def fill(text: str, results: dict[str, Any], folder: str) -> str:
    """A page with the block of each condition replaced by its table and figure; folder: where the figures lie."""

    def block(match: re.Match[str]) -> str:
        name = match["condition"]
        if name not in results["conditions"]:
            raise PageError(f"The page asks for '{name}'; the results have {', '.join(results['conditions'])}.")
        extras = _extras(match["extras"])
        measure = results["conditions"][name].get("measure", "accuracy")
        figures = [
            (f"{measure} against labels", "accuracy"),
            *((_said(EXTRAS[extra][0], measure), extra) for extra in extras),
        ]
        drawn = "\n".join(f"![{name}: {caption}]({folder}/{name}-{figure}.png)" for caption, figure in figures)
        return f"{match[1]}{table(results, name, extras)}\n\n{drawn}\n{match[5]}"

    def gain(match: re.Match[str]) -> str:
        pairs = [pair.split(":") for pair in match["pairs"].split()]
        return f"{match[1]}{gains(results, match['condition'], pairs)}\n{match[5]}"

    def compared(match: re.Match[str]) -> str:
        published = {name: float(value) for name, value in (pair.split("=") for pair in match["published"].split())}
        return f"{match[1]}{beside(results, match['condition'], match['all'], published)}\n{match[6]}"

    return BESIDE.sub(compared, GAINS.sub(gain, BLOCK.sub(block, text)))


def beside(results: dict[str, Any], condition: str, whole: str, published: dict[str, float]) -> str:
    """What a paper reports beside what its methods reach here, as Markdown, both also as shares of all data.

    whole: the condition in which everything is labeled; its baseline's end is "all", here as in `published`.
    """
    baseline = results["study"]["baseline"]
    known = results["conditions"]
    lacking = next((name for name in (condition, whole) if name not in known), None)
    if lacking is not None:
        raise PageError(f"The page asks for '{lacking}'; the results have {', '.join(known)}.")
    ends = {name: method["final"]["value"] for name, method in known[condition]["methods"].items()}
    ends["all"] = known[whole]["methods"][baseline]["final"]["value"]
    rows = ["| method | published | of all data, % | here | of all data, % |", "|---|---|---|---|---|"]
    for name, value in published.items():
        if name not in ends:
            raise PageError(f"The page asks for '{name}' on {condition}; the results have {', '.join(ends)}.")
        shares = 100 * value / published["all"], 100 * ends[name] / ends["all"]
        rows.append(f"| {name} | {value:.3f} | {shares[0]:.1f} | {ends[name]:.3f} | {shares[1]:.1f} |")
    return "\n".join(rows)


def gains(results: dict[str, Any], condition: str, pairs: Sequence[Sequence[str]]) -> str:
    """Accuracy points of one method over another at each number of labels, means over the seeds, as Markdown.

    pairs: (better, worse) names. As the thesis' tables have them, cycle by cycle.
    """
    methods = results["conditions"].get(condition, {}).get("methods", {})
    unknown = next((name for pair in pairs for name in pair if name not in methods), None)
    if unknown is not None:
        raise PageError(
            f"The page asks for '{unknown}' on {condition}; the results have {', '.join(methods) or 'none'}."
        )
    labels = methods[pairs[0][0]]["labels"]
    rows = [f"| points at | {' | '.join(f'{n} labels' for n in labels[1:])} |", "|---" * len(labels) + "|"]
    for one, other in pairs:
        found = zip(methods[one]["accuracy"][1:], methods[other]["accuracy"][1:], strict=True)
        rows.append(f"| {one} over {other} | {' | '.join(f'{100 * (a - b):+.2f}' for a, b in found)} |")
    return "\n".join(rows)


def _extras(asked: str) -> tuple[str, ...]:
    unknown = [extra for extra in asked.split() if extra not in EXTRAS]
    if unknown:
        raise PageError(f"The page asks for '{unknown[0]}' beside a condition; known: {', '.join(EXTRAS)}.")
    return tuple(asked.split())


def table(results: dict[str, Any], condition: str, extras: Sequence[str] = ()) -> str:
    """One row per method, as Markdown; extras: keys of EXTRAS."""
    baseline = results["study"]["baseline"]
    measure = results["conditions"][condition].get("measure", "accuracy")
    head = [
        "method",
        "seeds",
        f"final {measure}, %",
        f"mean difference to {baseline}, points",
        "at the end",
        "better on",
    ]
    head += [
        f"n* (labels to reach {baseline}'s end)",
        *(_said(column, measure) for extra in extras for column in EXTRAS[extra][1]),
    ]
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
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
        if "informativeness" in extras:
            cells.append(f"{100 * sum(method['informativeness']) / len(method['informativeness']):.1f}")
        if "balance" in extras:
            scores = method["batch_balance"][0], method["batch_modelled"][0], method["balance"][-1]
            cells += [f"{score:.3f}" for score in scores]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _said(caption: str, measure: str) -> str:
    """A caption of EXTRAS for what was measured.

    >>> _said("accuracy on what was queried", "mAP@.5")
    'mAP@.5 on what was queried'
    """
    return caption.replace("accuracy", measure)


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
    """Fills a page; takes results.json and the figures that it shows of `study` into the folder of the page's name."""
    home, text = page.with_suffix(""), page.read_text(encoding="utf-8")
    if study is not None:
        home.mkdir(exist_ok=True)
        shutil.copy(study / NUMBERS, home / NUMBERS)
        for block in BLOCK.finditer(text):
            for figure in ("accuracy", *_extras(block["extras"])):
                shutil.copy(study / FIGURES / f"{block['condition']}-{figure}.png", home)
    results = json.loads((home / NUMBERS).read_text(encoding="utf-8"))
    page.write_text(fill(text, results, home.name), encoding="utf-8")


if __name__ == "__main__":
    publish(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
