"""Queue: the next items as pictures, why each stands there, and what people placed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from ml_backend.loop.house import House
from ml_backend.loop.overrides import KINDS, OverrideError, set_override, undo_override
from ml_backend.loop.why import WhyError, explain
from ml_backend.server.access import Caller
from ml_backend.server.admin import Known, Open, RoomsOf, TaskId
from ml_backend.server.forms import Filled, field
from ml_backend.server.pages.frame import Admin, Tab, Visitor, back, fragment, page
from ml_backend.server.pages.live import events_of
from ml_backend.server.queue_cards import (
    Card,
    cover_at,
    covered,
    found_card,
    is_images,
    next_cards,
    override_rows,
)
from ml_backend.server.shapes import KINDS as SHAPES
from ml_backend.server.steering import Rankings
from ml_backend.server.thumbnails import ThumbnailError, thumbnail
from ml_backend.store.ledger import publication
from ml_backend.store.tables import Item, Project

TAB = Tab("Queue", "queue", order=20)
PAGE = 20  # cards
OVERRIDES = 50  # rows
router = APIRouter(prefix="/projects/{project_id}/queue", include_in_schema=False)

ASKED = {
    "queued": "The queue is being re-ranked.",
    "coalesced": "The queue is being re-ranked.",
    "unavailable": "Redis does not answer, so the next ranking obeys.",
}


@router.get("")
def show(
    request: Request,
    visitor: Visitor,
    rooms: RoomsOf,
    session: Open,
    project: Known,
    rankings: Rankings,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    task: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """The written head that still waits, page by page; with `task`, any task of the project first."""
    live = publication(session, project.id, project.live_version)
    ranking = rankings.of(project.id, project.live_version)
    cards, total = next_cards(session, project, ranking, offset=offset, limit=PAGE, tells_control=visitor.may_write)
    cards = [covered(session, rooms, project, ranking, card) for card in cards]
    searched, missing = _search(session, rooms, project, rankings, visitor, task)
    rows, counted = override_rows(session, project.id, OVERRIDES)
    return page(
        request,
        "queue.html",
        title="Queue",
        project=project,
        events=events_of(project.id),
        live=live,
        cards=cards,
        total=total,
        offset=offset,
        limit=PAGE,
        asked=task,
        searched=searched,
        missing=missing,
        overrides=rows,
        counted=counted,
        kinds=KINDS,
        shapes=SHAPES,
        shown=_shown([*cards, *([searched] if searched else [])]),
    )


def _shown(cards: list[Card]) -> list[str]:
    """Kinds of boxes on the page, for its legend."""
    return [kind for kind in SHAPES if any(kind in card.legend for card in cards)]


def _search(
    session: Open, rooms: House, project: Project, rankings: Any, visitor: Caller, asked: str
) -> tuple[Card | None, str | None]:
    """(the card, what is wrong with the search)."""
    asked = asked.strip()
    if not asked:
        return None, None
    if not asked.isascii() or not asked.isdigit() or not 0 < int(asked) < 2**63:
        return None, f"'{asked}' is no number of a task; write it as Label Studio shows it, 812 say."
    try:
        told = explain(session, rankings, project.id, int(asked))
    except WhyError as error:
        return None, str(error)
    ranking = rankings.of(project.id, project.live_version)
    card = found_card(session, project, ranking, told, tells_control=visitor.may_write)
    return covered(session, rooms, project, ranking, card), None


@router.post("/{task_id}")
def place(
    request: Request, admin: Admin, form: Filled, rooms: RoomsOf, project: Known, task_id: TaskId, rankings: Rankings
) -> Response:
    """Pins, sends to the back, excludes or undoes; htmx gets the card anew, a plain form goes back to the page."""
    kind = field(form, "kind")
    try:
        if kind == "undo":
            asked, done = undo_override(rooms, project.id, task_id, author=admin.name), "has its own place again"
        else:
            asked = set_override(rooms, project.id, task_id, kind, author=admin.name)
            done = f"is {KINDS[kind]}"
        said, bad = f"Task {task_id} {done}. {ASKED[asked]}", False
    except OverrideError as error:
        said, bad = str(error), True
    if not request.headers.get("hx-request"):
        return back(request, f"/projects/{project.id}/queue?task={task_id}", said, bad=bad)
    with rooms.ledger.session() as session:
        card, _ = _search(session, rooms, project, rankings, admin, str(task_id))
    return fragment(request, "queue_changed.html", project=project, card=card, said=said, bad=bad, shapes=SHAPES)


@router.get("/pictures/{task_id}")
def picture(
    request: Request,
    rooms: RoomsOf,
    session: Open,
    project: Known,
    rankings: Rankings,
    task_id: TaskId,
    side: Annotated[int, Query(ge=1, le=4096)] = 640,
    v: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """The image of a task, or a frame of its video, small; under its own content's name (`v`) a browser may keep it."""
    content, files = _picture(rooms, session, project, rankings, task_id)
    tag = f'"{content[:16]}-{side}"'
    known = bool(v) and content.startswith(v)
    headers = {"ETag": tag, "Cache-Control": "private, max-age=31536000, immutable" if known else "private, no-cache"}
    headers["X-Content-Type-Options"] = "nosniff"
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        small = thumbnail(files(), rooms.settings.model_dir.absolute() / "thumbnails", content, side)
    except ThumbnailError as error:
        raise HTTPException(404, str(error)) from None
    return Response(small, media_type="image/jpeg", headers=headers)


def _picture(
    rooms: House, session: Open, project: Project, rankings: Any, task_id: int
) -> tuple[str, Callable[[], Path]]:
    """SHA-256 of a task's picture, and what finds its file. HTTPException where there is none."""
    item = session.get(Item, (project.id, task_id))
    if item is not None and item.content is not None and is_images(project):
        content = item.content
        return content, lambda: _in_cache(rooms, project, content)
    if item is not None and not is_images(project):
        cover = cover_at(session, rooms, project, rankings.of(project.id, project.live_version), task_id)
        if cover is not None:
            return cover.content, lambda: cover.file
    raise HTTPException(404, f"Task {task_id} has no image here; was it just added?")


def _in_cache(rooms: House, project: Project, content: str) -> Path:
    studio = rooms.studio(project)
    try:
        return rooms.media(studio).path(content)
    finally:
        studio.close()
