"""The pages in docs/plugins are what the classes say now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import Field

from plugins import registry
from plugins.contract import PluginConfig, Scorer, Scores
from plugins.evidence import COLUMNS, Evidence
from plugins.pages import page, pages
from plugins.registry import Listing

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT / "benchmarks" / "results" / "acquisition.json"


def test_the_pages_are_current() -> None:
    rows = json.loads(MEASURED.read_text())["rows"] if MEASURED.exists() else []
    written = pages("nextlabel", rows)
    kept = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "plugins").glob("*.md")}
    for name in sorted({*written, *kept}):
        assert kept.get(name) == written.get(name), f"docs/plugins/{name} is stale; run `nextlabel plugins docs`"


def test_every_plugin_of_ours_has_a_page() -> None:
    names = {
        one.name for kind in registry.GROUPS for one in registry.available(kind).values() if one.package == "nextlabel"
    }
    assert set(pages("nextlabel", [])) == {"README.md", *(f"{name}.md" for name in names)}
    assert list(pages("nobody", [])) == ["README.md"]


def test_the_guide_names_every_column() -> None:
    guide = (ROOT / "docs" / "write_a_plugin.md").read_text(encoding="utf-8")
    assert [column for column in COLUMNS if f"`{column}`" not in guide] == []


class OddConfig(PluginConfig):
    """Every kind of setting."""

    share: float | None = Field(None, gt=0, lt=1, description="Share of a|b.")
    side: int = Field(3, ge=1, le=20_000, description="Side in px.")


def double(values: list[float]) -> list[float]:
    """2 * values_i.

    >>> double([1.0])
    [2.0]
    """
    return [2 * value for value in values]


class Odd(Scorer[OddConfig]):
    """values: as `double`."""

    name, title, summary, reference = "odd", "Odd", "Odd ones first.", "nobody 2026"
    needs = frozenset({"truth", "labels"})
    optional = frozenset({"size"})
    harmful_below = 0.7

    def score(self, evidence: Evidence) -> Scores:
        raise NotImplementedError


def test_a_page_says_it_all() -> None:
    rows = [
        {"what": "odd", "by": "ours", "items": 10_000, "classes": 10, "seconds": 0.01234, "peak_mib": 2.4},
        {"what": "odd", "by": "ours", "items": 1_000_000, "classes": 10, "note": "more than 60 s"},
        {"what": "odd", "by": "baal", "items": 7, "classes": 10, "seconds": 7.0},
    ]
    text = page(Listing("scorer", "odd", "odds", "1.0", Odd), rows)
    for line in (
        "`odd`, a scorer of the package odds. Odd ones first.",
        "The pages in docs/plugins are what the classes say now.",
        "### `double(values)`\n\n2 \\* values\\_i.\n\n```python\n>>> double([1.0])\n[2.0]\n```",
        "Source: nobody 2026.",
        "| `truth` | (N,) true class index; only a simulation knows it | a simulation alone |",
        "image in px, as it is shown; read where it is there | the loop itself |",
        "| `share` | number or null | `null` | > 0, < 1 | Share of a\\|b. |",
        "| `side` | integer | `3` | ≥ 1, ≤ 20,000 | Side in px. |",
        "| 10,000 | 10 | 0.0123 | 2 |  |",
        "| 1,000,000 | 10 |  |  | more than 60 s |",
        "below 70% it was measured to do worse than random order",
        "nextlabel plan set 'scorers=[{name: odd}]'",
    ):
        assert line in text
    assert "| 7 |" not in text
    assert "No figures yet" in page(Listing("scorer", "odd", "odds", "1.0", Odd), [])
    with pytest.raises(ValueError, match="'odd' cannot be loaded: boom"):
        page(Listing("scorer", "odd", "odds", "1.0", None, "boom"), [])
