"""The balance of each cycle as the ledger keeps it, and as a terminal shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ml_backend.loop.balance import balance_history, balance_table, kept_in_cycle
from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan, changed_plan
from ml_backend.loop.ranking import Ranking, rank
from ml_backend.server.app import create_app
from ml_backend.settings import Settings
from ml_backend.store.tables import Cycle, Project
from plugins.balance.wanted import l1_score
from plugins.contract import Selection
from tests.loop.test_ranking import evidence


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[House]:
    house = House(Settings(_env_file=None, model_dir=tmp_path))
    with house.ledger.session() as session:
        session.add(Project(studio_url="u", studio_id=1, key="1.1", webhook_secret="s", shown=False))
    yield house
    house.ledger.close()


def close(rooms: House, number: int, counts: list[int], ranking: Ranking | None = None, **cycle: str) -> None:
    """A cycle as `_close` leaves it."""
    with rooms.ledger.session() as session:
        kept = kept_in_cycle(session, 1, number, np.array(counts), ranking)
        fields = {"kind": "train", "trigger": "test", "status": "published", **cycle}
        session.add(Cycle(project_id=1, number=number, metrics={"counts": counts, "balance": kept}, **fields))


def test_what_came_is_counted_since_the_labels_last_changed(rooms: House) -> None:
    close(rooms, 1, [4, 0, 0])
    close(rooms, 2, [4, 0, 0], kind="rank")
    close(rooms, 3, [4, 2, 2])
    close(rooms, 4, [9, 9, 9], status="failed")
    close(rooms, 5, [3, 5, 2])  # a label was corrected
    close(rooms, 6, [3, 5, 2, 4])  # a class was added
    with rooms.ledger.session() as session:
        found = {row.cycle: row for row in balance_history(session, 1)}
    assert [found[n].added for n in (1, 2, 3, 5, 6)] == [[4, 0, 0], [4, 0, 0], [0, 2, 2], [0, 3, 0], [3, 5, 2, 4]]
    assert found[1].score == 1.0
    assert found[3].score == l1_score(np.array([4, 2, 2]))
    assert found[3].added_score == 0.5
    assert 4 not in found


def test_a_cycle_without_new_labels_has_no_score_of_them(rooms: House) -> None:
    close(rooms, 1, [0, 0])
    with rooms.ledger.session() as session:
        (row,) = balance_history(session, 1)
    assert (row.added_score, row.facts) == (None, {})


def test_a_selectors_proof_is_kept_and_shown(rooms: House) -> None:
    plan = changed_plan(Plan(cold_start=None), {"selector": {"name": "class_balanced_kcenter"}, "batch": 20})
    ranking = rank(evidence(counts=(30, 2, 2, 2)), plan, labels=36)
    assert ranking.problems == {}
    close(rooms, 1, [30, 2, 2, 2], ranking)
    close(rooms, 2, [31, 9, 8, 8], Ranking(ranking.order, "scored", 20, selection=Selection(ranking.order, gap=0.25)))
    with rooms.ledger.session() as session:
        rows = balance_history(session, 1)
    assert rows[1].facts["wanted"] == [0.0, 12.0, 12.0, 12.0]
    assert rows[1].facts["weight"] == 1.0
    head, lines = balance_table(rows, ("a", "b", "c", "d"))
    assert head == ["cycle", "labels per class", "L1", "added", "expected", "lambda", "gap"]
    assert lines[0][:2] == ["1", "30 2 2 2"]
    assert float(lines[0][4]) == pytest.approx(l1_score(np.array(rows[1].facts["expected"])), rel=1e-2)
    assert lines[1][-3:] == ["", "", "0.25"]
    assert balance_table(rows, ("a", "b"))[1][0][1] == "of other classes"


def test_the_balance_over_rest(rooms: House) -> None:
    close(rooms, 1, [3, 1])
    with TestClient(create_app(rooms)) as client:
        (row,) = client.get("/api/projects/1/balance").json()
    assert row == {"cycle": 1, "counts": [3, 1], "score": 0.5, "added": [3, 1], "added_score": 0.5, "facts": {}}
