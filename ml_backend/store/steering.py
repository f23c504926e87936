"""Tables of what people say about the queue: overrides of single tasks, sentences told to annotators, extra_params."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ml_backend.store.tables import Table, now


class Override(Table):
    """Where a person wants one task: first, last, or not in the queue. To undo it is to delete the row."""

    __tablename__ = "overrides"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(8))  # front | back | exclude
    author: Mapped[str] = mapped_column(String(256))
    at: Mapped[datetime] = mapped_column(default=now)  # of several at the front, the earliest is first


class Told(Table):
    """The sentence that a task's data in Label Studio carries now, so that it is written once."""

    __tablename__ = "told"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sentence: Mapped[str] = mapped_column(Text)


class ExtraParams(Table):
    """The extra_params of Label Studio's ML backend that were read last: they change the plan when they change."""

    __tablename__ = "extra_params"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the text
    seen_at: Mapped[datetime] = mapped_column(default=now)
