"""Versions that a person keeps: pruning leaves them and the models they were ranked with alone."""

from __future__ import annotations

from sqlalchemy import select

from ml_backend.loop.house import House
from ml_backend.store.ledger import publication, record_change
from ml_backend.store.runs import KeptVersion
from ml_backend.store.tables import Cycle, Publication


class VersionError(ValueError):
    """A version with which that cannot be done; the message says why."""


def kept_publications(house: House, project_id: int) -> set[int]:
    """Ids of a project's kept publications."""
    query = select(KeptVersion.publication_id).join(Publication, Publication.id == KeptVersion.publication_id)
    with house.ledger.session() as session:
        return set(session.scalars(query.where(Publication.project_id == project_id)))


def kept_trainings(house: House, project_id: int) -> set[int]:
    """Numbers of the cycles whose trainings are behind kept versions."""
    query = select(Cycle.evidence_cycle).join(Publication, Publication.cycle_id == Cycle.id)
    query = query.join(KeptVersion, KeptVersion.publication_id == Publication.id)
    query = query.where(Publication.project_id == project_id, Cycle.evidence_cycle.is_not(None))
    with house.ledger.session() as session:
        return {number for number in session.scalars(query) if number is not None}


def keep(house: House, project_id: int, model_version: str, *, author: str, kept: bool = True) -> None:
    """Keeps a version, or lets it go. Raises VersionError where it is gone already."""
    with house.ledger.session() as session:
        row = publication(session, project_id, model_version)
        if row is None or row.state not in ("live", "retired"):
            raise VersionError(f"Version '{model_version}' is not there any more, so it cannot be kept.")
        held = session.get(KeptVersion, row.id)
        if kept == (held is not None):
            return
        if held is not None:
            session.delete(held)
        else:
            session.add(KeptVersion(publication_id=row.id, author=author))
        record_change(session, project_id, author, f"{'keeps' if kept else 'no longer keeps'} {model_version}")
