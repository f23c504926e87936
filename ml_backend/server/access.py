"""Who asks, and what they may: Basic credentials, a token, a session, or anyone on a fresh machine."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from ml_backend.loop.house import House
from ml_backend.server import accounts
from ml_backend.server.auth import AUTHOR_HEADER, CHALLENGE, Guard, basic_user

COOKIE = "nextlabel_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSAL = (
    "Send a token as Bearer (`nextlabel token create` makes one), or the user and password of BASIC_AUTH_USER and "
    "BASIC_AUTH_PASS as Basic authentication."
)
READS_ONLY = "{who} may look and change nothing; ask an admin."
WRONG_FORM = "The form is not of this session any more; load the page again and repeat what you did."
OTHER_SITE = "The request comes from a page of another site, which may change nothing here."


@dataclass(frozen=True)
class Caller:
    """Who asks. via: open (a fresh installation that only this machine reaches) | basic | token | session. csrf: what
    unsafe requests of a session must carry; '' for the others, which no browser sends by itself."""

    name: str
    may_write: bool
    via: Literal["open", "basic", "token", "session"]
    csrf: str = ""

    @property
    def role(self) -> str:
        return "admin" if self.may_write else "viewer"


def find_caller(request: Request) -> Caller | None:
    """The caller that the headers name, or None. A header that is wrong is not mended by a cookie that is right."""
    header = request.headers.get("authorization")
    guard: Guard = request.app.state.guard
    if header is not None and not guard.open and guard.admits(header):
        return Caller(basic_user(header) or "api", True, "basic")
    scheme, _, secret = (header or "").strip().partition(" ")
    if scheme.lower() == "bearer" and (caller := _by_token(request, secret.strip())) is not None:
        return caller
    if header is None and (caller := by_session(request)) is not None:
        return caller
    return Caller(basic_user(header) or "api", True, "open") if _open_house(request) else None


def by_session(request: Request) -> Caller | None:
    """The person whose session the cookie is."""
    cookie = request.cookies.get(COOKIE)
    if not cookie:
        return None
    house: House = request.app.state.house
    with house.ledger.session() as session:
        found = accounts.find_session(session, cookie)
    if found is None:
        return None
    user, csrf = found
    return Caller(user.name, user.role == "admin", "session", csrf)


def _by_token(request: Request, secret: str) -> Caller | None:
    house: House = request.app.state.house
    with house.ledger.session() as session:
        token = accounts.find_token(session, secret)
    return None if token is None else Caller(f"token {token.name}", token.scope == "write", "token")


def _open_house(request: Request) -> bool:
    """As long as nobody has an account, no credentials are set, and only this machine reaches the server."""
    house: House = request.app.state.house
    guard: Guard = request.app.state.guard
    if not guard.open or not on_loopback(house.settings.host) or getattr(request.app.state, "inhabited", False):
        return False
    if _is_foreign(request.url.hostname or "", urlsplit(house.settings.backend_url).hostname):
        return False
    with house.ledger.session() as session:
        request.app.state.inhabited = accounts.anyone(session)  # the last admin stays, so once true is always true
    return not request.app.state.inhabited


def _is_foreign(name: str, ours: str | None) -> bool:
    """Whether a request came under a public name that is not ours: a page elsewhere may let its own name point here.

    >>> _is_foreign("evil.example", "127.0.0.1"), _is_foreign("127.0.0.1", None), _is_foreign("localhost", None)
    (True, False, False)
    """
    if "." not in name or name == ours:
        return False
    try:
        return not ip_address(name)
    except ValueError:
        return True


def on_loopback(host: str) -> bool:
    """Whether an address that is bound is reached from this machine alone.

    >>> on_loopback("127.0.0.1"), on_loopback("0.0.0.0")
    (True, False)
    """
    return host in ("localhost", "::1") or host.startswith("127.")


def require_access(request: Request) -> None:
    """Dependency of /api: someone we know, who may do this, and not another site in their name."""
    caller = find_caller(request)
    if caller is None:
        raise HTTPException(401, REFUSAL, headers=CHALLENGE)
    check_change(request, caller, request.headers.get(CSRF_HEADER, ""))
    request.state.caller = caller


def check_change(request: Request, caller: Caller, csrf: str) -> None:
    """HTTPException 403 for an unsafe request that the caller may not make. csrf: from the form or the header."""
    if request.method in SAFE:
        return
    refuse_other_sites(request)
    if caller.via == "session" and not accounts.same(csrf, caller.csrf):
        raise HTTPException(403, WRONG_FORM)
    if not caller.may_write:
        raise HTTPException(403, READS_ONLY.format(who=caller.name))


def refuse_other_sites(request: Request) -> None:
    """Browsers say where a request comes from: in Sec-Fetch-Site, older ones in Origin; programs say nothing."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site in ("same-origin", "none") or (site is None and origin is None):
        return
    house: House = request.app.state.house
    ours = {
        request.headers.get("host"),
        request.headers.get("x-forwarded-host"),
        urlsplit(house.settings.backend_url).netloc,
    }
    if site is not None or urlsplit(origin or "").netloc not in ours:
        raise HTTPException(403, OTHER_SITE)


def author(request: Request) -> str:
    """Whose name a change carries: the person's or token's; else what the header says, the Basic user, or 'api'."""
    return signature(request, None)


def signature(request: Request, named: str | None) -> str:
    """As `author`, where a body may name someone: a person signs as themselves, a token adds its own name."""
    caller: Caller | None = getattr(request.state, "caller", None)
    given = (named or request.headers.get(AUTHOR_HEADER, "")).strip()
    if caller is None or caller.via in ("open", "basic"):
        return (given or (caller.name if caller is not None else "api"))[:256]
    if caller.via == "token" and given:
        return f"{given[:180]} through {caller.name}"
    return caller.name
