"""What an admin does with published versions and their models beside rolling back: look at them, delete, take along."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.loop.kept import VersionError
from ml_backend.loop.learning import evidence_key, model_key
from ml_backend.loop.publish import ranking_key
from ml_backend.store.ledger import publication, record_change
from ml_backend.store.runs import KeptVersion
from ml_backend.store.tables import Cycle, Project, Publication

THERE = ("live", "retired")


@dataclass(frozen=True)
class Version:
    """A published version: its row, the cycle that ranked it, the one that trained its model, who keeps it, and the
    bytes that model, evidence and ranking take (None where they are not stored)."""

    row: Publication
    cycle: Cycle
    trained: Cycle | None
    kept_by: str | None
    model: int | None
    evidence: int | None
    ranking: int | None

    @property
    def reachable(self) -> bool:
        return self.row.state in THERE


def versions(house: House, session: Session, project_id: int, *, limit: int, offset: int = 0) -> list[Version]:
    """Newest first, with the deleted ones, whose history stays."""
    query = select(Publication, Cycle, KeptVersion.author).join(Cycle, Cycle.id == Publication.cycle_id)
    query = query.outerjoin(KeptVersion, KeptVersion.publication_id == Publication.id)
    query = query.where(Publication.project_id == project_id).order_by(Publication.id.desc())
    rows = session.execute(query.limit(limit).offset(offset)).all()
    numbers = {cycle.evidence_cycle for _, cycle, _ in rows if cycle.evidence_cycle is not None}
    found = select(Cycle).where(Cycle.project_id == project_id, Cycle.number.in_(numbers))
    trained = {cycle.number: cycle for cycle in session.scalars(found)}
    size = house.arrays.size
    listed = []
    for row, cycle, keeper in rows:
        number = cycle.evidence_cycle
        listed.append(
            Version(
                row,
                cycle,
                trained.get(number) if number is not None else None,
                keeper,
                size(model_key(project_id, number)) if number is not None else None,
                size(evidence_key(project_id, number)) if number is not None else None,
                size(ranking_key(project_id, row.model_version)) if row.state != "pruned" else None,
            )
        )
    return listed


def count_versions(session: Session, project_id: int) -> int:
    query = select(func.count()).select_from(Publication).where(Publication.project_id == project_id)
    return session.scalar(query) or 0


def delete_version(house: House, project_id: int, model_version: str, *, author: str) -> None:
    """Removes a version's predictions from Label Studio and its arrays; never the live one, never a kept one.

    Its model goes too, unless another version needs it or it is the newest. Raises VersionError or StudioError.
    """
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        row = publication(session, project_id, model_version)
        if row is None or row.state == "pruned":
            raise VersionError(f"Version '{model_version}' is not there any more.")
        if model_version == project.live_version or row.state == "live":
            raise VersionError(f"Version '{model_version}' is live; make another one current first.")
        if session.get(KeptVersion, row.id) is not None:
            raise VersionError(f"Version '{model_version}' is kept; let it go first.")
    studio = house.studio(project)
    try:
        if studio.project(project.studio_id).get("model_version") == model_version:
            raise VersionError(f"Label Studio still serves '{model_version}'; the next reconcile puts that right.")
        studio.delete_version(project.studio_id, model_version)
    finally:
        studio.close()
    with house.ledger.session() as session:
        session.get_one(Publication, row.id).state = "pruned"
        record_change(session, project_id, author, f"deleted {model_version}")
        session.flush()
        orphan = _orphan(session, project_id, row.cycle_id)
    house.arrays.delete(ranking_key(project_id, model_version))
    if orphan is not None:
        house.arrays.delete(model_key(project_id, orphan))


def _orphan(session: Session, project_id: int, cycle_id: int) -> int | None:
    """Number of the training that no version needs any more, nor the next ranking."""
    number = session.get_one(Cycle, cycle_id).evidence_cycle
    newest = session.scalar(select(func.max(Cycle.evidence_cycle)).where(Cycle.project_id == project_id))
    query = select(Publication.id).join(Cycle, Cycle.id == Publication.cycle_id)
    query = query.where(Publication.project_id == project_id, Publication.state != "pruned")
    needed = session.scalar(query.where(Cycle.evidence_cycle == number).limit(1))
    return number if needed is None and number != newest else None


def packed_model(house: House, project_id: int, model_version: str) -> bytes:
    """The arrays of a version's model as one .npz file. Raises VersionError where no model is stored."""
    with house.ledger.session() as session:
        row = publication(session, project_id, model_version)
        number = session.get_one(Cycle, row.cycle_id).evidence_cycle if row is not None else None
    arrays = house.arrays.read(model_key(project_id, number)) if number is not None else None
    if arrays is None:
        raise VersionError(f"No model is stored for version '{model_version[:128]}'; it was pruned, or there was none.")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # the stub takes allow_pickle for one of the arrays
    return buffer.getvalue()
