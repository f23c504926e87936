"""Learning and Balance: charts from the ledger, each with a table that says the same, on empty and on full projects."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ml_backend.loop.balance import BalanceRow
from ml_backend.loop.house import House
from ml_backend.loop.learning_curve import class_rows, learning_points
from ml_backend.loop.plan import Plan, changed_plan, save_plan
from ml_backend.server.charts import class_counts, evenness, lambda_path, line, proofs
from ml_backend.server.pages.balance import target_shares
from ml_backend.store.tables import ControlAnswer, Cycle, Item
from tests.server.conftest import People, add_project

HTML = {"Accept": "text/html"}
START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
FACTS = {
    "wanted": [8.0, 2.0],
    "expected": [6.5, 3.5],
    "weight": 0.5,
    "distance": 3.0,
    "path": [{"weight": w, "distance": 5 - w, "cost": w * w} for w in (0.0, 0.5, 1.0)],
    "gap": 1e-4,
    "bound": 1.0,
}
SAVINGS = {
    "labels": 30,
    "draws": 31,
    "accuracy": {"value": 0.9, "low": 0.8, "high": 0.95},
    "needed": {"value": 60.0, "low": 40.0, "high": None},
    "saved": {"value": 30.0, "low": 10.0, "high": None},
    "curve": {
        "10": {"value": 0.7, "low": 0.6, "high": 0.8},
        "5": {"value": 0.5, "low": 0.4, "high": 0.6},
        "20": {"value": None, "low": None, "high": None},
    },
}


@pytest.fixture
def project(rooms: House) -> int:
    """Ten labels an hour, each of 90 seconds of work; a training after every ten, three in all."""
    number = add_project(rooms)
    with rooms.ledger.session() as session:
        for task in range(1, 31):
            at = START + timedelta(minutes=6 * task)
            session.add(
                Item(
                    project_id=number,
                    task_id=task,
                    url="u",
                    content=f"{task:064x}",
                    status="labeled",
                    label="cat" if task % 3 else "dog",
                    lead_time=90.0,
                    labeled_at=at.isoformat().replace("+00:00", ".250000Z"),
                )
            )
        for cycle in (1, 2, 3):
            remaining = {"value": 0.6, "low": 0.5, "high": 0.7, "n": 12} if cycle == 3 else None
            row = Cycle(
                project_id=number,
                number=cycle,
                kind="train",
                trigger="t",
                status="published",
                phase="done",
                labels=10 * cycle,
                accuracy=0.5 + cycle / 10,
                accuracy_low=0.4 + cycle / 10,
                accuracy_high=0.55 + cycle / 10,
                started_at=START + timedelta(minutes=60 * cycle + 1),
            )
            row.metrics = {
                "counts": [7 * cycle, 3 * cycle],
                "balance": {"score": 0.4, "added": [7, 3], "added_score": 0.4, "facts": FACTS if cycle == 3 else {}},
                "control": {"answered": 12, "measured": 12, "skipped": 0, "remaining": remaining},
                **({"savings": SAVINGS} if cycle == 3 else {}),
            }
            session.add(row)
        for task, (said, label) in enumerate([("cat", "cat"), ("cat", "dog"), ("cat", "cat"), (None, "cat")], start=1):
            session.add(
                ControlAnswer(
                    project_id=number,
                    task_id=task,
                    cycle=2,
                    model_version="v",
                    rank=task,
                    propensity=0.1,
                    predicted=said,
                    label=label,
                    status="answered",
                    answered_at=START,
                )
            )
    return number


def charts(text: str) -> dict[str, Any]:
    """id -> Plotly's figure, as the page's script would read it."""
    found = re.findall(
        r'<figure class="chart" id="([^"]+)">.*?<script type="application/json">(.*?)</script>', text, re.DOTALL
    )
    return {name: json.loads(unescape(figure)) for name, figure in found}


def test_points_have_the_hours_that_a_slow_count_gives(rooms: House, project: int) -> None:
    with rooms.ledger.session() as session:
        points = learning_points(session, project)
        items = session.query(Item).all()
        cycles = {cycle.number: cycle for cycle in session.query(Cycle)}
    for point in points:
        before = [
            item.lead_time or 0
            for item in items
            if datetime.fromisoformat(item.labeled_at or "") <= cycles[point.cycle].started_at
        ]
        assert point.hours == pytest.approx(sum(before) / 3600)
    assert [(point.cycle, point.labels) for point in points] == [(1, 10), (2, 20), (3, 30)]
    assert [point.remaining is None for point in points] == [True, True, False]


def test_the_learning_page_draws_and_tabulates_the_same(client: TestClient, project: int, people: People) -> None:
    people.log_in(client, "bob")
    text = client.get(f"/projects/{project}/learning", headers=HTML).text
    figures = charts(text)
    held, left, random = figures["chart-labels"]["data"]
    assert (held["x"], held["y"]) == ([10, 20, 30], pytest.approx([0.6, 0.7, 0.8]))
    assert held["error_y"]["arrayminus"] == pytest.approx([0.1, 0.1, 0.1])
    assert (left["x"], left["y"]) == ([30], [0.6])
    assert (random["x"], random["y"]) == ([5, 10], [0.5, 0.7])
    assert len({series["line"]["dash"] for series in (held, left, random)}) == 3, "not by colour alone"
    assert figures["chart-hours"]["data"][0]["x"] == pytest.approx([0.25, 0.5, 0.75])
    for cell in ("<td>Accuracy, held out</td>", "<td>random labels</td>", "<td>40.0 % to 60.0 %</td>"):
        assert cell in text
    assert "at least 10" in text
    assert "66.7" in text, "two of three cats"
    assert "AP at IoU 0.5" in text


def test_classes_are_counted_on_the_control_arm(rooms: House, project: int) -> None:
    with rooms.ledger.session() as session:
        cat, dog = class_rows(session, project, ("cat", "dog"))
    assert (cat.labels, cat.answered, cat.right and cat.right.value) == (21, 2, 1.0)
    assert (dog.labels, dog.answered, dog.right and dog.right.value) == (9, 1, 0.0)


def test_the_balance_page_has_counts_target_score_path_and_gap(
    client: TestClient, rooms: House, project: int, people: People
) -> None:
    wish = {"name": "class_balanced", "config": {"target": {"cat": 0.5, "dog": 0.5}}}
    with rooms.ledger.session() as session:
        save_plan(session, project, changed_plan(Plan(), {"selector": wish}), author="ada")
    people.log_in(client, "bob")
    text = client.get(f"/projects/{project}/balance", headers=HTML).text
    figures = charts(text)
    cat, dog, target = figures["chart-counts"]["data"]
    assert (cat["name"], cat["x"], cat["y"], dog["y"]) == ("cat", [1, 2, 3], [7, 14, 21], [3, 6, 9])
    assert target["y"] == [15, 15]
    assert figures["chart-evenness"]["data"][0]["y"] == [0.4, 0.4, 0.4]
    path = figures["chart-path"]["data"]
    assert path[0]["y"] == [5.0, 4.5, 4.0]
    assert (path[1]["x"], path[1]["y"]) == ([0.25], [4.5]), "the chosen one"
    assert [series["y"] for series in figures["chart-proofs"]["data"]] == [[1e-4], [0.5]]
    assert "works towards the shares of the plan" in text
    assert "lambda 0.5" in text


def test_empty_projects_have_pages_too(client: TestClient, rooms: House, people: People) -> None:
    number = add_project(rooms, label_config="")
    people.log_in(client, "bob")
    learning = client.get(f"/projects/{number}/learning", headers=HTML)
    balance = client.get(f"/projects/{number}/balance", headers=HTML)
    assert (learning.status_code, balance.status_code) == (200, 200)
    assert "Charts come with the first training" in learning.text
    assert "No cycle has kept its balance yet" in balance.text


def row(cycle: int, counts: list[int], **facts: Any) -> BalanceRow:
    return BalanceRow(cycle, counts, 0.5, counts, None, facts)


def test_of_many_classes_the_scarcest_and_the_most_common_are_drawn_and_all_are_tabulated() -> None:
    names = [f"c{i}" for i in range(40)]
    chart = class_counts([row(1, list(range(40)))], names, None)
    assert [series["name"] for series in chart.figure["data"]] == [f"c{i}" for i in (*range(6), *range(34, 40))]
    assert len(chart.rows) == 40
    assert "the 12 that stand out" in chart.title


def test_lines_that_share_a_colour_differ_in_dash_and_mark() -> None:
    lines = [line("a", [], [], number) for number in range(12)]
    looks = {(number % 6, one["line"]["dash"], one["marker"]["symbol"]) for number, one in enumerate(lines)}
    assert len(looks) == 12
    for number in range(6):
        one, other = lines[number], lines[number + 6]
        assert one["line"] != other["line"]
        assert one["marker"] != other["marker"]


def test_cycles_of_other_classes_and_without_facts_are_left_out() -> None:
    rows = [row(1, [1, 2, 3]), row(2, [4, 5])]
    assert class_counts(rows, ("a", "b"), [0.5, 0.5]).figure["data"][0]["x"] == [2]
    assert class_counts([row(1, [1])], ("a", "b"), None).rows == []
    assert (lambda_path(rows), proofs(rows)) == (None, None)
    assert evenness(rows).figure["data"][0]["name"] == "all labels"
    assert proofs([row(1, [1], gap=0.1)]) is not None, "a proof without a lambda"


def test_the_target_is_the_plans() -> None:
    assert target_shares(Plan(), ("a", "b")) is None
    balanced = changed_plan(Plan(), {"selector": {"name": "class_balanced"}})
    assert target_shares(balanced, ("a", "b")) == [0.5, 0.5]
    pool = changed_plan(Plan(), {"selector": {"name": "class_balanced", "config": {"target": "pool"}}})
    assert target_shares(pool, ("a", "b")) is None
