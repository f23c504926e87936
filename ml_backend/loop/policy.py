"""When to train: enough new labels, or enough time with at least one; a pure function of what the ledger knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ml_backend.loop.plan import Policy

LONGEST_PAUSE = 60  # minutes between tries of a cycle that keeps failing


@dataclass(frozen=True)
class Standing:
    """Where a project stands. new_labels: changed since the last training; trained_at: its start, None if never."""

    new_labels: int
    trained_at: datetime | None
    live: bool
    new_tasks: int = 0
    stopped_at: str | None = None  # the phase in which the last cycle failed or its worker died
    failures: int = 0  # in a row
    failed_at: datetime | None = None


@dataclass(frozen=True)
class Decision:
    kind: str | None  # train | rank | None
    why: str


def decide(standing: Standing, policy: Policy, now: datetime) -> Decision:
    """What the loop should do now."""
    if standing.stopped_at is not None:
        return _again(standing, now)
    if not standing.live:
        return Decision("train", "nothing is published yet")
    if not policy.paused:
        if standing.new_labels >= policy.new_labels:
            return Decision("train", f"{standing.new_labels} new labels")
        waited = standing.trained_at is None or now - standing.trained_at >= timedelta(minutes=policy.minutes)
        if standing.new_labels and waited:
            return Decision("train", f"{standing.new_labels} new labels after {policy.minutes:g} minutes")
    if standing.new_tasks:
        return Decision("rank", f"{standing.new_tasks} tasks are not ranked yet")
    return Decision(None, "paused" if policy.paused else "nothing changed enough")


def _again(standing: Standing, now: datetime) -> Decision:
    """Tries a failed cycle again, ever more rarely; one that had learned only ranks and publishes."""
    pause = timedelta(minutes=min(2 ** (standing.failures - 1), LONGEST_PAUSE) - 1)
    if standing.failed_at is not None and now - standing.failed_at < pause:
        return Decision(
            None, f"{standing.failures} cycles failed in a row; the next try is at {standing.failed_at + pause:%H:%M}"
        )
    kind = "rank" if standing.stopped_at in ("rank", "publish") else "train"
    return Decision(kind, f"the last cycle stopped at '{standing.stopped_at}'")
