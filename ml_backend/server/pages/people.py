"""People: who has an account, one-time links, tokens of programs, and what was changed about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.server import accounts
from ml_backend.server.accounts import AccountError
from ml_backend.server.admin import Open, RoomsOf
from ml_backend.server.forms import Filled, field
from ml_backend.server.pages.frame import Admin, Visitor, page, tried
from ml_backend.server.passwords import PasswordError, matches
from ml_backend.store.people import PeopleChange, User

router = APIRouter(prefix="/people", include_in_schema=False)
Number = Annotated[int, Path(ge=1, lt=2**31)]
CHANGES = 50


@router.get("")
def show(request: Request, visitor: Visitor, session: Open) -> Response:
    """Viewers see their own account alone."""
    return _page(request, session, admin=visitor.may_write)


def _page(request: Request, session: Session, *, admin: bool, secret: tuple[str, str] | None = None) -> Response:
    """secret: (what it is, itself), shown in this answer and never again."""
    changes = select(PeopleChange).order_by(PeopleChange.id.desc()).limit(CHANGES)
    return page(
        request,
        "people.html",
        title="People",
        people=accounts.people(session) if admin else [],
        tokens=accounts.tokens(session) if admin else [],
        changes=list(session.scalars(changes)) if admin else [],
        secret=secret,
    )


@router.post("/links")
def make_link(request: Request, admin: Admin, form: Filled, session: Open) -> Response:
    """For a new person (role) or for someone's new password (user)."""
    user = _user(session, form["user"]) if form.get("user") else None
    purpose: accounts.Purpose = "reset" if user is not None else "viewer" if form.get("role") == "viewer" else "admin"
    secret = accounts.make_link(session, purpose, author=admin.name, user=user)
    what = f"a new password of {user.name}" if user is not None else f"a new {purpose}"
    address = f"{str(request.base_url).rstrip('/')}/link/{secret}"
    return _page(request, session, admin=True, secret=(f"The link for {what}, good once within 24 hours", address))


@router.post("/tokens")
def make_token(request: Request, admin: Admin, form: Filled, session: Open) -> Response:
    try:
        secret = accounts.make_token(session, field(form, "name"), field(form, "scope"), author=admin.name)
    except AccountError as error:
        raise HTTPException(422, str(error)) from None
    return _page(request, session, admin=True, secret=(f"The token '{form['name']}'", secret))


@router.post("/tokens/{number}/revoke")
def revoke(request: Request, admin: Admin, rooms: RoomsOf, number: Number) -> Response:
    def work(session: Session) -> str:
        return f"The token '{accounts.revoke_token(session, number, author=admin.name).name}' opens nothing any more."

    return _tried(request, rooms.ledger.session, work)


@router.post("/{number}/role")
def set_role(request: Request, admin: Admin, form: Filled, rooms: RoomsOf, number: Number) -> Response:
    def work(session: Session) -> str:
        user = _user(session, str(number))
        accounts.set_role(session, user, field(form, "role"), author=admin.name)
        return f"{user.name} is {user.role} now."

    return _tried(request, rooms.ledger.session, work)


@router.post("/{number}/remove")
def remove(request: Request, admin: Admin, rooms: RoomsOf, number: Number) -> Response:
    def work(session: Session) -> str:
        user = _user(session, str(number))
        accounts.remove_user(session, user, author=admin.name)
        return f"{user.name} is removed, and logged out everywhere."

    return _tried(request, rooms.ledger.session, work)


@router.post("/password")
def change_password(request: Request, visitor: Visitor, form: Filled, rooms: RoomsOf) -> Response:
    """One's own; viewers may, too. Every session ends, this one included."""
    if not accounts.same(form.get("csrf", ""), visitor.csrf):
        raise HTTPException(403, "The form is not of this session any more; load the page again.")

    def work(session: Session) -> str:
        user = session.scalars(select(User).where(User.name == visitor.name)).one()
        if not matches(field(form, "old"), user.password):
            raise PasswordError("The old password is another one; nothing was changed.")
        accounts.set_password(session, user, field(form, "password"), author=user.name)
        return "The password is changed; log in with the new one."

    return _tried(request, rooms.ledger.session, work)


def _tried(request: Request, opened: Callable[..., object], work: Callable[[Session], str]) -> Response:
    """Back to the page with what was done, or with why it was not (then nothing was)."""

    def whole() -> str:
        with opened() as session:  # type: ignore[attr-defined]  # Ledger.session
            return work(session)

    return tried(request, "/people", whole, AccountError, PasswordError)


def _user(session: Session, number: str) -> User:
    user = session.get(User, int(number)) if number.isdecimal() and len(number) < 10 else None
    if user is None:
        raise HTTPException(404, f"Person {number[:20]} does not exist any more; load the page again.")
    return user
