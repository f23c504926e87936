"""What every page stands in: templates, navigation, who looks, one-line messages, headers that shut the door."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ml_backend.server.access import CSRF_HEADER, SAFE, Caller, by_session, check_change
from ml_backend.server.forms import Filled
from ml_backend.server.pages.words import FILTERS
from ml_backend.server.static_files import static_url
from ml_backend.store.tables import Project

TEMPLATES = Path(__file__).parents[1] / "templates"
FLASH = "nextlabel_flash"  # a message for the next page
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Tab:
    """A page's place in a project's navigation: /projects/{id}/{path}, sorted by `order`."""

    title: str
    path: str
    order: int


class LoginNeededError(Exception):
    """Nobody is logged in; the application answers with the way to the login."""


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Escapes everything, and stops at a name that a page forgot."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(FILTERS)
    made.globals["static"] = static_url
    return made


# who looks


def visitor(request: Request) -> Caller:
    """Dependency of every page: someone who is logged in, else LoginNeededError."""
    caller = by_session(request)
    if caller is None:
        raise LoginNeededError
    request.state.caller = caller
    return caller


Visitor = Annotated[Caller, Depends(visitor)]


def _admin(request: Request, caller: Visitor, form: Filled) -> Caller:
    """Dependency of every change: an admin, from a form of this session."""
    check_change(request, caller, request.headers.get(CSRF_HEADER) or form.get("csrf", ""))
    return caller


def _admin_looks(caller: Visitor) -> Caller:
    if not caller.may_write:
        raise HTTPException(403, f"{caller.name} is a viewer; this page is for admins.")
    return caller


Admin = Annotated[Caller, Depends(_admin)]
AdminLooks = Annotated[Caller, Depends(_admin_looks)]


# what is answered


def page(
    request: Request,
    template: str,
    *,
    title: str,
    project: Project | None = None,
    status: int = 200,
    events: str | None = None,
    **values: Any,
) -> Response:
    """A page from templates/TEMPLATE, which extends base.html.

    project: shows its navigation. events: address of a stream (text/event-stream); at each message every element with
    `data-live` and an id is replaced by its newer self. values: what the template reads.
    """
    caller: Caller | None = getattr(request.state, "caller", None)
    message = _read_flash(request)
    html = (
        environment()
        .get_template(template)
        .render(
            **values,
            title=title,
            project=project,
            tabs=request.app.state.tabs,
            path=request.url.path,
            caller=caller,
            csrf=caller.csrf if caller is not None else "",
            flash=message,
            events=events,
        )
    )
    response = HTMLResponse(html, status, headers=HEADERS)
    if message is not None:
        response.delete_cookie(FLASH)
    return response


def fragment(request: Request, template: str, **values: Any) -> Response:
    """A part of a page, for htmx."""
    caller: Caller | None = getattr(request.state, "caller", None)
    csrf = caller.csrf if caller is not None else ""
    html = environment().get_template(template).render(**values, caller=caller, csrf=csrf)
    return HTMLResponse(html, headers=HEADERS)


def back(request: Request, to: str, message: str, *, bad: bool = False) -> Response:
    """After a change: to a page, which shows the message once."""
    response = RedirectResponse(to, 303, headers={"Cache-Control": "no-store"})
    packed = base64.urlsafe_b64encode(json.dumps([message[:600], bad]).encode()).decode()
    response.set_cookie(FLASH, packed, max_age=60, httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return response


def tried(request: Request, to: str, work: Callable[[], str], *expected: type[Exception]) -> Response:
    """Runs a change and goes back with what it says; one of the expected errors is said instead."""
    try:
        return back(request, to, work())
    except expected as error:
        return back(request, to, str(error), bad=True)


def _read_flash(request: Request) -> tuple[str, bool] | None:
    """(message, bad) that the last change left; a cookie that is not ours says nothing."""
    packed = request.cookies.get(FLASH)
    if not packed:
        return None
    try:
        message, bad = json.loads(base64.urlsafe_b64decode(packed))
    except (ValueError, TypeError, binascii.Error):
        return None
    return (str(message)[:600], bool(bad))


def error_page(request: Request, status: int, detail: str) -> Response:
    """A refusal as a page; it asks nothing of the ledger."""
    titles = {403: "Not allowed", 404: "Not found", 429: "Too many tries", 503: "Not available"}
    return page(request, "error.html", title=titles.get(status, "That did not work"), status=status, detail=detail)


def login_needed(request: Request) -> Response:
    """To the login and back; a script is told instead, since it cannot follow."""
    to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    login = f"/login?next={quote(to, safe='/')}" if request.method in SAFE else "/login"
    if request.headers.get("hx-request") or request.headers.get("accept") == "text/event-stream":
        return Response(status_code=401, headers={"HX-Redirect": "/login", "Cache-Control": "no-store"})
    return RedirectResponse(login, 303, headers={"Cache-Control": "no-store"})


def wants_page(request: Request) -> bool:
    """Whether a person's browser asks, rather than a program."""
    return "text/html" in request.headers.get("accept", "")
