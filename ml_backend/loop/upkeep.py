"""Upkeep of the live queue between two versions: put it back if someone changed it, extend it, prune what is old."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.loop.kept import kept_publications
from ml_backend.loop.overrides import read_overrides, sentence, served
from ml_backend.loop.plan import changed_plan, read_plan, save_plan
from ml_backend.loop.publish import (
    PERCENTILE,
    PROPENSITY,
    VALUE,
    WEIGHT,
    PublishError,
    head_length,
    predictions,
    published_item,
    ranking_key,
)
from ml_backend.loop.ranking import control_reason
from ml_backend.store.arrays import Arrays
from ml_backend.store.ledger import note_problem, publication
from ml_backend.store.tables import Cycle, Item, Project, Publication, PublishedItem, now
from ml_backend.studio.client import Studio, StudioError
from ml_backend.studio.question import read_question

log = structlog.get_logger()

KEEP_VERSIONS = 5  # what a rollback can always reach
QUIET = timedelta(minutes=5)  # deleting a version takes Label Studio seconds, so it waits until nobody labels ...
SWITCH = timedelta(minutes=1)  # a switch that is older was given up by a process that died
MOST_VERSIONS = 50  # ... or until there are this many
PRUNE_AT_ONCE = 3  # a cycle may be waiting for this worker


def reassert(house: House, project_id: int, studio: Studio | None = None) -> str:
    """Puts the live version back if something in Label Studio changed it. Returns 'kept' or what was repaired.

    Toggling "show predictions" in Label Studio empties model_version and so turns the queue random; the toggle is
    adopted into the plan and the order restored.
    """
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
    studio = studio or house.studio(project)
    theirs = studio.project(project.studio_id)
    with house.ledger.session() as session:  # after theirs: a switch says so here before Label Studio shows it
        project = session.get_one(Project, project_id)
    switching = project.switching_at is not None and now() - project.switching_at < SWITCH
    if project.live_version is None or switching:
        return "kept"
    shown = bool(theirs["show_collab_predictions"])
    if theirs.get("model_version") == project.live_version and project.shown == shown:
        return "kept"
    with house.ledger.session() as session:
        if project.shown is not None and project.shown != shown:
            _adopt_shown(session, project_id, shown)
        session.get_one(Project, project_id).shown = shown
    try:
        studio.update_project(project.studio_id, model_version=project.live_version)
    except StudioError as error:
        if error.status != 400:
            raise
        return _lost(house, project_id, project.live_version)
    with house.ledger.session() as session:
        switched = session.get_one(Project, project_id).live_version != project.live_version
    if switched:  # by a publication or a rollback, while this looked: the newer word counts
        return reassert(house, project_id, studio)
    log.info("reasserted", project=project_id, found=theirs.get("model_version"), live=project.live_version)
    return f"model_version was '{theirs.get('model_version')}', is {project.live_version} again"


def _adopt_shown(session: Session, project_id: int, shown: bool) -> None:
    _, plan = read_plan(session, project_id)
    if plan.show_predictions != shown:
        changed = changed_plan(plan, {"show_predictions": shown})
        save_plan(session, project_id, changed, author="Label Studio", note="toggled in the project's settings")


def _lost(house: House, project_id: int, version: str) -> str:
    """The live predictions were deleted in Label Studio; only a new publication can help."""
    with house.ledger.session() as session:
        note_problem(session, project_id, "version_lost", f"The predictions of {version} are gone from Label Studio.")
    return "lost"


def remaining(session: Session, project_id: int) -> tuple[int, int]:
    """(published items that nobody has labeled yet, ranked items that are not published yet) of the live version."""
    project = session.get_one(Project, project_id)
    live = publication(session, project_id, project.live_version)
    if live is None:
        return 0, 0
    # EXISTS and not a join: SQLite would begin with all unlabeled items, of which there may be 100 000
    waits = exists().where(
        Item.project_id == project_id,
        Item.task_id == PublishedItem.task_id,
        Item.status.in_(("unlabeled", "skipped")),
    )
    query = select(func.count()).select_from(PublishedItem).where(PublishedItem.publication_id == live.id, waits)
    return session.scalar(query) or 0, live.total - live.published


def extend(house: House, project_id: int, studio: Studio) -> int:
    """Writes the next stretch of the live ranking before the head runs dry. Returns how many items were added."""
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        left, unwritten = remaining(session, project_id)
        live = publication(session, project_id, project.live_version)
        _, plan = read_plan(session, project_id)
    if live is None or not unwritten:
        return 0
    config = read_question(project.label_config)
    head = head_length(plan.batch or 0, project.annotators)
    if left > head // 2:
        return 0
    arrays = house.arrays.read(ranking_key(project_id, live.model_version))
    if arrays is None:
        raise PublishError(f"The ranking of {live.model_version} is gone from the array store; it cannot be extended.")
    stop = min(live.total, live.published + head)
    with house.ledger.session() as session:
        waiting = set(
            session.scalars(
                select(Item.task_id).where(
                    Item.project_id == project_id,
                    Item.status.in_(("unlabeled", "skipped")),
                    Item.content.is_not(None),
                    served(project_id),
                )
            )
        )
        placed = {row.task_id: sentence(row.kind, row.author) for row in read_overrides(session, project_id)}
    ranked = enumerate(predictions(config, live.model_version, arrays, live.published, stop), start=live.published)
    rows = {rank: row for rank, row in ranked if row["task"] in waiting}
    created = studio.import_predictions(project.studio_id, list(rows.values())) if rows else 0
    if created != len(rows):
        raise PublishError(f"Label Studio kept {created} of {len(rows)} predictions that extend {live.model_version}.")
    with house.ledger.session() as session:
        session.get_one(Publication, live.id).published = stop
        for rank, row in rows.items():
            detail, propensity = _detail(arrays, rank), _propensity(arrays, rank)
            stands = ", ".join(f"{name}: percentile {part['percentile']:.2f}" for name, part in detail.items())
            stands = placed.get(row["task"], stands or "drawn at random")
            why = stands if propensity is None else control_reason(propensity)
            reason = f"rank {rank} of the same ranking, written when the head ran low; {why}"
            session.add(published_item(config, live.id, rank, row, reason, detail, propensity))
    log.info("extended", project=project_id, version=live.model_version, items=len(rows))
    return len(rows)


def _detail(arrays: Arrays, rank: int) -> dict[str, Any]:
    """Each scorer's value, percentile and weight for a rank, from the arrays of the ranking."""
    names = [name.removeprefix(VALUE) for name in arrays if name.startswith(VALUE)]
    return {
        name: {
            "value": float(arrays[VALUE + name][rank]),
            "percentile": float(arrays[PERCENTILE + name][rank]),
            "weight": float(arrays[WEIGHT + name]),
            "reason": "",
        }
        for name in names
    }


def _propensity(arrays: Arrays, rank: int) -> float | None:
    """Of an item drawn for the control arm; rankings of before there was one have none."""
    value = float(arrays[PROPENSITY][rank]) if PROPENSITY in arrays else math.nan
    return None if math.isnan(value) else value


def prune(house: House, project_id: int, studio: Studio) -> list[str]:
    """Deletes what a rollback no longer reaches and what was never switched to; the live version is never touched."""
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        query = select(Publication).where(Publication.project_id == project_id).order_by(Publication.id.desc())
        rows = list(session.scalars(query))
        running = select(func.max(Cycle.id)).where(Cycle.project_id == project_id, Cycle.status == "running")
        newest = session.scalar(running)
    live_at = max((row.live_at for row in rows if row.live_at is not None), default=None)
    kept = kept_publications(house, project_id)
    retired = [row for row in rows if row.state == "retired" and row.id not in kept][KEEP_VERSIONS - 1 :]
    if live_at is not None and now() - live_at < QUIET:
        retired = retired[MOST_VERSIONS:]
    stranded = [row for row in rows if row.state == "staged" and row.cycle_id != newest]
    pruned = []
    for row in (retired + stranded)[:PRUNE_AT_ONCE]:
        if row.model_version in (project.live_version, studio.project(project.studio_id).get("model_version")):
            continue
        studio.delete_version(project.studio_id, row.model_version)
        house.arrays.delete(ranking_key(project_id, row.model_version))
        with house.ledger.session() as session:
            session.get_one(Publication, row.id).state = "pruned"
        pruned.append(row.model_version)
    return pruned
