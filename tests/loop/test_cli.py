"""The command line as a person uses it, against a real Label Studio."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ml_backend.loop.plan import Plan, Policy
from tests.loop.conftest import ROOT, Loop

pytestmark = pytest.mark.studio


def nextlabel(loop: Loop, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env={**loop.environment, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_from_connecting_to_rolling_back(loop: Loop) -> None:
    loop.create(60)
    loop.label_some(30)
    loop.start_backend()
    loop.start("worker")
    number = str(loop.number)
    said = nextlabel(loop, "connect", loop.studio.url, loop.studio.token, number)
    assert "is connected" in said
    assert "accuracy" in said
    loop.connect(Plan(policy=Policy(new_labels=1000, minutes=10_000)))
    first, before = loop.row().live_version, loop.last_cycle()
    assert first is not None
    assert before is not None

    nextlabel(loop, "doctor", number)
    assert "name: margin" in nextlabel(loop, "plan", "show", number)
    setting = ("plan", "set", "scorers=[{name: entropy}]", "--project", number, "--note", "try")
    assert "is in force" in nextlabel(loop, *setting)
    ranked = loop.published_since(before.number)
    assert ranked.kind == "rank"
    assert "try" in nextlabel(loop, "plan", "history", number)
    assert "Did you mean 'entropy'" in nextlabel(loop, "plan", "set", "scorers=[{name: entrpy}]", code=1)
    assert first in nextlabel(loop, "versions", number)
    assert f"{first} is live" in nextlabel(loop, "rollback", first, number)
    assert loop.studio.project(loop.number)["model_version"] == first
    assert "these can" in nextlabel(loop, "rollback", "nonsense", number, code=1)
    assert "Rank 0 of" in nextlabel(loop, "why", str(loop.order()[0]), number)
    assert "entropy" in nextlabel(loop, "plugins")
    assert "live version" in nextlabel(loop, "status", number)
    assert "labels per class" in nextlabel(loop, "balance", number)
    assert "task" in nextlabel(loop, "problems", number)

    loop.studio.update_project(loop.number, sampling="Sequential sampling")
    assert "Uncertainty sampling" in nextlabel(loop, "doctor", number, code=1), "a fault has a remedy and a code"


def test_wrong_input_is_one_sentence(loop: Loop) -> None:
    loop.create(3)
    assert "does not answer" in nextlabel(loop, "connect", "http://127.0.0.1:9", "x", "1", code=1)
    assert "Check the token" in nextlabel(loop, "connect", loop.studio.url, "0" * 40, str(loop.number), code=1)
    assert "404" in nextlabel(loop, "connect", loop.studio.url, loop.studio.token, "999999", code=1)
    assert "Which project?" in nextlabel(loop, "status", code=1)
    unreachable = nextlabel(loop, "connect", loop.studio.url, loop.studio.token, str(loop.number), code=1)
    assert "/health" in unreachable, "the backend is not started"
    assert not loop.studio.backends(loop.number)
