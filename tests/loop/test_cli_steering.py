"""Steering from the command line, on a ledger without Label Studio or Redis."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from cli import common
from ml_backend.loop import house as houses
from ml_backend.loop.house import House
from ml_backend.loop.plan import read_plan
from ml_backend.store.steering import Override
from tests.loop.test_preview import by_entropy, by_margin, rooms

__all__ = ["rooms"]  # the fixture: a project whose queue is live by margin


@pytest.fixture
def say(rooms: House, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a function that runs a command
    monkeypatch.setattr(houses, "house", lambda: rooms)
    monkeypatch.setattr(common.console, "_width", 300)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli.app, list(arguments))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            return f"refused: {done.exception}"
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_placing_by_hand(say, rooms: House) -> None:  # type: ignore[no-untyped-def]
    task = str(by_margin()[7])
    assert f"Task {task} is pinned to the front; Redis does not answer" in say("pin", "1", task)
    assert "is sent to the back" in say("last", "1", task)
    assert "is excluded from the queue" in say("exclude", "1", task)
    assert "excluded from the queue" in say("overrides")
    assert "was excluded from the queue by" in say("why", task)
    assert f"Task {task} has its own place again" in say("undo", "1", task)
    assert "has no override to undo" in say("undo", "1", task)
    assert "Task 5 is labeled already" in say("pin", "1", "5")
    assert "Which project? 9 matches 0. Connected: 1 ()." in say("pin", "9", task)
    with rooms.ledger.session() as session:
        assert session.query(Override).count() == 0


def test_why_and_preview_and_plans_from_files(say, rooms: House, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert f"Rank 7 of {len(by_margin())}: " in say("why", str(by_margin()[7]), "1")
    seen = say("plan", "preview", "scorers=[{name: entropy}]")
    come = [task for task in by_entropy()[:50] if task not in by_margin()[:50]]
    assert f"Of the next 50, {len(come)} are others" in seen
    assert str(come[0]) in seen
    assert "Nothing is saved." in seen
    assert "trains another learner" in say("plan", "preview", "learner={name: small_network}")
    assert "is not field=value" in say("plan", "preview", "batch")

    path = tmp_path / "plan.yaml"
    assert "Plan 1 is in" in say("plan", "export", "--output", str(path))
    assert "is in force already" in say("plan", "apply", str(path), "--project", "1")
    path.write_text(path.read_text().replace("name: margin", "name: entropy"))
    applied = say("plan", "apply", str(path), "--note", "from git")
    assert "- scorer margin: weight 1 -> off" in applied
    assert "Plan 2 is in force; Redis does not answer" in applied
    assert "scorer entropy: off -> weight 1" in say("plan", "diff", "1", "2")
    assert "Plans 2 and 2 are equal." in say("plan", "diff", "2", "2")
    assert "name: margin" in say("plan", "export", "1")
    assert "Plan 9 does not exist" in say("plan", "diff", "1", "9")
    with rooms.ledger.session() as session:
        assert read_plan(session, 1)[1].scorers[0].name == "entropy"
