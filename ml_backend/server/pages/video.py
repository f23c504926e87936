"""Video: a strip for each video with what is expected of its frames; a frame beside its neighbours, boxes linked."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.loop.house import House
from ml_backend.loop.video_strips import Strips, read_strips
from ml_backend.server.admin import Known, Open, RoomsOf
from ml_backend.server.pages.frame import Tab, page
from ml_backend.server.pages.live import events_of
from ml_backend.server.shapes import KINDS as SHAPES
from ml_backend.server.shapes import Shape, drawn, linked
from ml_backend.store.ledger import publication
from ml_backend.store.tables import Item, Project, PublishedItem

TAB = Tab("Video", "video", order=60)
PAGE = 10  # videos
COLUMNS = 240  # of a strip; more frames share a column, which shows the worst of them
QUEUED = 50  # next items that are marked
WORST = 10  # frames in the table
AROUND = 2  # frames on either side of the one that is looked at
KEPT = 4  # projects whose strips stay in memory
router = APIRouter(prefix="/projects/{project_id}/video", include_in_schema=False)


@dataclass(frozen=True)
class Column:
    """Frames first .. last of a strip. wrong, missed: heights in [0, 1]; frame: the one with the most errors."""

    x: int
    frame: int
    says: str
    wrong: float
    missed: float
    labeled: bool
    queued: bool


@dataclass(frozen=True)
class Strip:
    """One video. wrong, missed: expected of all its frames together."""

    number: int
    name: str
    frames: int
    labeled: int
    wrong: float
    missed: float
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Seen:
    """A frame with what is drawn over it. content: of its picture, None while that is not here."""

    frame: int
    task_id: int
    content: str | None
    size: tuple[int, int]
    shapes: tuple[Shape, ...]
    here: bool


class StripCache:
    """Strips by project and live version: a new ranking brings new ones."""

    def __init__(self, rooms: House) -> None:
        self._rooms = rooms
        self._kept: OrderedDict[int, tuple[str | None, Strips | None]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, project: Project) -> Strips | None:
        with self._lock:
            kept = self._kept.get(project.id)
            if kept is None or kept[0] != project.live_version:
                kept = (project.live_version, read_strips(self._rooms.arrays, project.id))
                self._kept[project.id] = kept
            self._kept.move_to_end(project.id)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return kept[1]


def _cache(request: Request, rooms: RoomsOf) -> StripCache:
    state = request.app.state
    if not hasattr(state, "strips"):
        state.strips = StripCache(rooms)
    cache: StripCache = state.strips
    return cache


Cached = Annotated[StripCache, Depends(_cache)]


@router.get("")
def show(
    request: Request,
    session: Open,
    project: Known,
    cache: Cached,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
) -> Response:
    """The videos with the most expected errors first."""
    strips = cache.of(project)
    shown: list[Strip] = []
    total = 0
    worst: list[dict[str, Any]] = []
    if strips is not None:
        total = len(strips.film.names)
        each = np.add.reduceat(_errors(strips), strips.starts[:-1]) if total else np.zeros(0)
        order = np.argsort(-each, kind="stable")[offset : offset + PAGE].tolist()
        queued, labeled = _marks(session, project, strips)
        shown = [_strip(strips, video, queued, labeled) for video in order]
        worst = _worst(strips, labeled)
    return page(
        request,
        "video.html",
        title="Video",
        project=project,
        events=events_of(project.id),
        strips=shown,
        total=total,
        offset=offset,
        limit=PAGE,
        worst=worst,
        columns=COLUMNS,
        ranked=project.live_version is not None,
    )


@router.get("/{video}/{frame}")
def look(request: Request, session: Open, project: Known, cache: Cached, video: int, frame: int) -> Response:
    """One frame, large, between those around it."""
    strips = cache.of(project)
    if strips is None or not 0 <= video < len(strips.film.names):
        raise HTTPException(404, f"There is no video {video} in the newest ranking.")
    place = strips.place(video, frame)
    name = str(strips.film.names[video])
    if place is None:
        raise HTTPException(404, f"Frame {frame} of {name} is not in the newest ranking.")
    low, high = int(strips.starts[video]), int(strips.starts[video + 1])
    around = range(max(low, place - AROUND), min(high, place + AROUND + 1))
    said, drawing = strips.told(place)
    items = _items(session, project.id, [int(strips.task_id[at]) for at in around])
    frames = [_seen(strips, at, at == place, drawing, items) for at in around]
    return page(
        request,
        "video_frame.html",
        title=f"Frame {frame} of {name}",
        project=project,
        events=events_of(project.id),
        video=video,
        name=name,
        frame=frame,
        frames=frames,
        said=said[:1].upper() + said[1:],
        wrong=float(strips.known.false_positives[place]),
        missed=float(strips.known.false_negatives[place]),
        labeled=bool(strips.film.labeled[place]),
        task_id=int(strips.task_id[place]),
        links=_links(drawing, strips.classes),
        before=int(strips.film.number[place - 1]) if place > low else None,
        after=int(strips.film.number[place + 1]) if place + 1 < high else None,
        kinds=SHAPES,
        shown=list(dict.fromkeys(shape.kind for each in frames for shape in each.shapes)),
    )


def _errors(strips: Strips) -> NDArray[np.float64]:
    return np.asarray(strips.known.false_positives + strips.known.false_negatives)


def _marks(session: Session, project: Project, strips: Strips) -> tuple[dict[int, int], NDArray[np.bool_]]:
    """Task -> place among the next ones; (F,) frames that are labeled by now."""
    live = publication(session, project.id, project.live_version)
    queued: dict[int, int] = {}
    if live is not None:
        same = (Item.task_id == PublishedItem.task_id) & (Item.project_id == project.id)
        query = select(PublishedItem.task_id).join(Item, same)
        query = query.where(PublishedItem.publication_id == live.id, Item.status == "unlabeled")
        tasks = session.scalars(query.order_by(PublishedItem.rank).limit(QUEUED))
        queued = {task: place for place, task in enumerate(tasks)}
    since = select(Item.task_id).where(Item.project_id == project.id, Item.status == "labeled")
    return queued, strips.film.labeled | np.isin(strips.task_id, np.array(list(session.scalars(since)), dtype=np.int64))


def _strip(strips: Strips, video: int, queued: dict[int, int], labeled: NDArray[np.bool_]) -> Strip:
    low, high = int(strips.starts[video]), int(strips.starts[video + 1])
    wrong, missed = strips.known.false_positives[low:high], strips.known.false_negatives[low:high]
    edges = np.unique(np.linspace(0, high - low, min(COLUMNS, high - low) + 1).astype(np.int64))
    tallest = max(1.0, float(wrong.max(initial=0)), float(missed.max(initial=0)))
    columns = []
    for x, (start, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        worst = low + start + int(np.argmax((wrong + missed)[start:end]))
        marked = [int(task) in queued for task in strips.task_id[low + start : low + end]]
        columns.append(
            Column(
                x,
                int(strips.film.number[worst]),
                _says(strips, worst),
                float(wrong[start:end].max()) / tallest,
                float(missed[start:end].max()) / tallest,
                bool(labeled[low + start : low + end].any()),
                any(marked),
            )
        )
    return Strip(
        video,
        str(strips.film.names[video]),
        high - low,
        int(labeled[low:high].sum()),
        float(wrong.sum()),
        float(missed.sum()),
        tuple(columns),
    )


def _says(strips: Strips, place: int) -> str:
    wrong, missed = strips.known.false_positives[place], strips.known.false_negatives[place]
    return f"Frame {strips.film.number[place]}: {wrong:.1f} wrong and {missed:.1f} missed are expected"


def _worst(strips: Strips, labeled: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The frames with the most expected errors that nobody has labeled."""
    errors = np.where(labeled, -1.0, _errors(strips))
    order = np.argsort(-errors, kind="stable")[:WORST]
    return [
        {
            "video": int(strips.film.video[at]),
            "name": str(strips.film.names[strips.film.video[at]]),
            "frame": int(strips.film.number[at]),
            "task_id": int(strips.task_id[at]),
            "wrong": float(strips.known.false_positives[at]),
            "missed": float(strips.known.false_negatives[at]),
        }
        for at in order.tolist()
        if errors[at] >= 0
    ]


def _items(session: Session, project_id: int, tasks: list[int]) -> dict[int, Item]:
    query = select(Item).where(Item.project_id == project_id, Item.task_id.in_(tasks))
    return {item.task_id: item for item in session.scalars(query)}


def _seen(strips: Strips, at: int, here: bool, drawing: dict[str, Any], items: dict[int, Item]) -> Seen:
    task_id, number = int(strips.task_id[at]), int(strips.film.number[at])
    item = items.get(task_id)
    shapes = drawn(drawing, strips.classes) if here else linked(drawing, number, strips.classes)
    size = (item.width or 0, item.height or 0) if item is not None else (0, 0)
    return Seen(number, task_id, item.content if item is not None else None, size, tuple(shapes), here)


def _links(drawing: dict[str, Any], classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """The table behind the picture: each shown box, and the frames in which it has a counterpart."""
    return [
        {
            "says": shape.says,
            "linked": sorted({link["frame"] for link in drawing["links"] if link["row"] == box["row"]}),
            "neighbours": box["neighbours"],
        }
        for box in drawing["boxes"]
        if box["shown"]
        for shape in drawn({"boxes": [box]}, classes)
    ]
