"""Published pages show what their result files say, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from simulation.pages import PageError, fill, publish

STUDIES = Path(__file__).resolve().parents[2] / "docs" / "studies"
PUBLISHED = sorted(path for path in STUDIES.glob("*.md") if path.with_suffix("").is_dir())


@pytest.mark.parametrize("page", PUBLISHED, ids=lambda page: page.stem)
def test_a_published_page_is_made_of_its_results(page: Path) -> None:
    results = json.loads((page.with_suffix("") / "results.json").read_text())
    text = page.read_text()
    assert fill(text, results, page.stem) == text
    assert not results["unfinished"]
    for condition in results["conditions"]:
        assert f"<!-- results: {condition} " in text, f"{page.name} leaves out {condition}"
    for figure in re.findall(r"!\[[^]]*\]\(([^)]*)\)", text):
        assert (page.parent / figure).is_file(), f"{page.name} shows {figure}, which is not there"


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


def test_a_block_may_ask_for_more() -> None:
    methods = {
        "random": {
            "seeds": [0],
            "labels": [40, 60, 80],
            "final": {"value": 0.9, "low": 0.9, "high": 0.9},
            "comparison": None,
            "informativeness": [0.5, 0.75],
            "batch_balance": [0.4, 0.2],
            "batch_modelled": [0.3, 0.1],
            "balance": [0.1, 0.25, 0.3],
        }
    }
    results = {"study": {"baseline": "random"}, "conditions": {"d": {"methods": methods}}}
    text = fill("<!-- results: d informativeness balance -->\n<!-- end -->\n", results, "s")
    assert (
        "| accuracy on what it queries, % | L1 score of the first batch | as modelled | of all labels at the end |"
        in text
    )
    assert text.count("|---") == 11
    assert "| 80 | 62.5 | 0.400 | 0.300 | 0.300 |" in text
    assert (
        "![d: accuracy on what was queried](s/d-informativeness.png)\n![d: L1 score of all labels](s/d-balance.png)"
        in text
    )
    with pytest.raises(PageError, match="asks for 'colour' beside a condition; known: informativeness, balance"):
        fill("<!-- results: d colour -->\n<!-- end -->", results, "s")


def test_a_page_takes_the_figures_that_it_shows(tmp_path: Path) -> None:
    study = tmp_path / "study"
    (study / "figures").mkdir(parents=True)
    for figure in ("accuracy", "balance", "informativeness"):
        (study / "figures" / f"d-{figure}.png").write_bytes(b"png")
    methods = {"random": {"seeds": [0], "labels": [40], "final": {"value": 0.9, "low": 0.9, "high": 0.9}}}
    more = {"comparison": None, "batch_balance": [0.4], "batch_modelled": [0.3], "balance": [0.1]}
    results = {
        "study": {"baseline": "random"},
        "conditions": {"d": {"methods": {"random": {**methods["random"], **more}}}},
    }
    (study / "results.json").write_text(json.dumps(results))
    page = tmp_path / "ours.md"
    page.write_text("<!-- results: d balance -->\n<!-- end -->\n")
    publish(page, study)
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == [
        "d-accuracy.png",
        "d-balance.png",
        "results.json",
    ]
    assert "| 40 | 0.400 | 0.300 | 0.100 |" in page.read_text()


def test_gains_are_told_cycle_by_cycle() -> None:
    methods = {
        "entropy": {"labels": [40, 60, 80], "accuracy": [0.5, 0.6, 0.7]},
        "balanced": {"labels": [40, 60, 80], "accuracy": [0.5, 0.625, 0.69]},
    }
    results = {"study": {"baseline": "random"}, "conditions": {"d": {"methods": methods}}}
    text = fill("<!-- gains: d balanced:entropy -->\nold\n<!-- end -->\n", results, "s")
    assert "| points at | 60 labels | 80 labels |\n|---|---|---|\n| balanced over entropy | +2.50 | -1.00 |" in text
    assert fill(text, results, "s") == text
    with pytest.raises(PageError, match="asks for 'x' on d; the results have entropy, balanced"):
        fill("<!-- gains: d x:entropy -->\n<!-- end -->", results, "s")


def test_published_figures_stand_beside_ours_as_shares_of_all_data() -> None:
    ends = {"random": 0.4, "entropy": 0.45}
    conditions = {
        "d": {"methods": {name: {"final": {"value": value}} for name, value in ends.items()}},
        "all": {"methods": {"random": {"final": {"value": 0.5}}}},
    }
    results = {"study": {"baseline": "random"}, "conditions": conditions}
    text = fill("<!-- beside: d all all=.628 entropy=.597 -->\nold\n<!-- end -->\n", results, "s")
    assert "| all | 0.628 | 100.0 | 0.500 | 100.0 |\n| entropy | 0.597 | 95.1 | 0.450 | 90.0 |\n<!-- end" in text
    assert fill(text, results, "s") == text
    with pytest.raises(PageError, match="asks for 'x' on d; the results have random, entropy, all"):
        fill("<!-- beside: d all all=.6 x=.5 -->\n<!-- end -->", results, "s")
    with pytest.raises(PageError, match="asks for 'none'; the results have d, all"):
        fill("<!-- beside: d none all=.6 -->\n<!-- end -->", results, "s")
