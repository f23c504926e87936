"""The tables of docs/temporal_coherence.md from the results; `python -m benchmarks.coherence_page` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "temporal_coherence.md"
TARGETS = ("raw FP", "thr FP", "thr FP+FN")
COSTS = {
    "ours cpu ms": "thesis, streamed",
    "ours calibrated cpu ms": "calibrated, streamed",
    "whole cpu ms": "thesis, whole video",
    "loops cpu ms": "plain loops",
    "dense cpu ms": "dense matrix",
    "stream peak MiB": "peak MiB of the stream",
}


def page(text: str) -> str:
    """The page with its tables as the results have them."""
    coherence, speed = (
        json.loads((RESULTS / f"{name}.json").read_text()) for name in ("temporal_coherence", "coherence_speed")
    )
    tables = {"figures": figures(coherence), "differences": differences(coherence), "costs": costs(speed)}
    tables["beside"] = beside(speed)
    for name, lines in tables.items():
        first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(first)
        text = "\n".join([before + first, *lines, last + rest.partition(last)[2]])
    return text


def figures(result: dict[str, Any]) -> list[str]:
    """Every estimator on what is held out, mean over detectors."""
    lines = [f"| estimator | {' | '.join(TARGETS)} |", "|---|---|---|---|"]
    for row in result["rows"]:
        if row["sequences"] == "mean of detectors, held out" and row["estimator"] != "oracle":
            cells = [f"{row[f'{target} rho']:.2f} / {row[f'{target} gain']:.2f}" for target in TARGETS]
            lines.append(f"| {row['estimator']} | {' | '.join(cells)} |")
    return lines


def differences(result: dict[str, Any]) -> list[str]:
    """Gain of the calibrated estimators over others, with intervals."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in result["paired"]:
        low, high = row["gain_95"]
        cell = f"{row['gain']:+.2f} ({low:+.2f} to {high:+.2f})"
        found.setdefault((row["estimator"], row["less"]), {})[row["target"]] = cell
    lines = [f"| | less | {' | '.join(TARGETS)} |", "|---|---|---|---|---|"]
    for (name, less), cells in found.items():
        lines.append(f"| {name} | {less} | {' | '.join(cells.get(target, '') for target in TARGETS)} |")
    return lines


def costs(result: dict[str, Any]) -> list[str]:
    """Milliseconds of processor a frame."""
    lines = [f"| frames | boxes | {' | '.join(COSTS.values())} |", f"|---:|---:|{'---:|' * len(COSTS)}"]
    for row in result["rows"]:
        cells = [f"{row[key]:.3g}" if row.get(key) is not None else "" for key in COSTS]
        lines.append(f"| {row['frames']:,} | {row['boxes']} | {' | '.join(cells)} |")
    streams = [row["exponent"] for row in result["growth"] if row["what"] != "whole"]
    whole = [row["exponent"] for row in result["growth"] if row["what"] == "whole"]
    lines += [
        "",
        f"Streams look at {result['window']} frames at a time. From 1,000 to 10,000 frames their time grows with the",
        f"power {min(streams):.2f} to {max(streams):.2f} of the length, and with {min(whole):.2f} to {max(whole):.2f}",
        "where the video is taken whole: long arrays leave the cache.",
    ]
    return lines


def beside(result: dict[str, Any]) -> list[str]:
    """Milliseconds of processor a frame on real videos, beside a detector's look at the same frames."""
    names = {"detector": "YOLO11n", "first cycle": "flow, links, cut", "later cycle": "with kept flow"}
    names |= {"linear": "linear, links, cut", "shots": "cuts, once"}
    lines = [f"| video | px of YOLO11n | {' | '.join(names.values())} |", f"|---|---:|{'---:|' * len(names)}"]
    for row in result["beside_yolo11n"]:
        cells = [
            f"{row[f'{name} cpu ms']:.3g}" + (f" ({row[f'{name} share']:.1%})" if f"{name} share" in row else "")
            for name in names
        ]
        lines.append(f"| {row['video']} | {row['detector px']} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
