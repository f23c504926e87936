"""The items of the queue page: each with its picture, its boxes, a bar per scorer, and why it stands there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.loop.overrides import KINDS, sentence
from ml_backend.loop.plan import read_plan
from ml_backend.loop.reasons import told_sentence
from ml_backend.loop.stored_ranking import StoredRanking
from ml_backend.loop.video_cover import Cover, cover_of
from ml_backend.loop.why import Why
from ml_backend.server.shapes import Shape, shapes_of
from ml_backend.store.ledger import publication
from ml_backend.store.steering import Override
from ml_backend.store.tables import Item, Project, PublishedItem
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.labels import ImageClassification
from ml_backend.studio.question import read_question
from ml_backend.studio.regions.config import BoxesConfig
from plugins import registry

WAITING = ("unlabeled", "skipped")
HIDDEN = "This task stands among the others by rank."  # of a control item, for those who may not know of it


@dataclass(frozen=True)
class Bar:
    """One scorer's say: percentile in [0, 1]."""

    title: str
    value: float
    percentile: float
    weight: float
    reason: str


@dataclass(frozen=True)
class Card:
    """One task as the page shows it. size: px of the image that the shapes are measured in; (0, 0) without boxes.

    content: of the picture. frame: its number where the task is a whole video, of which it is one frame.
    """

    task_id: int
    rank: int | None
    status: str
    says: str | None
    confidence: float | None
    why: str
    content: str | None
    override: str | None = None
    placed: str | None = None
    control: bool = False
    bars: tuple[Bar, ...] = ()
    shapes: tuple[Shape, ...] = ()
    size: tuple[int, int] = (0, 0)
    legend: tuple[str, ...] = field(default=())
    frame: int | None = None

    @property
    def pictured(self) -> bool:
        """Whether there is an image to show."""
        return self.content is not None


def classes_of(project: Project) -> tuple[str, ...]:
    """The classes of the labeling config, none where it cannot be learned."""
    try:
        return read_question(project.label_config).classes
    except ConfigError:
        return ()


def is_images(project: Project) -> bool:
    """Whether a task is an image, and not a whole video."""
    try:
        return isinstance(read_question(project.label_config), (ImageClassification, BoxesConfig))
    except ConfigError:
        return True


def covered(session: Session, house: House, project: Project, ranking: StoredRanking | None, card: Card) -> Card:
    """The card as it is, or with a frame of the video that its task is."""
    if is_images(project):
        return card
    cover = cover_at(session, house, project, ranking, card.task_id)
    return replace(card, content=None) if cover is None else replace(card, content=cover.content, frame=cover.number)


def cover_at(
    session: Session, house: House, project: Project, ranking: StoredRanking | None, task_id: int
) -> Cover | None:
    """The frame by which a task that is a whole video is shown."""
    _, plan = read_plan(session, project.id)
    item = session.get_one(Item, (project.id, task_id))
    return cover_of(house, item, ranking, plan.videos.frames_per_second)


def next_cards(
    session: Session,
    project: Project,
    ranking: StoredRanking | None,
    *,
    offset: int,
    limit: int,
    tells_control: bool,
) -> tuple[list[Card], int]:
    """A page of the written head that still waits, best first, and how many there are of them.

    tells_control: whether the reader may know which items were drawn at random.
    """
    live = publication(session, project.id, project.live_version)
    if live is None:
        return [], 0
    same = (Item.task_id == PublishedItem.task_id) & (Item.project_id == project.id)
    where = (PublishedItem.publication_id == live.id, Item.status.in_(WAITING))
    total = session.scalar(select(func.count()).select_from(PublishedItem).join(Item, same).where(*where)) or 0
    query = select(PublishedItem, Item).join(Item, same).where(*where).order_by(PublishedItem.rank)
    rows = session.execute(query.offset(offset).limit(limit)).all()
    placed = _overrides(session, project.id, [item.task_id for _, item in rows])
    classes = classes_of(project)
    cards = []
    for kept, item in rows:
        control = kept.arm == "control"
        cards.append(
            _card(
                item,
                kept.rank,
                (kept.label, kept.confidence),
                told_sentence(kept.detail) if control and not tells_control else kept.reason,
                kept.detail,
                ranking,
                classes,
                placed.get(item.task_id),
                control and tells_control,
            )
        )
    return cards, total


def found_card(
    session: Session, project: Project, ranking: StoredRanking | None, told: Why, *, tells_control: bool
) -> Card:
    """Any task by number, as `why.explain` tells of it."""
    item = session.get_one(Item, (project.id, told.task_id))
    control = told.arm == "control"
    why = f"Rank {told.rank} of {told.total}: {told_sentence(told.scorers)}" if control else told.sentence
    return _card(
        item,
        told.rank,
        (told.predicted, told.confidence),
        told.sentence if tells_control else why,
        told.scorers,
        ranking,
        classes_of(project),
        _overrides(session, project.id, [told.task_id]).get(told.task_id),
        control and tells_control,
    )


def _overrides(session: Session, project_id: int, tasks: Sequence[int]) -> dict[int, Override]:
    query = select(Override).where(Override.project_id == project_id, Override.task_id.in_(tasks))
    return {row.task_id: row for row in session.scalars(query)}


def _card(
    item: Item,
    rank: int | None,
    predicted: tuple[str | None, float | None],
    why: str,
    detail: dict[str, dict[str, Any]],
    ranking: StoredRanking | None,
    classes: Sequence[str],
    override: Override | None,
    control: bool,
) -> Card:
    size = (item.width or 0, item.height or 0)
    shapes = tuple(shapes_of(detail, ranking, rank, classes)) if all(size) else ()
    return Card(
        task_id=item.task_id,
        rank=rank,
        status=item.status,
        says=predicted[0],
        confidence=predicted[1],
        why=why[:1].upper() + why[1:],
        content=item.content,
        override=override.kind if override is not None else None,
        placed=sentence(override.kind, override.author) if override is not None else None,
        control=control,
        bars=tuple(bars(detail)),
        shapes=shapes,
        size=size,
        legend=tuple(dict.fromkeys(shape.kind for shape in shapes)),
    )


def bars(detail: dict[str, dict[str, Any]]) -> list[Bar]:
    """In the order of the plan, by the scorers' titles."""
    listings = registry.available("scorer")
    found = []
    for name, part in detail.items():
        cls = listings[name].cls if name in listings else None
        title = cls.title if cls is not None else name
        found.append(Bar(title, part["value"], part["percentile"], part["weight"], part.get("reason", "")))
    return found


def override_rows(session: Session, project_id: int, limit: int) -> tuple[list[Override], dict[str, int]]:
    """The newest overrides, and how many there are of each kind."""
    query = select(Override.kind, func.count()).where(Override.project_id == project_id).group_by(Override.kind)
    counted = {kind: count for kind, count in session.execute(query)}
    newest = select(Override).where(Override.project_id == project_id).order_by(Override.at.desc()).limit(limit)
    return list(session.scalars(newest)), {kind: counted.get(kind, 0) for kind in KINDS}
