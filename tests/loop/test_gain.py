"""The gain as the ledger has it: windows, shares, silence, and intervals that cover a known truth."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ml_backend.learners.contract import Accuracy
from ml_backend.loop.gain import of_collection, read_gain
from ml_backend.loop.gain_sentences import sentences
from ml_backend.loop.house import House
from ml_backend.loop.learning import train
from ml_backend.loop.plan import Plan, changed_plan, save_plan
from ml_backend.loop.pool import Pool
from ml_backend.loop.reference import measure_savings
from ml_backend.settings import Settings
from ml_backend.store.tables import ControlAnswer, Cycle, Item, Project
from tests.loop.conftest import ROOT
from tests.loop.test_learning import CLASSES, images

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[House]:
    house = House(Settings(_env_file=None, model_dir=tmp_path))
    with house.ledger.session() as session:
        session.add(Project(studio_url="u", studio_id=1, key="1.1", webhook_secret="s", shown=False))
    yield house
    house.ledger.close()


def add(rooms: House, task: int, *, hit: bool | None = True, cycle: int = 1, status: str = "answered") -> None:
    """A control answer; hit None: there was no model yet."""
    fields: dict[str, Any] = {"model_version": f"v{cycle}", "rank": 0, "propensity": 0.01, "status": status}
    predicted = None if hit is None else "cat" if hit else "dog"
    label = "cat" if status == "answered" else None
    with rooms.ledger.session() as session:
        session.add(
            ControlAnswer(project_id=1, task_id=task, cycle=cycle, predicted=predicted, label=label,
                          answered_at=START + timedelta(minutes=task), **fields)
        )  # fmt: skip


def test_before_any_answer_it_says_what_is_missing(rooms: House) -> None:
    with rooms.ledger.session() as session:
        gain = read_gain(session, 1)
    assert (gain.answered, gain.remaining, gain.collection, gain.savings) == (0, None, None, None)
    said = sentences(gain)
    assert "is unknown: no control item" in said[0]
    assert "0 of the 30" in said[1]


def test_windows_and_since_choose_the_newest_measured_answers(rooms: House) -> None:
    add(rooms, 1, hit=None)
    for task in range(2, 12):
        add(rooms, task, hit=False, cycle=1)
    for task in range(12, 22):
        add(rooms, task, hit=True, cycle=2)
    with rooms.ledger.session() as session:
        all_of_them, recent = read_gain(session, 1), read_gain(session, 1, window=5)
        since = read_gain(session, 1, since=2)
    assert (all_of_them.answered, all_of_them.measured) == (21, 20)
    assert all_of_them.remaining == all_of_them.overall == Accuracy.from_hits(10, 20)
    assert all_of_them.cycles == (1, 2)
    assert (recent.remaining, recent.cycles) == (Accuracy.from_hits(5, 5), (2, 2))
    assert since.remaining == Accuracy.from_hits(10, 10)
    assert since.overall == all_of_them.overall


def test_silence_and_answers_out_of_turn_are_named_and_not_counted(rooms: House) -> None:
    add(rooms, 1)
    add(rooms, 2, status="skipped")
    add(rooms, 3, status="skipped")
    add(rooms, 4, status="unusable")
    add(rooms, 5, status="out_of_turn")
    with rooms.ledger.session() as session:
        session.get_one(Project, 1).shown = True
        gain = read_gain(session, 1)
    assert (gain.answered, gain.skipped, gain.unusable, gain.out_of_turn) == (1, 2, 1, 1)
    assert gain.remaining == Accuracy.from_hits(1, 1)
    said = " ".join(sentences(gain))
    assert "3 of 4 control items got no usable answer (2 skipped)" in said
    assert "1 control items were labeled out of the queue's order" in said
    assert "lean to it" in said


def test_a_plan_without_a_control_arm_says_so(rooms: House) -> None:
    with rooms.ledger.session() as session:
        save_plan(session, 1, changed_plan(Plan(), {"control": 0}), author="ada")
        assert any("control share is 0" in sentence for sentence in sentences(read_gain(session, 1)))


def test_the_collection_counts_labeled_and_unlabeled_by_their_numbers(rooms: House) -> None:
    with rooms.ledger.session() as session:
        statuses = ["labeled"] * 20 + ["unlabeled"] * 70 + ["skipped"] * 10 + ["unusable"] * 5
        session.add_all(
            Item(project_id=1, task_id=task, url="u", content="c", status=status)
            for task, status in enumerate(statuses, start=1)
        )
        session.add(Cycle(project_id=1, number=1, kind="train", trigger="t", labels=20, accuracy=0.5))
    for task in range(1, 11):
        add(rooms, task, hit=task != 1)
    with rooms.ledger.session() as session:
        gain = read_gain(session, 1)
    assert gain.collection is not None
    assert gain.remaining is not None
    assert gain.collection.value == pytest.approx(0.2 * 0.5 + 0.8 * 0.9)
    assert gain.collection.high == pytest.approx(0.2 * 0.5 + 0.8 * gain.remaining.high)


@pytest.mark.parametrize("answers", [15, 60])
def test_the_intervals_cover_a_known_truth(answers: int) -> None:
    """2000 collections with easy and hard items, of which the hard ones are labeled first: 95 % within 2 points."""
    rng = np.random.default_rng(answers)
    covered_rest = covered_all = 0
    for _ in range(2000):
        right = rng.random(600) < np.repeat([0.6, 0.93], [200, 400])
        labeled, rest = right[:200], right[200:]
        drawn = rng.choice(rest, answers, replace=False)
        remaining = Accuracy.from_hits(int(drawn.sum()), answers)
        both = of_collection(Accuracy.from_hits(int(labeled.sum()), 200), 200, remaining, 400)
        assert both is not None
        covered_rest += remaining.low <= rest.mean() <= remaining.high
        covered_all += both.low <= right.mean() <= both.high
    assert covered_rest >= 0.93 * 2000
    assert covered_all >= 0.93 * 2000


def test_a_training_is_compared_with_random_labels_and_not_again_before_there_is_news(
    rooms: House, tmp_path: Path
) -> None:
    labels = load_digits().target[:120].astype(np.int64)
    pool = Pool(
        task_id=np.arange(200, 260),
        images=images(tmp_path, range(200, 260)),
        skipped=np.zeros(0, dtype=np.int64),
        labeled_task_id=np.arange(120),
        labeled_images=images(tmp_path, range(120)),
        labels=labels,
        counts=np.bincount(labels, minlength=10),
    )
    with rooms.ledger.session() as session:
        session.add_all(Cycle(project_id=1, number=n, kind="train", trigger="t") for n in (1, 2, 3))
        session.add_all(
            Item(project_id=1, task_id=task, url="u", status="labeled",
                 labeled_at=(START + timedelta(minutes=task)).isoformat())
            for task in range(120)
        )  # fmt: skip

    def compared(cycle: int) -> dict[str, Any] | None:
        learned = train(rooms, 1, cycle, Plan(), pool, CLASSES)
        measure_savings(rooms, 1, cycle, Plan(), pool, learned)
        with rooms.ledger.session() as session:
            row = session.query(Cycle).filter_by(project_id=1, number=cycle).one()
            found: dict[str, Any] | None = row.metrics.get("savings")
            return found

    for task in range(0, 29 * 4, 4):
        add(rooms, task)
    assert compared(1) is None, "29 answers are too few"
    add(rooms, 117)
    savings = compared(2)
    assert savings is not None
    assert (savings["draws"], savings["labels"], savings["labeled"]) == (30, 108, 120)
    assert 0.3 < savings["accuracy"]["low"] < savings["accuracy"]["high"] <= 1
    with rooms.ledger.session() as session:
        gain = read_gain(session, 1)
    assert (gain.savings_cycle, gain.answered) == (2, 30)
    assert "30 control answers" in " ".join(sentences(gain))
    assert compared(3) is None, "nothing new"


def test_the_command_line_says_the_same(rooms: House, tmp_path: Path) -> None:
    for task in range(1, 5):
        add(rooms, task, hit=task != 1, cycle=task)
    point = {"value": 0.9, "low": 0.8, "high": 0.95}
    savings = {"labels": 90, "draws": 31, "saved": {"value": 50, "low": 20, "high": 90}, "accuracy": point}
    with rooms.ledger.session() as session:
        metrics = {"savings": {**savings, "curve": {"12": point}}}
        session.add(Cycle(project_id=1, number=4, kind="train", trigger="t", metrics=metrics))

    def nextlabel(*arguments: str) -> str:
        environment = {**os.environ, "MODEL_DIR": str(tmp_path), "COLUMNS": "200"}
        command = [sys.executable, "-m", "cli", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    said = nextlabel("gain", "1")
    assert "right in 75.0% of cases" in said
    assert "queues of cycles 1 to 4" in said
    assert "Between 20 and 90 labels saved" in said
    assert "90 in our order" in said
    assert "100.0% of cases" in nextlabel("gain", "--window", "2", "--since", "2")
    assert "right in 75.0% of cases" in nextlabel("status", "1")
