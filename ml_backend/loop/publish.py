"""Publish: the head of a ranking goes to Label Studio under a new model_version, and one PATCH switches the queue."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.loop.learning import Learned
from ml_backend.loop.plan import Plan, read_plan
from ml_backend.loop.predicted import check_row, predicted_arrays, predicted_result, told
from ml_backend.loop.ranking import Ranking
from ml_backend.store.arrays import Arrays
from ml_backend.store.ledger import publication, record_change, solve_problems
from ml_backend.store.tables import Cycle, Project, Publication, PublishedItem, Switch, now
from ml_backend.studio.client import Studio, StudioError
from ml_backend.studio.question import Question

log = structlog.get_logger()

VALUE, PERCENTILE, WEIGHT = "value:", "percentile:", "weight:"  # + scorer, columns of a ranking's arrays
PROPENSITY = "propensity"  # by rank; nan where the item was not drawn for the control arm


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
    learned: Learned,
    config: Question,
    plan: Plan,
) -> str:
    """Writes the head under a fresh version, verifies the count, switches. Returns the version that is now live.

    task_ids: (N,) of the pool; learned: what the predictions show. Raises PublishError, and the queue stays as it was.
    """
    order = ranking.order
    with house.ledger.session() as session:
        project = session.get_one(Project, cycle.project_id)
        version = version_name(project, cycle.number)
    shown = predicted_arrays(learned, order) if ranking.shows is None else ranking.shows(order)
    arrays: Arrays = {"task_id": np.asarray(task_ids)[order], **shown}
    for column in ranking.columns:  # what an item that is written later needs for its explanation
        arrays[f"{VALUE}{column.name}"] = column.scores.values[order]
        arrays[f"{PERCENTILE}{column.name}"] = column.percentiles[order]
        arrays[f"{WEIGHT}{column.name}"] = np.array(column.weight)
    if ranking.propensity is not None:
        arrays[PROPENSITY] = ranking.propensity
    house.arrays.write(ranking_key(cycle.project_id, version), arrays)
    with house.ledger.session() as session:
        head = min(len(order), head_length(ranking.batch, project.annotators))
        rows = predictions(config, version, arrays, 0, head)
        staged = Publication(
            project_id=project.id, cycle_id=cycle.id, model_version=version, total=len(order), published=head
        )
        session.add(staged)
        session.flush()
        session.add_all(
            published_item(
                config, staged.id, rank, row, ranking.reason(rank), ranking.detail(rank), ranking.drawn(rank)
            )
            for rank, row in enumerate(rows)
        )
    _write(studio, project.studio_id, version, rows)
    with _switching(house, project.id):
        _switch(studio, project.studio_id, version, plan.show_predictions)
        with house.ledger.session() as session:
            _make_live(session, cycle.project_id, version, plan.show_predictions)
            solve_problems(session, cycle.project_id, "publish_failed")
    _settle(studio, project.studio_id, version, plan.show_predictions)
    return version


def predictions(config: Question, version: str, arrays: Arrays, start: int, stop: int) -> list[dict[str, Any]]:
    """Rows for Label Studio's bulk import, each checked: ranks start .. stop of a ranking's arrays."""
    total = len(arrays["task_id"])
    rows = []
    for rank in range(start, stop):
        row = {
            "task": int(arrays["task_id"][rank]),
            "score": rank / total,
            "model_version": version,
            "result": predicted_result(config, arrays, rank),
        }
        check_row(config, row)
        rows.append(row)
    return rows


def published_item(
    config: Question,
    publication_id: int,
    rank: int,
    row: dict[str, Any],
    reason: str,
    detail: dict[str, Any],
    propensity: float | None,
) -> PublishedItem:
    """The ledger's row on why one prediction stands where it stands. propensity: None unless it was drawn."""
    label, confidence = told(config, row["result"])
    return PublishedItem(
        publication_id=publication_id,
        task_id=row["task"],
        rank=rank,
        score=row["score"],
        label=label,
        confidence=confidence,
        reason=reason,
        detail=detail,
        arm="ranked" if propensity is None else "control",
        propensity=propensity,
    )


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


@contextmanager
def _switching(house: House, project_id: int) -> Iterator[None]:
    """Says in the ledger that Label Studio is about to be ahead of it, so that no check puts the older version back."""
    with house.ledger.session() as session:
        session.get_one(Project, project_id).switching_at = now()
    try:
        yield
    finally:
        with house.ledger.session() as session:
            session.get_one(Project, project_id).switching_at = None


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
    session.add(Switch(project_id=project_id, model_version=version, at=new.live_at))
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
    with _switching(house, project_id):
        _switch(studio, project.studio_id, model_version, plan.show_predictions)
        with house.ledger.session() as session:
            _make_live(session, project_id, model_version, plan.show_predictions)
            record_change(session, project_id, author, f"rolled back from {project.live_version} to {model_version}")
    _settle(studio, project.studio_id, model_version, plan.show_predictions)


def _settle(studio: Studio, number: int, version: str, shown: bool) -> None:
    """Switches again if someone changed the version while the ledger was behind.

    Checks keep still during a switch (`upkeep.reassert`), so what they would have repaired is repaired here.
    """
    try:
        if studio.project(number).get("model_version") != version:
            _switch(studio, number, version, shown)
    except (StudioError, PublishError) as error:
        log.warning("settle_failed", project=number, error=str(error), remedy="the next reconcile looks again")
