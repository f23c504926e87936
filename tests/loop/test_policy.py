"""When the loop trains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ml_backend.loop.plan import Policy
from ml_backend.loop.policy import LONGEST_PAUSE, Decision, Standing, decide

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICY = Policy(new_labels=10, minutes=5)


def standing(**fields: object) -> Standing:
    base: dict[str, object] = {"new_labels": 0, "trained_at": NOW, "live": True}
    return Standing(**{**base, **fields})  # type: ignore[arg-type]  # built by name


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, None),
        ({"new_labels": 9}, None),
        ({"new_labels": 10}, "train"),
        ({"new_labels": 1, "trained_at": NOW - timedelta(minutes=6)}, "train"),
        ({"new_labels": 0, "trained_at": NOW - timedelta(days=9)}, None),
        ({"new_labels": 1, "trained_at": None}, "train"),
        ({"live": False}, "train"),
        ({"new_tasks": 3}, "rank"),
        ({"stopped_at": "learn", "failures": 1, "failed_at": NOW}, "train"),
        ({"stopped_at": "publish", "failures": 1, "failed_at": NOW}, "rank"),
        ({"stopped_at": "publish", "failures": 3, "failed_at": NOW}, None),
        ({"stopped_at": "publish", "failures": 3, "failed_at": NOW - timedelta(minutes=3)}, "rank"),
    ],
)
def test_decisions(given: dict[str, object], kind: str | None) -> None:
    assert decide(standing(**given), POLICY, NOW).kind == kind


def test_a_paused_project_trains_only_when_asked() -> None:
    paused = POLICY.model_copy(update={"paused": True})
    assert decide(standing(new_labels=500), paused, NOW) == Decision(None, "paused")


def test_the_pause_between_failures_grows_and_is_bounded() -> None:
    failed = standing(stopped_at="learn", failures=50, failed_at=NOW - timedelta(minutes=LONGEST_PAUSE))
    assert decide(failed, POLICY, NOW).kind == "train"
    assert "50 cycles failed" in decide(standing(stopped_at="learn", failures=50, failed_at=NOW), POLICY, NOW).why
