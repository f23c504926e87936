"""Projects: every connected one at a glance, and each one's overview."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from ml_backend.server.admin import Known, Open
from ml_backend.server.pages.frame import Tab, page
from ml_backend.store.tables import Project

TAB = Tab("Overview", "", order=0)
router = APIRouter(include_in_schema=False)


@router.get("/")
def show_all(request: Request, session: Open) -> Response:
    projects = list(session.scalars(select(Project).order_by(Project.state == "gone", Project.id)))
    return page(request, "projects.html", title="Projects", projects=projects)


@router.get("/projects/{project_id}")
def show(request: Request, project: Known) -> Response:
    return page(request, "project.html", title="Overview", project=project)
