"""Published pages show what their result files say, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulation.pages import PageError, fill

STUDIES = Path(__file__).resolve().parents[2] / "docs" / "studies"
PUBLISHED = sorted(path for path in STUDIES.glob("*.md") if path.with_suffix("").is_dir())


@pytest.mark.parametrize("page", PUBLISHED, ids=lambda page: page.stem)
def test_a_published_page_is_made_of_its_results(page: Path) -> None:
    results = json.loads((page.with_suffix("") / "results.json").read_text())
    text = page.read_text()
    assert fill(text, results, page.stem) == text
    assert not results["unfinished"]
    for condition in results["conditions"]:
        assert f"<!-- results: {condition} -->" in text, f"{page.name} leaves out {condition}"
        assert (page.with_suffix("") / f"{condition}-accuracy.png").is_file()


def test_a_page_that_asks_for_what_was_not_run_is_refused() -> None:
    with pytest.raises(PageError, match="asks for 'x'; the results have digits"):
        fill("<!-- results: x -->\n<!-- end -->", {"conditions": {"digits": {}}}, "here")


def test_a_block_becomes_a_table_with_intervals() -> None:
    estimate = {"value": 0.95, "low": 0.94, "high": 0.96}
    points = {"value": 2.0, "low": 1.0, "high": 3.0}
    reach = {"value": 170.0, "low": 150.0, "high": None}
    margin = {
        "seeds": [0, 1],
        "labels": [40, 400],
        "final": estimate,
        "comparison": {"area": points, "final": points, "better": 0.5, "reach": reach},
    }
    twin = {"seeds": [0, 1], "labels": [40, 400], "final": estimate, "comparison": None}
    results = {
        "study": {"baseline": "random"},
        "conditions": {"digits": {"methods": {"random": twin, "margin": margin}}},
    }
    text = fill("before\n<!-- results: digits -->\nold\n<!-- end -->\nafter", results, "study")
    assert "old" not in text
    assert text.startswith("before\n<!-- results: digits -->\n| method |")
    assert "| random | 2 | 95.0 [94.0, 96.0] |  |  |  | 400 |" in text
    assert (
        "| margin | 2 | 95.0 [94.0, 96.0] | +2.0 [+1.0, +3.0] | +2.0 [+1.0, +3.0] | 50 % | 170 [150, not always] |"
        in text
    )
    assert "![digits: accuracy against labels](study/digits-accuracy.png)\n<!-- end -->\nafter" in text
    assert fill(text, results, "study") == text
