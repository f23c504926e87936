"""Publish: the head of a ranking goes to Label Studio under a new model_version, and one PATCH switches the queue."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import numpy as np
import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan, changed_plan, read_plan, save_plan
from ml_backend.loop.ranking import Ranking
from ml_backend.store.arrays import Arrays
from ml_backend.store.ledger import note_problem, publication, record_change, solve_problems
from ml_backend.store.tables import Cycle, Item, Project, Publication, PublishedItem, now
from ml_backend.studio.client import Studio, StudioError
from ml_backend.studio.labels import ImageClassification, check_prediction, choice_result, read_config
from plugins.contract import FloatArray

log = structlog.get_logger()

KEEP_VERSIONS = 5  # what a rollback can always reach
QUIET = timedelta(minutes=5)  # deleting a version takes Label Studio seconds, so it waits until nobody labels ...
MOST_VERSIONS = 50  # ... or until there are this many
PRUNE_AT_ONCE = 3  # a cycle may be waiting for this worker


class PublishError(Exception):
    """Nothing was switched: the version that was live still is."""


def head_length(batch: int, annotators: int) -> int:
    """How much of the queue is written at once: enough for the team until the next cycle."""
    return max(500, 2 * batch, 20 * annotators)


def ranking_key(project_id: int, model_version: str) -> str:
    return f"projects/{project_id}/rankings/{model_version}"


def version_name(project: Project, cycle: int) -> str:
    """'nextlabel-12-3f9a': the cycle, and four digits of the connection so that a new ledger never reuses a name."""
    return f"nextlabel-{cycle}-{hashlib.sha256(project.webhook_secret.encode()).hexdigest()[:4]}"


def publish(
    house: House,
    studio: Studio,
    cycle: Cycle,
    ranking: Ranking,
    task_ids: Any,
    probabilities: FloatArray | None,
    config: ImageClassification,
    plan: Plan,
) -> str:
    """Writes the head under a fresh version, verifies the count, switches. Returns the version that is now live.

    task_ids: (N,) of the pool; probabilities: (N, C) or None. Raises PublishError, and the queue stays as it was.
    """
    order = ranking.order
    with house.ledger.session() as session:
        project = session.get_one(Project, cycle.project_id)
        version = version_name(project, cycle.number)
    arrays: Arrays = {"task_id": np.asarray(task_ids)[order]}
    if probabilities is not None:
        arrays["probabilities"] = np.asarray(probabilities)[order]
    house.arrays.write(ranking_key(cycle.project_id, version), arrays)
    with house.ledger.session() as session:
        head = min(len(order), head_length(ranking.batch, project.annotators))
        rows = _predictions(config, version, arrays, 0, head)
        staged = Publication(
            project_id=project.id, cycle_id=cycle.id, model_version=version, total=len(order), published=head
        )
        session.add(staged)
        session.flush()
        session.add_all(_reasons(staged.id, ranking, rows))
    _write(studio, project.studio_id, version, rows)
    _switch(studio, project.studio_id, version, plan.show_predictions)
    with house.ledger.session() as session:
        _make_live(session, cycle.project_id, version, plan.show_predictions)
        solve_problems(session, cycle.project_id, "publish_failed")
    return version


def _predictions(
    config: ImageClassification, version: str, arrays: Arrays, start: int, stop: int
) -> list[dict[str, Any]]:
    total = len(arrays["task_id"])
    probabilities = arrays.get("probabilities")
    rows = []
    for rank in range(start, stop):
        result: list[dict[str, Any]] = []
        if probabilities is not None:
            best = int(probabilities[rank].argmax())
            result = choice_result(config, config.classes[best], float(probabilities[rank, best]))
        row = {
            "task": int(arrays["task_id"][rank]),
            "score": rank / total,
            "model_version": version,
            "result": result,
        }
        check_prediction(config, row)
        rows.append(row)
    return rows


def _reasons(publication_id: int, ranking: Ranking, rows: list[dict[str, Any]]) -> list[PublishedItem]:
    return [
        PublishedItem(
            publication_id=publication_id,
            task_id=row["task"],
            rank=rank,
            score=row["score"],
            label=row["result"][0]["value"]["choices"][0] if row["result"] else None,
            confidence=row["result"][0].get("score") if row["result"] else None,
            reason=ranking.reason(rank),
            detail=ranking.detail(rank),
        )
        for rank, row in enumerate(rows)
    ]


def _write(studio: Studio, studio_id: int, version: str, rows: list[dict[str, Any]]) -> None:
    """All rows or none: a partly written version is removed, and it was never live."""
    try:
        created = studio.import_predictions(studio_id, rows) if rows else 0
    except StudioError as error:
        raise PublishError(f"Version {version} was not written: {error}") from error
    if created != len(rows):
        _discard(studio, studio_id, version)
        raise PublishError(
            f"Label Studio kept {created} of {len(rows)} predictions of {version}, so it was discarded; "
            "the version that was live still is."
        )


def _discard(studio: Studio, studio_id: int, version: str) -> None:
    if studio.project(studio_id).get("model_version") != version:
        studio.delete_version(studio_id, version)


def _switch(studio: Studio, studio_id: int, version: str, shown: bool) -> None:
    """One PATCH; hiding predictions resets the version in Label Studio, so both travel together."""
    try:
        answer = studio.update_project(studio_id, model_version=version, show_collab_predictions=shown)
    except StudioError as error:
        raise PublishError(f"The queue was not switched to {version}: {error}") from error
    if (answer.get("model_version") or "") != version:
        raise PublishError(f"Label Studio answered model_version '{answer.get('model_version')}', not '{version}'.")


def _make_live(session: Session, project_id: int, version: str, shown: bool) -> None:
    project = session.get_one(Project, project_id)
    query = select(Publication).where(Publication.project_id == project_id, Publication.state == "live")
    for old in session.scalars(query):
        old.state = "retired"
    new = publication(session, project_id, version)
    if new is None:
        raise PublishError(f"Version '{version}' is not in the ledger.")
    new.state, new.live_at = "live", now()
    project.live_version, project.shown = version, shown


def rollback(house: House, project_id: int, model_version: str, *, author: str) -> None:
    """Makes an earlier version live again with the same PATCH that published it."""
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        wanted = publication(session, project_id, model_version)
        query = select(Publication.model_version).where(Publication.project_id == project_id)
        have = list(session.scalars(query.where(Publication.state.in_(("live", "retired"))).order_by(Publication.id)))
        _, plan = read_plan(session, project_id)
    if wanted is None or model_version not in have:
        raise PublishError(f"Version '{model_version}' cannot be made live; these can: {', '.join(have) or 'none'}.")
    studio = house.studio(project)
    _switch(studio, project.studio_id, model_version, plan.show_predictions)
    with house.ledger.session() as session:
        _make_live(session, project_id, model_version, plan.show_predictions)
        record_change(session, project_id, author, f"rolled back from {project.live_version} to {model_version}")


def reassert(house: House, project_id: int, studio: Studio | None = None) -> str:
    """Puts the live version back if something in Label Studio changed it. Returns 'kept' or what was repaired.

    Toggling "show predictions" in Label Studio empties model_version and so turns the queue random; the toggle is
    adopted into the plan and the order restored.
    """
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
    if project.live_version is None:
        return "kept"
    studio = studio or house.studio(project)
    theirs = studio.project(project.studio_id)
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
    query = (
        select(func.count())
        .select_from(PublishedItem)
        .join(Item, (Item.task_id == PublishedItem.task_id) & (Item.project_id == project_id))
        .where(PublishedItem.publication_id == live.id, Item.status.in_(("unlabeled", "skipped")))
    )
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
    config = read_config(project.label_config)
    head = head_length(plan.batch or 0, project.annotators)
    if left > head // 2:
        return 0
    arrays = house.arrays.read(ranking_key(project_id, live.model_version))
    if arrays is None:
        raise PublishError(f"The ranking of {live.model_version} is gone from the array store; it cannot be extended.")
    stop = min(live.total, live.published + head)
    rows = _predictions(config, live.model_version, arrays, live.published, stop)
    created = studio.import_predictions(project.studio_id, rows)
    if created != len(rows):
        raise PublishError(f"Label Studio kept {created} of {len(rows)} predictions that extend {live.model_version}.")
    with house.ledger.session() as session:
        row = publication(session, project_id, live.model_version)
        if row is not None:
            row.published = stop
        for rank, prediction in enumerate(rows, start=live.published):
            session.add(_later(live.id, rank, prediction))
    log.info("extended", project=project_id, version=live.model_version, items=len(rows))
    return len(rows)


def _later(publication_id: int, rank: int, row: dict[str, Any]) -> PublishedItem:
    result = row["result"]
    return PublishedItem(
        publication_id=publication_id,
        task_id=row["task"],
        rank=rank,
        score=row["score"],
        label=result[0]["value"]["choices"][0] if result else None,
        confidence=result[0].get("score") if result else None,
        reason=f"rank {rank} of the same ranking, written when the head ran low",
    )


def prune(house: House, project_id: int, studio: Studio) -> list[str]:
    """Deletes what a rollback no longer reaches and what was never switched to; the live version is never touched."""
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        query = select(Publication).where(Publication.project_id == project_id).order_by(Publication.id.desc())
        rows = list(session.scalars(query))
        running = select(func.max(Cycle.id)).where(Cycle.project_id == project_id, Cycle.status == "running")
        newest = session.scalar(running)
    live_at = max((row.live_at for row in rows if row.live_at is not None), default=None)
    retired = [row for row in rows if row.state == "retired"][KEEP_VERSIONS - 1 :]
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
