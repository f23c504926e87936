"""Plans: validated at the door, versioned with author, never rewritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_backend.loop.plan import (
    Plan,
    PlanError,
    changed_plan,
    needs_training,
    parse_plan,
    plan_history,
    read_plan,
    restore_plan,
    save_plan,
)
from ml_backend.store.ledger import Ledger
from ml_backend.store.tables import Project


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    with opened.session() as session:
        session.add(Project(studio_url="http://127.0.0.1:1", studio_id=1, key="1.1", webhook_secret="s"))
    return opened


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"scorers": [{"name": "entrpy"}]}, "Did you mean 'entropy'"),
        ({"scorers": []}, "scorers"),
        ({"scorers": [{"name": "margin", "weight": 0}]}, "scorers.0.weight = 0"),
        ({"scorers": [{"name": "margin"}, {"name": "margin"}]}, "stands twice"),
        ({"scorers": [{"name": "entropy", "config": {"temperature": -1}}]}, "temperature = -1"),
        ({"scorers": [{"name": "entropy", "config": {"heat": 1}}]}, "heat"),
        ({"selector": {"name": "nope"}}, "Unknown selector .nope.*Available: .*kmeans, .*top"),
        ({"learner": {"name": "nope"}}, "Unknown learner 'nope'"),
        ({"batch": 0}, "batch = 0"),
        ({"colour": 1}, "Fields: scorers"),
        ({"policy": {"minutes": 0}}, "policy.minutes = 0"),
        ({"show_predictions": "perhaps"}, "show_predictions = 'perhaps'"),
    ],
)
def test_a_bad_plan_is_refused_with_field_value_and_remedy(body: dict[str, object], says: str) -> None:
    with pytest.raises(PlanError, match=says.replace("(", r"\(")):
        parse_plan(body)


def test_history_keeps_author_time_and_order(ledger: Ledger) -> None:
    with ledger.session() as session:
        assert read_plan(session, 1) == (0, Plan())
        first = save_plan(session, 1, Plan(), author="ada")
        entropy = changed_plan(Plan(), {"scorers": [{"name": "entropy", "weight": 2}]})
        save_plan(session, 1, entropy, author="ben", note="try")
        restored = restore_plan(session, 1, first.number, author="ada")
        assert [row.number for row in plan_history(session, 1)] == [3, 2, 1]
        assert [row.author for row in plan_history(session, 1)] == ["ada", "ben", "ada"]
        assert restored.note == "restored from 1"
        assert read_plan(session, 1) == (3, Plan())
        with pytest.raises(PlanError, match="saved plans: 3, 2, 1"):
            restore_plan(session, 1, 9, author="ada")


def test_a_plan_survives_json(ledger: Ledger) -> None:
    plan = changed_plan(Plan(), {"batch": 30, "cold_start": None, "show_predictions": False})
    with ledger.session() as session:
        save_plan(session, 1, plan, author="ada")
    with ledger.session() as session:
        assert read_plan(session, 1)[1] == plan


def test_only_a_new_learner_needs_training() -> None:
    assert not needs_training(Plan(), changed_plan(Plan(), {"scorers": [{"name": "random"}], "batch": 5}))
    assert needs_training(Plan(), changed_plan(Plan(), {"learner": {"name": "finetune"}}))


@pytest.mark.parametrize(("labels", "batch"), [(0, 10), (5, 10), (40, 40), (60, 60), (80, 80), (1000, 80)])
def test_the_batch_is_eight_per_class_and_at_most_doubles_the_labels(labels: int, batch: int) -> None:
    assert Plan().batch_size(10, labels) == batch
