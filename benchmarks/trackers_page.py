"""The table of docs/trackers.md from the results; `python -m benchmarks.trackers_page` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "trackers.md"
FIRST, LAST = "<!-- figures -->", "<!-- end of figures -->"
PLACES = (1, 2, 3)


def page(text: str) -> str:
    """The page with its table as the results have it."""
    result = json.loads((RESULTS / "trackers.json").read_text())
    before, _, rest = text.partition(FIRST)
    return "\n".join([before + FIRST, *figures(result), LAST + rest.partition(LAST)[2]])


def figures(result: dict[str, Any]) -> list[str]:
    """A row for each tracker and video, and where SiamFC's network comes from."""
    frames = " | ".join(f"{place}" for place in PLACES)
    lines = [f"| video | tracker | boxes | {frames} | ms a box | ms a frame |", "|---|---|---:|---|---|---|---:|---:|"]
    for row in result["rows"]:
        cells = [f"{row[f'IoU {place}']:.2f} / {row[f'over .5 {place}']:.2f}" for place in PLACES]
        costs = [f"{row[key]:.3g}" if row.get(key) is not None else "" for key in ("ms per box", "ms per frame")]
        lines.append(f"| {' | '.join([row['video'], row['tracker'], str(row['boxes']), *cells, *costs])} |")
    return [*lines, "", f"{_siamfc(result['siamfc'])} Left out: {', '.join(result['left_out']) or 'nothing'}."]


def _siamfc(about: dict[str, Any]) -> str:
    if "checkpoint" in about:
        return f"SiamFC: a checkpoint ({about['checkpoint']})."
    first, last = about["loss"]
    return (
        f"SiamFC learned {about['learned']}, with {', '.join(map(str, about['channels']))} channels, in "
        f"{about['cpu_seconds']} s of one processor (loss {first} to {last})."
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
