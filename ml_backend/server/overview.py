"""How a project stands, read from the ledger alone, and the one sentence and button that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_backend.loop import upkeep
from ml_backend.loop.plan import Plan, read_plan
from ml_backend.server.machines import Machines
from ml_backend.store.ledger import newest_cycle
from ml_backend.store.tables import Cycle, Item, Problem, Project, now

MENDED_BY_CYCLES = ("cycle_failed", "publish_failed")
LOOK_AGAIN = ("version_lost", "reconcile_stopped", "studio_unreachable")


@dataclass(frozen=True)
class Standing:
    """A project at a glance. items: status -> tasks; problems: (kind, message, count) of the project itself;
    item_problems: kind -> tasks; waiting: published items without a label; behind: ranked ones that are not written
    yet; wish: the cycle that waits for a worker."""

    project: Project
    plan: Plan
    plan_number: int
    items: dict[str, int]
    problems: tuple[tuple[str, str, int], ...]
    item_problems: dict[str, int]
    waiting: int
    behind: int
    last: Cycle | None
    trained: Cycle | None
    wish: tuple[str, str] | None
    at: datetime = field(default_factory=now)

    @property
    def labeled(self) -> int:
        return self.items.get("labeled", 0)

    @property
    def tasks(self) -> int:
        return sum(self.items.values())

    @property
    def open(self) -> int:
        """Tasks that wait for a label."""
        return self.items.get("unlabeled", 0) + self.items.get("skipped", 0)

    @property
    def coverage(self) -> float | None:
        """Share of the waiting tasks that the live ranking knows; the rest came later and is ranked by the next."""
        return min(1.0, (self.waiting + self.behind) / self.open) if self.open else None

    @property
    def running(self) -> Cycle | None:
        return self.last if self.last is not None and self.last.status == "running" else None


@dataclass(frozen=True)
class Verdict:
    """level: good | busy | warn | bad; action: path below the project that the button posts to, '' for none."""

    level: str
    word: str
    sentence: str
    action: str = ""
    label: str = ""


def read_standing(session: Session, project: Project, wish: tuple[str, str] | None) -> Standing:
    """Counts in SQL; costs tens of milliseconds at 100 000 tasks."""
    statuses = select(Item.status, func.count()).where(Item.project_id == project.id).group_by(Item.status)
    wrong = select(Problem).where(Problem.project_id == project.id, Problem.solved_at.is_(None))
    kinds = select(Problem.kind, func.count()).where(
        Problem.project_id == project.id, Problem.solved_at.is_(None), Problem.task_id != 0
    )
    number, plan = read_plan(session, project.id)
    waiting, behind = upkeep.remaining(session, project.id)
    own = session.scalars(wrong.where(Problem.task_id == 0).order_by(Problem.last_seen.desc()).limit(20))
    return Standing(
        project=project,
        plan=plan,
        plan_number=number,
        items={status: count for status, count in session.execute(statuses)},
        problems=tuple((row.kind, row.message, row.count) for row in own),
        item_problems={kind: count for kind, count in session.execute(kinds.group_by(Problem.kind))},
        waiting=waiting,
        behind=behind,
        last=newest_cycle(session, project.id),
        trained=newest_cycle(session, project.id, kind="train", status="published"),
        wish=wish,
    )


def verdict(standing: Standing, machines: Machines) -> Verdict:
    """The first thing that is wrong, in the order in which to repair; else how it goes."""
    return (
        _disconnected(standing)
        or _powerless(standing, machines)
        or _failed(standing)
        or _problem(standing)
        or _going(standing)
    )


def _disconnected(standing: Standing) -> Verdict | None:
    if standing.project.state == "gone":
        sentence = "The project is disconnected, or deleted in Label Studio; its history stays."
        return Verdict("warn", "disconnected", sentence, "reconnect", "Connect again")
    if standing.project.state == "connecting":
        return Verdict("busy", "connecting", "The project is being connected; its first queue follows.")
    return None


def _powerless(standing: Standing, machines: Machines) -> Verdict | None:
    if machines.problem:
        return Verdict("bad", "no Redis", machines.problem)
    if not machines.workers:
        waits = f" and a {_cycle_word(standing.wish[0])} waits" if standing.wish else ""
        sentence = f"No worker runs{waits}, so nothing trains; start one with `nextlabel worker`."
        return Verdict("bad", "no worker", sentence)
    return None


def _failed(standing: Standing) -> Verdict | None:
    cycle = standing.last
    if cycle is None or cycle.status != "failed":
        return None
    sentence = f"Cycle {cycle.number} stopped at '{cycle.phase}': {cycle.error or 'for an unknown reason.'}"
    return Verdict("bad", "failed", sentence, f"runs/{cycle.number}/retry", "Try again")


def _problem(standing: Standing) -> Verdict | None:
    for kind, message, _ in standing.problems:
        if kind in MENDED_BY_CYCLES:
            continue
        if kind in LOOK_AGAIN:
            return Verdict("bad", "problem", message, "look-again", "Look again")
        level, word = ("warn", "plugin") if kind.startswith("plugin_") else ("bad", "problem")
        return Verdict(level, word, message)
    images = sum(count for kind, count in standing.item_problems.items() if kind.startswith(("image_", "video_")))
    if images:
        words = (
            "1 file cannot be read, so its task is"
            if images == 1
            else f"{images} files cannot be read, so their tasks are"
        )
        return Verdict("warn", "images", f"{words} not in the queue.", "retry-media", "Fetch again")
    return None


def _going(standing: Standing) -> Verdict:
    if standing.running is not None:
        word = _cycle_word(standing.running.kind)
        return Verdict("busy", "at work", f"A {word} is under way, at '{standing.running.phase}'.")
    if standing.wish is not None:
        return Verdict("busy", "queued", f"A {_cycle_word(standing.wish[0])} is queued ({standing.wish[1]}).")
    if standing.project.live_version is None:
        return Verdict("warn", "no queue", "Nothing is published yet.", "train", "Train now")
    if not standing.open:
        return Verdict("good", "done", "Every usable task is labeled.")
    if not standing.waiting and not standing.behind:
        sentence = "The queue is empty although tasks wait for labels."
        return Verdict("warn", "empty queue", sentence, "train", "Train now")
    if standing.plan.policy.paused:
        return Verdict("warn", "paused", "Training is paused in the plan; the queue goes on.", "train", "Train now")
    return Verdict("good", "healthy", "All is well.", "train", "Train now" if standing.project.fresh_labels else "")


def next_training(standing: Standing) -> str:
    """When the next training comes, in words."""
    policy, fresh = standing.plan.policy, standing.project.fresh_labels
    if standing.running is not None and standing.running.kind == "train":
        return "under way"
    if standing.wish is not None and standing.wish[0] == "train":
        return f"queued: {standing.wish[1]}"
    if standing.project.state != "connected":
        return "none while the project is not connected"
    if policy.paused:
        return "only when you ask for it; the plan pauses it"
    left = max(1, policy.new_labels - fresh)
    labels = f"after {left} more label{'' if left == 1 else 's'}"
    if not fresh or standing.trained is None:
        return f"{labels}, or {policy.minutes:g} minutes after the last with at least one"
    due = standing.trained.started_at + timedelta(minutes=policy.minutes)
    minutes = max(0.0, (due - standing.at).total_seconds() / 60)
    return f"{labels}, or in {minutes:.0f} minutes" if minutes >= 1 else "within a minute or two"


def _cycle_word(kind: str) -> str:
    return "training" if kind == "train" else "ranking"
