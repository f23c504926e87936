"""Tables of what people see and do while a cycle runs, and of the versions that they keep."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from ml_backend.store.tables import Table, now


class CycleRun(Table):
    """A cycle as its worker tells of it. phase_at: start of the phase under way; log: its last lines, oldest first;
    cancelled_by: who asked it to stop."""

    __tablename__ = "cycle_runs"

    cycle_id: Mapped[int] = mapped_column(ForeignKey("cycles.id", ondelete="CASCADE"), primary_key=True)
    phase_at: Mapped[datetime] = mapped_column(default=now)
    machine: Mapped[str] = mapped_column(String(256), default="")
    log: Mapped[list[str]] = mapped_column(JSON, default=list)
    cancelled_by: Mapped[str | None] = mapped_column(String(256), default=None)


class KeptVersion(Table):
    """A version that pruning leaves alone, with its model."""

    __tablename__ = "kept_versions"

    publication_id: Mapped[int] = mapped_column(ForeignKey("publications.id", ondelete="CASCADE"), primary_key=True)
    author: Mapped[str] = mapped_column(String(256))
    at: Mapped[datetime] = mapped_column(default=now)
