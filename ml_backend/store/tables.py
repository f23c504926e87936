"""The ledger's tables: what was connected, planned, learned, ranked, published, and what went wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Float, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


def now() -> datetime:
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """An aware UTC time; SQLite forgets the zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002  # SQLAlchemy's signature
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Table(DeclarativeBase):
    type_annotation_map = {datetime: Moment, dict[str, Any]: JSON, list[str]: JSON}


class Project(Table):
    """One connected Label Studio project. `key` is Label Studio's own '<id>.<created epoch>'."""

    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("studio_url", "studio_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    studio_url: Mapped[str] = mapped_column(String(2048))
    studio_id: Mapped[int]
    key: Mapped[str] = mapped_column(String(64), index=True)
    title: Mapped[str] = mapped_column(Text, default="")
    token: Mapped[str] = mapped_column(Text, default="")
    label_config: Mapped[str] = mapped_column(Text, default="")
    webhook_secret: Mapped[str] = mapped_column(String(128), index=True)
    state: Mapped[str] = mapped_column(String(16), default="connected")  # connecting | connected | gone
    live_version: Mapped[str | None] = mapped_column(String(128), default=None)
    watermark: Mapped[str | None] = mapped_column(String(64), default=None)  # newest updated_at that sync has seen
    annotators: Mapped[int] = mapped_column(default=1)
    fresh_labels: Mapped[int] = mapped_column(default=0)  # labels changed since the last training
    shown: Mapped[bool | None] = mapped_column(default=None)  # Label Studio's "show predictions" as last seen
    switching_at: Mapped[datetime | None] = mapped_column(default=None)  # while a version is being made live
    created_at: Mapped[datetime] = mapped_column(default=now)
    reconciled_at: Mapped[datetime | None] = mapped_column(default=None)


class PlanVersion(Table):
    """One saved plan; the highest number is in force."""

    __tablename__ = "plans"
    __table_args__ = (UniqueConstraint("project_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    number: Mapped[int]
    body: Mapped[dict[str, Any]]
    author: Mapped[str] = mapped_column(String(256))
    note: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class Item(Table):
    """One task as last read from Label Studio.

    label: the class, or for boxes how many of each ('2 Car, 1 Person'). regions: for boxes, those of the answer that
    counts, as Label Studio holds them. video, frame: of a task that shows a frame. fps: of a task that shows a whole
    video, as Label Studio counts its frames.
    """

    __tablename__ = "items"
    __table_args__ = (Index("items_by_status", "project_id", "status"),)

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    url: Mapped[str] = mapped_column(Text, default="")
    content: Mapped[str | None] = mapped_column(String(64), default=None)  # SHA-256 of the file
    status: Mapped[str] = mapped_column(String(16), default="unlabeled")  # unlabeled | labeled | skipped | unusable
    label: Mapped[str | None] = mapped_column(Text, default=None)
    annotation_id: Mapped[int | None] = mapped_column(BigInteger, default=None)
    annotator: Mapped[int | None] = mapped_column(default=None)
    lead_time: Mapped[float | None] = mapped_column(Float, default=None)  # seconds
    labeled_at: Mapped[str | None] = mapped_column(String(64), default=None)
    regions: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    video: Mapped[str | None] = mapped_column(Text, default=None)
    frame: Mapped[int | None] = mapped_column(default=None)
    fps: Mapped[float | None] = mapped_column(Float, default=None)
    width: Mapped[int | None] = mapped_column(default=None)  # px, as the image is shown
    height: Mapped[int | None] = mapped_column(default=None)


class Cycle(Table):
    """One turn of the loop. kind 'train' learns; 'rank' re-ranks with the evidence of `evidence_cycle`."""

    __tablename__ = "cycles"
    __table_args__ = (UniqueConstraint("project_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    number: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    trigger: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16), default="running")  # running | published | failed
    phase: Mapped[str] = mapped_column(String(16), default="sync")
    plan_number: Mapped[int] = mapped_column(default=0)
    evidence_cycle: Mapped[int | None] = mapped_column(default=None)  # number of the cycle that trained
    model_version: Mapped[str | None] = mapped_column(String(128), default=None)
    features: Mapped[str] = mapped_column(Text, default="")
    labels: Mapped[int] = mapped_column(default=0)
    pool: Mapped[int] = mapped_column(default=0)
    accuracy: Mapped[float | None] = mapped_column(Float, default=None)
    accuracy_low: Mapped[float | None] = mapped_column(Float, default=None)
    accuracy_high: Mapped[float | None] = mapped_column(Float, default=None)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    seconds: Mapped[dict[str, Any]] = mapped_column(default=dict)  # per phase
    notes: Mapped[list[str]] = mapped_column(default=list)
    error: Mapped[str | None] = mapped_column(Text, default=None)
    started_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)


class Publication(Table):
    """One model_version written to Label Studio. `total` items ranked, the first `published` of them written."""

    __tablename__ = "publications"
    __table_args__ = (UniqueConstraint("project_id", "model_version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    cycle_id: Mapped[int] = mapped_column(ForeignKey("cycles.id", ondelete="CASCADE"))
    model_version: Mapped[str] = mapped_column(String(128))
    total: Mapped[int]
    published: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), default="staged")  # staged | live | retired | pruned
    created_at: Mapped[datetime] = mapped_column(default=now)
    live_at: Mapped[datetime | None] = mapped_column(default=None)


class PublishedItem(Table):
    """Why one item stands where it stands. detail: scorer -> {value, percentile, weight, reason}.

    propensity: of a control item, one over the items that it was drawn from; null where the ranking decided.
    """

    __tablename__ = "published_items"
    __table_args__ = (Index("published_items_by_arm", "arm", "task_id"),)

    publication_id: Mapped[int] = mapped_column(ForeignKey("publications.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    rank: Mapped[int]
    score: Mapped[float] = mapped_column(Float)
    label: Mapped[str | None] = mapped_column(Text, default=None)
    confidence: Mapped[float | None] = mapped_column(Float, default=None)
    reason: Mapped[str] = mapped_column(Text, default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    arm: Mapped[str] = mapped_column(String(16), default="ranked", server_default="ranked")  # ranked | control
    propensity: Mapped[float | None] = mapped_column(Float, default=None)


class Switch(Table):
    """From which moment a version was live; a rollback is a row of its own."""

    __tablename__ = "switches"
    __table_args__ = (Index("switches_by_project", "project_id", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    model_version: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(default=now)


class ControlAnswer(Table):
    """What came of one control item that was served: a person's answer beside the prediction it was served with.

    It outlives its version, and says nothing of whom it was served to. status: answered | skipped | unusable (an
    annotation that cannot be learned) | out_of_turn (labeled although the queue had not come to it, so not at random).
    """

    __tablename__ = "control_answers"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    cycle: Mapped[int]  # number of the cycle whose queue served it
    model_version: Mapped[str] = mapped_column(String(128))
    rank: Mapped[int]
    propensity: Mapped[float] = mapped_column(Float)
    predicted: Mapped[str | None] = mapped_column(Text, default=None)  # null while there was no model
    label: Mapped[str | None] = mapped_column(Text, default=None)
    status: Mapped[str] = mapped_column(String(16))
    answered_at: Mapped[datetime]


class Event(Table):
    """One webhook as received; a hint that something changed, never the truth."""

    __tablename__ = "events"
    __table_args__ = (Index("events_by_project", "project_id", "received_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    action: Mapped[str] = mapped_column(String(64))
    task_id: Mapped[int | None] = mapped_column(BigInteger, default=None)
    annotation_id: Mapped[int | None] = mapped_column(BigInteger, default=None)
    skipped: Mapped[bool] = mapped_column(default=False)  # a skip teaches nothing, so it never trains
    received_at: Mapped[datetime] = mapped_column(default=now)


class Problem(Table):
    """A named, counted problem of an item (task_id) or of the whole project (task_id 0)."""

    __tablename__ = "problems"
    __table_args__ = (UniqueConstraint("project_id", "task_id", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    task_id: Mapped[int] = mapped_column(BigInteger, default=0)
    kind: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)
    count: Mapped[int] = mapped_column(default=1)
    first_seen: Mapped[datetime] = mapped_column(default=now)
    last_seen: Mapped[datetime] = mapped_column(default=now)
    solved_at: Mapped[datetime | None] = mapped_column(default=None)


class Change(Table):
    """Who did what to a project's settings or queue."""

    __tablename__ = "changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    author: Mapped[str] = mapped_column(String(256))
    what: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
