"""Sync: Label Studio is the truth; the ledger's items are brought level with it, only reading what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

import structlog
from sqlalchemy import delete, func, not_, or_, select, update
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.store.ledger import note_problem, solve_problems
from ml_backend.store.tables import Item, Problem, Project, now
from ml_backend.studio.client import UPDATED, Studio, StudioError
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.labels import Reading
from ml_backend.studio.question import Question, read_answer, read_question
from ml_backend.studio.regions.config import TimelineConfig, TracksConfig

log = structlog.get_logger()

T = TypeVar("T")
OVERLAP = timedelta(seconds=5)
RETRY_MEDIA = timedelta(minutes=10)
OF_MEDIA = or_(Problem.kind.startswith("image_", autoescape=True), Problem.kind.startswith("video_", autoescape=True))


class ProjectGoneError(Exception):
    """The project is deleted in Label Studio, or the token no longer sees it."""


class UnusableProjectError(Exception):
    """The label config is not one this backend can learn; the message says what to change."""


@dataclass(frozen=True)
class Synced:
    """What a sync found. `changed`: labels that differ from before; `problems`: kind -> items."""

    config: Question
    studio_project: dict[str, Any]
    changed: int = 0
    read: int = 0
    full: bool = False
    problems: dict[str, int] = field(default_factory=dict)


def sync(house: House, studio: Studio, project_id: int, *, media: bool = True) -> Synced:
    """Reads what changed since the last sync (everything when counts disagree) and fetches new images.

    Raises ProjectGoneError, UnusableProjectError, StudioError; each is kept as a problem of the project.
    """
    theirs = read_project(house, studio, project_id)
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        config = _config(house, session, project, theirs)
        if project.label_config != theirs["label_config"]:
            project.label_config, project.watermark = theirs["label_config"], None
        project.title = theirs.get("title") or project.title
        watermark = project.watermark
    full = watermark is None
    changed, read = _pull(house, studio, project_id, config, watermark)
    if not full and not _counts_agree(house, project_id, theirs):
        more, again = _pull(house, studio, project_id, config, None)
        changed, read, full = changed + more, read + again, True
    problems = _fetch_media(house, studio, project_id, config) if media else {}
    return Synced(config, theirs, changed, read, full, problems)


def read_project(house: House, studio: Studio, project_id: int) -> dict[str, Any]:
    """The project as Label Studio has it now; a deleted one is marked gone."""
    with house.ledger.session() as session:
        studio_id = session.get_one(Project, project_id).studio_id
    try:
        return studio.project(studio_id)
    except StudioError as error:
        with house.ledger.session() as session:
            if error.status == 404:
                session.get_one(Project, project_id).state = "gone"
                note_problem(session, project_id, "project_gone", str(error))
            else:
                note_problem(session, project_id, "studio_unreachable", str(error))
        if error.status == 404:
            raise ProjectGoneError(str(error)) from error
        raise


def _config(house: House, session: Session, project: Project, theirs: dict[str, Any]) -> Question:
    solve_problems(session, project.id, "studio_unreachable")
    try:
        config = read_question(theirs["label_config"])
    except ConfigError as error:
        with house.ledger.session() as other:
            note_problem(other, project.id, f"config_{error.kind}", str(error))
        raise UnusableProjectError(str(error)) from error
    kinds = select(Problem.kind).where(Problem.project_id == project.id, Problem.kind.startswith("config_"))
    for kind in list(session.scalars(kinds)):
        solve_problems(session, project.id, kind)
    return config


def _pull(house: House, studio: Studio, project_id: int, config: Question, watermark: str | None) -> tuple[int, int]:
    """Upserts tasks changed after the watermark (all if None, then those no longer listed are removed)."""
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        studio_id = project.studio_id
    seen: set[int] = set()
    changed, newest = 0, watermark
    for tasks in batched(studio.tasks(studio_id, updated_after=_earlier(watermark)), 1000):
        newest = max([str(task["updated_at"]) for task in tasks] + ([newest] if newest else []))
        seen.update(int(task["id"]) for task in tasks)
        with house.ledger.session() as session:
            changed += _keep(house, session, project_id, tasks, config)
    with house.ledger.session() as session:
        if watermark is None:
            changed += _forget_others(session, project_id, seen)
        project = session.get_one(Project, project_id)
        project.watermark = newest
        project.fresh_labels += changed
        people = select(func.count(func.distinct(Item.annotator))).where(Item.project_id == project_id)
        project.annotators = max(1, session.scalar(people) or 0)
    return changed, len(seen)


def _earlier(watermark: str | None) -> str | None:
    """A little before the watermark: a slow transaction may commit a moment that has already been passed."""
    if watermark is None:
        return None
    return (datetime.strptime(watermark, UPDATED).replace(tzinfo=UTC) - OVERLAP).strftime(UPDATED)


def _keep(house: House, session: Session, project_id: int, tasks: Iterable[dict[str, Any]], config: Question) -> int:
    listed = list(tasks)
    ids = [int(task["id"]) for task in listed]
    query = select(Item).where(Item.project_id == project_id, Item.task_id.in_(ids))
    before = {item.task_id: item for item in session.scalars(query)}
    open_problems = _open_problems(session, project_id, ids)
    changed, rows = 0, []
    for task in listed:
        reading = read_answer(task, config)
        old = before.get(int(task["id"]))
        url = reading.url or ""
        same_media = old is not None and old.url == url
        if ((old.label, old.regions) if old else (None, None)) != (reading.label, reading.regions):
            changed += 1
        rows.append(
            {
                "project_id": project_id,
                "task_id": int(task["id"]),
                "url": url,
                "content": old.content if old is not None and same_media else None,
                "width": old.width if old is not None and same_media else None,
                "height": old.height if old is not None and same_media else None,
                "status": _status(reading),
                "label": reading.label,
                "annotation_id": reading.annotation_id,
                "annotator": reading.annotator,
                "lead_time": reading.lead_time,
                "labeled_at": reading.labeled_at,
                "regions": reading.regions,
                "video": reading.video,
                "frame": reading.frame,
                "fps": reading.fps,
            }
        )
        _keep_problem(session, project_id, int(task["id"]), reading.problem, open_problems.get(int(task["id"]), set()))
    house.ledger.upsert(session, Item, rows, ("project_id", "task_id"))
    return changed


def _status(reading: Reading) -> str:
    """Out is an item without an image or without one answer that can be learned; one odd answer of several is not."""
    answered_unusably = reading.status == "labeled" and reading.label is None
    return "unusable" if reading.url is None or answered_unusably else reading.status


def _open_problems(session: Session, project_id: int, ids: list[int]) -> dict[int, set[tuple[str, str]]]:
    """Task -> (kind, message) of what is wrong with its data and answers, as far as is known; its media are apart."""
    query = select(Problem.task_id, Problem.kind, Problem.message).where(
        Problem.project_id == project_id,
        Problem.task_id.in_(ids),
        Problem.solved_at.is_(None),
        not_(OF_MEDIA),
    )
    found: dict[int, set[tuple[str, str]]] = {}
    for task_id, kind, message in session.execute(query):
        found.setdefault(task_id, set()).add((kind, message))
    return found


def _keep_problem(
    session: Session, project_id: int, task_id: int, problem: tuple[str, str] | None, known: set[tuple[str, str]]
) -> None:
    """Solves what is no longer so. Reading a task twice is not having its problem twice."""
    for kind, _ in known:
        if problem is None or kind != problem[0]:
            solve_problems(session, project_id, kind, task_id)
    if problem is not None and problem not in known:
        note_problem(session, project_id, problem[0], problem[1], task_id)


def _forget_others(session: Session, project_id: int, seen: set[int]) -> int:
    """Removes items that Label Studio no longer lists; returns how many of them carried a label."""
    rows = session.execute(select(Item.task_id, Item.label).where(Item.project_id == project_id)).all()
    gone = [(task_id, label) for task_id, label in rows if task_id not in seen]
    for part in batched(gone, 500):
        ids = [task_id for task_id, _ in part]
        session.execute(delete(Item).where(Item.project_id == project_id, Item.task_id.in_(ids)))
        session.execute(
            update(Problem).where(Problem.project_id == project_id, Problem.task_id.in_(ids)).values(solved_at=now())
        )
    return sum(label is not None for _, label in gone)


def _counts_agree(house: House, project_id: int, theirs: dict[str, Any]) -> bool:
    with house.ledger.session() as session:
        items = select(func.count()).select_from(Item).where(Item.project_id == project_id)
        ours = session.scalar(items) or 0
        annotated = session.scalar(items.where(Item.annotation_id.is_not(None))) or 0
    return ours == int(theirs["task_number"]) and annotated == int(theirs["num_tasks_with_annotations"])


def _fetch_media(house: House, studio: Studio, project_id: int, config: Question) -> dict[str, int]:
    """Fetches images or videos that have no content yet; failures are named on their item and tried again later."""
    media = house.videos(studio) if isinstance(config, (TracksConfig, TimelineConfig)) else house.media(studio)
    with house.ledger.session() as session:
        recent = select(Problem.task_id).where(
            Problem.project_id == project_id,
            OF_MEDIA,
            Problem.solved_at.is_(None),
            Problem.last_seen > now() - RETRY_MEDIA,
        )
        query = select(Item.task_id, Item.url, Item.content).where(Item.project_id == project_id, Item.url != "")
        rows = session.execute(query.where(Item.task_id.not_in(recent))).all()
    wanted = [(task_id, url) for task_id, url, content in rows if content is None or not media.has(content)]
    fetched = media.fetch(wanted, progress=_progress(len(wanted)))
    with house.ledger.session() as session:
        was_bad = select(Problem.task_id).where(Problem.project_id == project_id, OF_MEDIA, Problem.solved_at.is_(None))
        healed = set(session.scalars(was_bad)) & set(fetched.contents)
        for part in batched(fetched.contents.items(), 500):
            session.execute(
                update(Item),
                [{"project_id": project_id, "task_id": task, "content": content} for task, content in part],
            )
        for task_id in healed:
            session.execute(
                update(Problem)
                .where(Problem.project_id == project_id, Problem.task_id == task_id, OF_MEDIA)
                .values(solved_at=now())
            )
        counted: dict[str, int] = {}
        for task_id, (kind, message) in fetched.problems.items():
            note_problem(session, project_id, kind, message, task_id)
            counted[kind] = counted.get(kind, 0) + 1
    return counted


def batched(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` rows; itertools has it from Python 3.12."""
    iterator = iter(rows)
    while part := list(islice(iterator, size)):
        yield part


def _progress(total: int) -> Callable[[int, int], None]:
    def show(done: int, _total: int) -> None:
        if total >= 2000 and done % 1000 == 0:
            log.info("media", done=done, total=total)

    return show
