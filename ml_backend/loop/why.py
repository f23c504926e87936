"""Why a task stands where it stands: any task, far behind the written head or not in the queue at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.loop.overrides import KINDS
from ml_backend.loop.overrides import sentence as placed_by
from ml_backend.loop.plan import Plan, parse_plan
from ml_backend.loop.ranking import control_reason
from ml_backend.loop.stored_ranking import StoredRanking, StoredRankings
from ml_backend.store.ledger import publication
from ml_backend.store.steering import Override
from ml_backend.store.tables import Cycle, Item, PlanVersion, Problem, Project, Publication, PublishedItem
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.question import read_question


class WhyError(ValueError):
    """A task that is not among the project's items."""


@dataclass(frozen=True)
class Why:
    """rank: from 0 (served next) below `total`; None where the live ranking does not hold the task. written: to Label
    Studio. scorers: name -> {value, percentile, weight, reason}. arm: 'control', 'ranked', or None without a place.
    override: front, back, exclude or None."""

    task_id: int
    status: str
    model_version: str | None
    rank: int | None
    total: int
    written: bool
    predicted: str | None
    confidence: float | None
    arm: str | None
    propensity: float | None
    override: str | None
    sentence: str
    scorers: dict[str, dict[str, Any]] = field(default_factory=dict)


def explain(session: Session, rankings: StoredRankings, project_id: int, task_id: int) -> Why:
    """The place of a task in the live ranking and what put it there. Raises WhyError."""
    item = session.get(Item, (project_id, task_id))
    if item is None:
        raise WhyError(f"Task {task_id} is not among the items of project {project_id}; was it just added?")
    project = session.get_one(Project, project_id)
    live = publication(session, project_id, project.live_version)
    ranking = rankings.of(project_id, project.live_version)
    override = session.get(Override, (project_id, task_id))
    rank = None if ranking is None or live is None else ranking.ranks.get(task_id)
    if live is None or ranking is None or rank is None:
        return _without_a_place(session, project, item, live, override)
    return _with_a_place(session, project, item, live, ranking, rank, override)


def _without_a_place(
    session: Session, project: Project, item: Item, live: Publication | None, override: Override | None
) -> Why:
    who = f"Task {item.task_id}"
    if override is not None and override.kind == "exclude":
        said = f"{who} was {placed_by(override.kind, override.author)}; undo that to have it ranked."
    elif item.status == "labeled":
        said = f"{who} is labeled, so the queue does not hold it."
    elif item.status == "unusable" or item.content is None:
        said = f"{who} cannot be ranked: {_problem(session, item) or 'its image is not here yet'}"
    elif live is None:
        said = f"{who} has no place: no ranking is live yet."
    else:
        said = f"{who} came after {live.model_version} was ranked; the next ranking will hold it."
    return Why(
        item.task_id,
        item.status,
        project.live_version,
        None,
        live.total if live else 0,
        written=False,
        predicted=None,
        confidence=None,
        arm=None,
        propensity=None,
        override=override.kind if override else None,
        sentence=said,
    )


def _problem(session: Session, item: Item) -> str | None:
    query = select(Problem.message).where(
        Problem.project_id == item.project_id, Problem.task_id == item.task_id, Problem.solved_at.is_(None)
    )
    return session.scalar(query.order_by(Problem.last_seen.desc()).limit(1))


def _with_a_place(
    session: Session,
    project: Project,
    item: Item,
    live: Publication,
    ranking: StoredRanking,
    rank: int,
    override: Override | None,
) -> Why:
    kept = session.get(PublishedItem, (live.id, item.task_id))
    detail: dict[str, dict[str, Any]] = kept.detail if kept is not None else ranking.detail(rank)
    propensity = ranking.drawn(rank)
    predicted, confidence = _predicted(project, ranking, rank, kept)
    stands = _stands(session, item, live, rank, propensity, override, kept)
    parts = [_measured(name, part) for name, part in detail.items()]
    measured = f"{', '.join(parts)}; " if parts else ""
    since = " It is labeled since." if item.status == "labeled" else ""
    return Why(
        item.task_id,
        item.status,
        live.model_version,
        rank,
        live.total,
        written=kept is not None,
        predicted=predicted,
        confidence=confidence,
        arm="ranked" if propensity is None else "control",
        propensity=propensity,
        override=override.kind if override else None,
        sentence=f"Rank {rank} of {live.total}: {measured}{stands}.{since}",
        scorers=detail,
    )


def _measured(name: str, part: dict[str, Any]) -> str:
    """
    >>> _measured("margin", {"value": -0.62, "percentile": 0.41, "weight": 1.0})
    'margin -0.62 (percentile 0.41)'
    >>> _measured("margin", {"value": -0.62, "percentile": 0.41, "weight": 3.0})
    'margin -0.62 (percentile 0.41, weight 3)'
    """
    weight = "" if part["weight"] == 1 else f", weight {part['weight']:g}"
    return f"{name} {part['value']:.3g} (percentile {part['percentile']:.2f}{weight})"


def _predicted(
    project: Project, ranking: StoredRanking, rank: int, kept: PublishedItem | None
) -> tuple[str | None, float | None]:
    if kept is not None:
        return kept.label, kept.confidence
    try:
        return ranking.says(read_question(project.label_config), rank)
    except ConfigError:
        return None, None


def _stands(
    session: Session,
    item: Item,
    live: Publication,
    rank: int,
    propensity: float | None,
    override: Override | None,
    kept: PublishedItem | None,
) -> str:
    """Why it stands there, without a full stop."""
    cycle = session.get_one(Cycle, live.cycle_id)
    phase, batch = cycle.metrics.get("phase"), int(cycle.metrics.get("batch") or 0)
    if override is not None:
        said = f"it was {placed_by(override.kind, override.author)}"
        return said if override.at <= live.created_at else f"{said}, and the ranking that obeys is on its way"
    if kept is not None and kept.reason.startswith(tuple(KINDS.values())):
        return f"it was {kept.reason}, which is undone, and the ranking that obeys is on its way"
    if phase == "random":
        return "drawn at random, since the model does not know two classes yet"
    if propensity is not None:
        return control_reason(propensity)
    if item.status == "skipped":
        return "it was skipped, so it stands behind what nobody has seen"
    if rank < batch and kept is not None:
        return f"chosen in the batch of {batch} by '{_selector(session, cycle)}': {kept.reason.rstrip('.')}"
    rest = "in random order" if phase == "coverage" else "in order of score"
    behind = f"behind the batch of {batch} that '{_selector(session, cycle)}' chose, " if batch else ""
    return f"it stands {behind}{rest}"


def _selector(session: Session, cycle: Cycle) -> str:
    query = select(PlanVersion.body).where(
        PlanVersion.project_id == cycle.project_id, PlanVersion.number == cycle.plan_number
    )
    body = session.scalar(query)
    plan = Plan() if body is None else parse_plan(body, saved=True)
    cold = cycle.metrics.get("phase") == "coverage" and plan.cold_start is not None
    return plan.cold_start.selector.name if cold and plan.cold_start is not None else plan.selector.name
