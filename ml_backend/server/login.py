"""Coming in and going out: login, logout, and the one-time links by which people get an account or a new password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.responses import RedirectResponse

from ml_backend.loop.house import House
from ml_backend.server import accounts
from ml_backend.server.access import COOKIE, by_session, refuse_other_sites
from ml_backend.server.accounts import AccountError, TooManyTriesError
from ml_backend.server.forms import Filled, field
from ml_backend.server.pages.frame import Visitor, back, page
from ml_backend.server.passwords import PasswordError
from ml_backend.store.people import OneTimeLink, User

router = APIRouter(include_in_schema=False)

WRONG = "Name or password is wrong."
EXPIRED = "The link was used or has expired; an admin makes another one under People, or `nextlabel admin-link` does."
Secret = Annotated[str, Path(max_length=128)]


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


def local(address: str) -> str:
    """Where to go after the login: a path of this server, '/' for anything else.

    >>> local("/projects/3?x=1"), local("//evil.example"), local("https://evil.example"), local("/\\\\evil.example")
    ('/projects/3?x=1', '/', '/', '/')
    """
    bad = (
        not address.startswith("/") or address.startswith("//") or "\\" in address or any(ord(c) < 32 for c in address)
    )
    return "/" if bad else address


@router.get("/login")
def show_login(request: Request, next: str = "/") -> Response:  # the name in the address
    if by_session(request) is not None:
        return RedirectResponse(local(next), 303)
    return _login_page(request, next)


@router.post("/login")
def log_in(request: Request, form: Filled) -> Response:
    """Answers 303 with the session's cookie, 401 for wrong words, 429 for too many."""
    refuse_other_sites(request)
    name, password, after = field(form, "name"), field(form, "password"), form.get("next", "/")
    house = _house(request)
    try:
        made = _count(request, name)
    except TooManyTriesError as error:
        return _login_page(request, after, name=name, problem=str(error), status=429, wait=error.seconds)
    with house.ledger.session() as session:
        user = accounts.check_login(session, name, password)
        if user is not None:
            accounts.forget_tries(session, made, name)
            cookie = accounts.open_session(session, user)
    if user is None:
        return _login_page(request, after, name=name, problem=WRONG, status=401)
    return _with_session(request, RedirectResponse(local(after), 303), cookie)


@router.post("/logout")
def log_out(request: Request, visitor: Visitor, form: Filled) -> Response:
    """Ends this session; viewers may, too."""
    if not accounts.same(form.get("csrf", ""), visitor.csrf):
        raise HTTPException(403, "The form is not of this session any more; load the page again.")
    refuse_other_sites(request)
    with _house(request).ledger.session() as session:
        accounts.close_session(session, request.cookies.get(COOKIE, ""))
    response = back(request, "/login", "You are logged out.")
    response.delete_cookie(COOKIE)
    return response


@router.get("/link/{secret}")
def show_link(request: Request, secret: Secret) -> Response:
    """Looking does not use it up: mail programs look at links too."""
    return _limited(request, secret, lambda: _link_page(request, secret))


@router.post("/link/{secret}")
def follow_link(request: Request, form: Filled, secret: Secret) -> Response:
    """Makes the account or sets the password, and logs the person in."""
    refuse_other_sites(request)

    def follow() -> Response:
        name, password = form.get("name", ""), field(form, "password")
        try:
            if password != field(form, "again"):
                raise PasswordError("The two passwords differ; type the same one twice.")
            with _house(request).ledger.session() as session:
                user = accounts.use_link(session, secret, name, password)
                cookie = accounts.open_session(session, user)
        except (AccountError, PasswordError) as error:
            return _link_page(request, secret, name=name, problem=str(error), status=422)
        return _with_session(request, RedirectResponse("/", 303), cookie)

    return _limited(request, secret, follow)


def _limited(request: Request, secret: str, answer: Callable[[], Response]) -> Response:
    """Counts only links that do not work, by address."""
    with _house(request).ledger.session() as session:
        works = accounts.find_link(session, secret) is not None
    if works:
        return answer()
    try:
        _count(request)
    except TooManyTriesError as error:
        return page(request, "link.html", title="Too many tries", status=429, link=None, problem=str(error), user=None)
    return page(
        request, "link.html", title="This link does not work", status=404, link=None, problem=EXPIRED, user=None
    )


def _link_page(request: Request, secret: str, *, name: str = "", problem: str = "", status: int = 200) -> Response:
    with _house(request).ledger.session() as session:
        link: OneTimeLink | None = accounts.find_link(session, secret)
        user = session.get(User, link.user_id) if link is not None and link.user_id is not None else None
    title = "A new password" if user is not None else "Your account"
    return page(request, "link.html", title=title, status=status, link=link, user=user, name=name, problem=problem)


def _login_page(
    request: Request, after: str, *, name: str = "", problem: str = "", status: int = 200, wait: int | None = None
) -> Response:
    with _house(request).ledger.session() as session:
        inhabited = accounts.anyone(session)
    response = page(
        request,
        "login.html",
        title="Log in",
        status=status,
        after=local(after),
        name=name[:64],
        problem=problem,
        inhabited=inhabited,
    )
    if wait is not None:
        response.headers["Retry-After"] = str(wait)
    return response


def _count(request: Request, name: str = "") -> list[int]:
    """In a transaction of its own, so that a failure afterwards cannot take it back."""
    address = request.client.host if request.client is not None else ""
    with _house(request).ledger.session() as session:
        return accounts.count_try(session, address, name)


def _with_session(request: Request, response: Response, cookie: str) -> Response:
    """The cookie; Secure where the request came by https, or NEXTLABEL_URL says that everyone comes so."""
    secure = request.url.scheme == "https" or _house(request).settings.backend_url.startswith("https:")
    days = accounts.SESSION_DAYS * 86400
    response.set_cookie(COOKIE, cookie, max_age=days, httponly=True, samesite="lax", secure=secure)
    response.headers["Cache-Control"] = "no-store"
    return response
