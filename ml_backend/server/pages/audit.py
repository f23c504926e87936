"""Audit: who changed what in a project, newest first."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import func, select

from ml_backend.server.admin import Known, Open
from ml_backend.server.pages.frame import Tab, page
from ml_backend.server.pages.live import events_of
from ml_backend.store.tables import Change

TAB = Tab("Audit", "audit", order=90)
PAGE = 50

router = APIRouter(prefix="/projects/{project_id}/audit", include_in_schema=False)


@router.get("")
def show(
    request: Request,
    session: Open,
    project: Known,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    author: Annotated[str, Query(max_length=256)] = "",
) -> Response:
    """author: only this person's changes."""
    own = [Change.project_id == project.id, *([Change.author == author] if author else [])]
    query = select(Change).where(*own).order_by(Change.id.desc())
    people = select(Change.author).where(Change.project_id == project.id).distinct().order_by(Change.author).limit(200)
    return page(
        request,
        "audit.html",
        title="Audit",
        project=project,
        events=events_of(project.id),
        changes=list(session.scalars(query.limit(PAGE).offset(offset))),
        people=list(session.scalars(people)),
        author=author,
        offset=offset,
        limit=PAGE,
        total=session.scalar(select(func.count()).select_from(Change).where(*own)) or 0,
    )
