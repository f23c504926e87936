"""The periodic comparison with Label Studio: a lost webhook, a dead worker or a changed setting costs only delay."""

from __future__ import annotations

from datetime import timedelta

import structlog
from sqlalchemy import delete, func, select

from ml_backend.loop import jobs
from ml_backend.loop.house import House
from ml_backend.loop.overrides import served
from ml_backend.loop.plan import read_plan
from ml_backend.loop.policy import Decision, Standing, decide
from ml_backend.loop.publish import PublishError, ranking_key
from ml_backend.loop.reasons import tell_reasons
from ml_backend.loop.responses import collect
from ml_backend.loop.sync import ProjectGoneError, UnusableProjectError, sync
from ml_backend.loop.upkeep import extend, prune, reassert
from ml_backend.store.ledger import newest_cycle, note_problem, publication
from ml_backend.store.tables import Cycle, Event, Item, Project, now
from ml_backend.studio.client import StudioError
from ml_backend.studio.config_xml import ConfigError

log = structlog.get_logger()

KEEP_EVENTS = timedelta(days=30)
SETTLED = ("published", "cancelled")  # a cycle that a person stopped is not tried again by itself


def reconcile(house: House, project_id: int) -> Decision:
    """Repairs the live queue, reads what changed, and asks for what the policy then calls for."""
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
    if project.state != "connected":
        return Decision(None, f"the project is {project.state}")
    studio = house.studio(project)
    try:
        lost = reassert(house, project_id, studio) == "lost"
        extend(house, project_id, studio)
        if not jobs.is_running(house, project_id):
            sync(house, studio, project_id)
            collect(house, project_id)
            prune(house, project_id, studio)
            tell_reasons(house, studio, project_id)
    except (ProjectGoneError, UnusableProjectError, StudioError, PublishError, ConfigError) as error:
        log.warning("reconcile_stopped", project=project_id, error=str(error))
        with house.ledger.session() as session:
            note_problem(session, project_id, "reconcile_stopped", str(error))
        return Decision(None, str(error))
    finally:
        studio.close()
    decision = Decision("rank", "the live predictions were deleted") if lost else _decide(house, project_id)
    if decision.kind is not None:
        jobs.request_cycle(house, project_id, decision.kind, decision.why)
    elif jobs.has_wish(house, project_id) and not jobs.is_busy(house, project_id):
        jobs.request_cycle(house, project_id, "rank", "a wish was left over")
    with house.ledger.session() as session:
        session.get_one(Project, project_id).reconciled_at = now()
        session.execute(delete(Event).where(Event.project_id == project_id, Event.received_at < now() - KEEP_EVENTS))
    return decision


def _decide(house: House, project_id: int) -> Decision:
    if jobs.is_busy(house, project_id):
        return Decision(None, "a cycle is under way")
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        _, plan = read_plan(session, project_id)
        trained = newest_cycle(session, project_id, kind="train")
        newest = newest_cycle(session, project_id)
        recent = select(Cycle).where(Cycle.project_id == project_id).order_by(Cycle.number.desc()).limit(10)
        failures = 0
        for cycle in session.scalars(recent):
            if cycle.status in SETTLED:
                break
            failures += 1
        live = publication(session, project_id, project.live_version)
        ready = select(func.count()).select_from(Item).where(Item.project_id == project_id, Item.content.is_not(None))
        ready = ready.where(served(project_id))
        waiting = session.scalar(ready.where(Item.status.in_(("unlabeled", "skipped")))) or 0
        ranked = _still_ranked(house, project_id, live.model_version) if live is not None else 0
    stopped = newest.phase if newest is not None and newest.status not in SETTLED else None
    standing = Standing(
        new_labels=project.fresh_labels,
        trained_at=trained.started_at if trained else None,
        live=live is not None,
        new_tasks=max(0, waiting - ranked),
        stopped_at=stopped,
        failures=failures,
        failed_at=(newest.finished_at or newest.started_at) if newest else None,
    )
    return decide(standing, plan.policy, now())


def _still_ranked(house: House, project_id: int, model_version: str) -> int:
    """Items of the live ranking that still wait for a label."""
    arrays = house.arrays.read(ranking_key(project_id, model_version), ["task_id"])
    if arrays is None:
        return 0
    with house.ledger.session() as session:
        query = select(Item.task_id).where(Item.project_id == project_id, Item.content.is_not(None), served(project_id))
        waiting = set(session.scalars(query.where(Item.status.in_(("unlabeled", "skipped")))))
    return len(waiting.intersection(arrays["task_id"].tolist()))
