"""Models: every version with what it learned from; make it current, keep it, delete it, take it along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from ml_backend.loop import kept, publish
from ml_backend.loop import versions as stored
from ml_backend.loop.kept import VersionError
from ml_backend.server.admin import Known, Open, RoomsOf
from ml_backend.server.pages.frame import Admin, Tab, page, tried
from ml_backend.server.pages.live import events_of
from ml_backend.server.pages.projects import measure
from ml_backend.studio.client import StudioError

TAB = Tab("Models", "models", order=80)
PAGE = 25
Name = Annotated[str, Path(max_length=128)]

router = APIRouter(prefix="/projects/{project_id}/models", include_in_schema=False)


@router.get("")
def show(
    request: Request,
    session: Open,
    rooms: RoomsOf,
    project: Known,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
) -> Response:
    listed = stored.versions(rooms, session, project.id, limit=PAGE, offset=offset)
    return page(
        request,
        "models.html",
        title="Models",
        project=project,
        events=events_of(project.id),
        versions=[(one, measure(one.trained)) for one in listed],
        offset=offset,
        limit=PAGE,
        total=stored.count_versions(session, project.id),
    )


@router.post("/{version}/current")
def make_current(request: Request, admin: Admin, rooms: RoomsOf, project: Known, version: Name) -> Response:
    """One PATCH in Label Studio: the queue is the old one or the new one, never something between."""

    def work() -> str:
        publish.rollback(rooms, project.id, version, author=admin.name)
        request.app.state.protocol.answers.forget_projects()
        return f"{version} is current; the next task that anyone opens comes from it."

    return _tried(request, project.id, work)


@router.post("/{version}/keep")
def keep(request: Request, admin: Admin, rooms: RoomsOf, project: Known, version: Name) -> Response:
    def work() -> str:
        kept.keep(rooms, project.id, version, author=admin.name)
        return f"{version} and its model are kept until you let them go."

    return _tried(request, project.id, work)


@router.post("/{version}/let-go")
def let_go(request: Request, admin: Admin, rooms: RoomsOf, project: Known, version: Name) -> Response:
    def work() -> str:
        kept.keep(rooms, project.id, version, author=admin.name, kept=False)
        return f"{version} is pruned once newer ones take its place."

    return _tried(request, project.id, work)


@router.post("/{version}/delete")
def delete(request: Request, admin: Admin, rooms: RoomsOf, project: Known, version: Name) -> Response:
    def work() -> str:
        stored.delete_version(rooms, project.id, version, author=admin.name)
        return f"{version} is deleted."

    return _tried(request, project.id, work)


@router.get("/{version}/model.npz")
def download(rooms: RoomsOf, project: Known, version: Name) -> Response:
    """The model's arrays, for numpy.load."""
    try:
        packed = stored.packed_model(rooms, project.id, version)
    except VersionError as error:
        raise HTTPException(404, str(error)) from None
    safe = "".join(letter if (letter.isalnum() and letter.isascii()) or letter in "-_." else "_" for letter in version)
    headers = {"Content-Disposition": f'attachment; filename="{safe}.npz"', "Cache-Control": "no-store"}
    return Response(packed, media_type="application/octet-stream", headers=headers)


def _tried(request: Request, project_id: int, work: Callable[[], str]) -> Response:
    expected = (VersionError, publish.PublishError, StudioError)
    return tried(request, f"/projects/{project_id}/models", work, *expected)
