"""People, sessions, tokens and one-time links in the ledger; only hashes are kept of everything that opens a door."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ml_backend.server.passwords import check_password, hash_password, matches, nobodys
from ml_backend.store.people import AccessToken, Attempt, OneTimeLink, PeopleChange, SignIn, User
from ml_backend.store.tables import now

Role = Literal["admin", "viewer"]
Scope = Literal["read", "write"]
Purpose = Literal["first", "admin", "viewer", "reset"]

ROLES: tuple[Role, ...] = ("admin", "viewer")
SCOPES: tuple[Scope, ...] = ("read", "write")
SESSION_DAYS = 14
LINK_HOURS = 24
TOKEN_PREFIX = "nextlabel_"  # so that secret scanners know one when they see it
NAME = re.compile(r"[\w.@+-]{1,64}", re.UNICODE)
TRIES = {"name": 10, "address": 30}  # failures within TRIES_MINUTES, after which even the right password waits
TRIES_MINUTES = 15


class AccountError(ValueError):
    """What cannot be done with an account; the message is one sentence with the remedy."""


class TooManyTriesError(AccountError):
    """Guessing, or a finger that slipped too often; `seconds` is how long to wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many tries failed; wait {max(1, round(seconds / 60))} minutes and try again.")
        self.seconds = seconds


def digest(secret: str) -> str:
    """SHA-256 of a secret of 256 random bits, which nobody can guess back from it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(given: str, wanted: str) -> bool:
    """Constant-time comparison; an empty secret is never the same."""
    return bool(wanted) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def clean_name(name: str) -> str:
    """A name as it is kept: composed, lower case. Raises AccountError.

    >>> clean_name(" Ada ")
    'ada'
    """
    cleaned = unicodedata.normalize("NFKC", name).strip().casefold()
    if not NAME.fullmatch(cleaned):
        raise AccountError(f"The name '{name[:80]}' cannot be taken; use 1 to 64 letters, digits and . @ + - _.")
    return cleaned


def note(session: Session, author: str, what: str) -> None:
    """Keeps who changed which person, link or token."""
    session.add(PeopleChange(author=author, what=what))


# people


def anyone(session: Session) -> bool:
    """Whether there is any user yet."""
    return session.scalar(select(User.id).limit(1)) is not None


def people(session: Session) -> list[User]:
    return list(session.scalars(select(User).order_by(User.name)))


def add_user(session: Session, name: str, password: str, role: str, *, author: str) -> User:
    """A new person. Raises AccountError (a taken or impossible name) or PasswordError."""
    cleaned = clean_name(name)
    if role not in ROLES:
        raise AccountError(f"The role '{role}' is unknown; use admin or viewer.")
    check_password(password, cleaned)
    if session.scalar(select(User.id).where(User.name == cleaned)) is not None:
        raise AccountError(f"The name '{cleaned}' is taken; choose another one.")
    user = User(name=cleaned, password=hash_password(password), role=role)
    session.add(user)
    session.flush()
    note(session, author, f"{cleaned} came in as {role}")
    return user


def set_role(session: Session, user: User, role: str, *, author: str) -> None:
    """Raises AccountError for the last admin, who must stay one."""
    if role not in ROLES:
        raise AccountError(f"The role '{role}' is unknown; use admin or viewer.")
    if user.role == "admin" and role != "admin":
        _keep_one_admin(session, user)
    note(session, author, f"{user.name} is {role}, was {user.role}")
    user.role = role


def remove_user(session: Session, user: User, *, author: str) -> None:
    """With all sessions and links; what the person did stays in the audit. Raises AccountError for the last admin."""
    if user.role == "admin":
        _keep_one_admin(session, user)
    note(session, author, f"{user.name} was removed")
    session.delete(user)


def set_password(session: Session, user: User, password: str, *, author: str) -> None:
    """Ends every session of the person. Raises PasswordError."""
    check_password(password, user.name)
    user.password = hash_password(password)
    session.execute(delete(SignIn).where(SignIn.user_id == user.id))
    note(session, author, f"{user.name} has a new password")


def check_login(session: Session, name: str, password: str) -> User | None:
    """The person, or None; takes as long for a name that nobody has."""
    cleaned = unicodedata.normalize("NFKC", name).strip().casefold()[:64]
    user = session.scalar(select(User).where(User.name == cleaned))
    right = matches(password, user.password if user is not None else nobodys())
    return user if user is not None and right else None


def _keep_one_admin(session: Session, user: User) -> None:
    others = select(func.count()).select_from(User).where(User.role == "admin", User.id != user.id)
    if not session.scalar(others):
        raise AccountError(f"{user.name} is the only admin and must stay one; make someone else an admin first.")


# sessions of browsers


def open_session(session: Session, user: User) -> str:
    """The cookie of a new session; ones that have expired are forgotten on the way."""
    cookie, moment = secrets.token_urlsafe(32), now()
    session.execute(delete(SignIn).where(SignIn.expires_at < moment))
    ends = moment + timedelta(days=SESSION_DAYS)
    session.add(SignIn(hash=digest(cookie), user_id=user.id, csrf=secrets.token_urlsafe(32), expires_at=ends))
    user.seen_at = moment
    return cookie


def find_session(session: Session, cookie: str) -> tuple[User, str] | None:
    """The person behind a cookie and the session's CSRF token."""
    query = select(User, SignIn.csrf).join(SignIn, SignIn.user_id == User.id)
    row = session.execute(query.where(SignIn.hash == digest(cookie), SignIn.expires_at > now())).first()
    return (row[0], row[1]) if row is not None else None


def close_session(session: Session, cookie: str) -> None:
    session.execute(delete(SignIn).where(SignIn.hash == digest(cookie)))


# tokens of programs


def make_token(session: Session, name: str, scope: str, *, author: str) -> str:
    """A new token, shown this once. Raises AccountError."""
    cleaned = " ".join(name.split())
    if not 1 <= len(cleaned) <= 64:
        raise AccountError("A token needs a name of 1 to 64 characters that says which program has it.")
    if scope not in SCOPES:
        raise AccountError(f"The scope '{scope}' is unknown; use read or write.")
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    session.add(AccessToken(hash=digest(secret), name=cleaned, scope=scope, author=author))
    note(session, author, f"made the token '{cleaned}' ({scope})")
    return secret


def find_token(session: Session, secret: str) -> AccessToken | None:
    """The valid token behind a secret; its last use is noted to the minute, which costs a write a minute."""
    query = select(AccessToken).where(AccessToken.hash == digest(secret), AccessToken.revoked_at.is_(None))
    token = session.scalar(query)
    if token is not None and (token.used_at is None or now() - token.used_at > timedelta(minutes=1)):
        token.used_at = now()
    return token


def tokens(session: Session) -> list[AccessToken]:
    """Newest first, the revoked ones last."""
    query = select(AccessToken).order_by(AccessToken.revoked_at.is_not(None), AccessToken.id.desc())
    return list(session.scalars(query))


def revoke_token(session: Session, number: int, *, author: str) -> AccessToken:
    """Raises AccountError where there is no such token."""
    token = session.get(AccessToken, number)
    if token is None:
        raise AccountError(f"Token {number} does not exist; `nextlabel token list` shows which do.")
    if token.revoked_at is None:
        token.revoked_at = now()
        note(session, author, f"revoked the token '{token.name}'")
    return token


# one-time links


def make_link(session: Session, purpose: Purpose, *, author: str, user: User | None = None) -> str:
    """The secret of a link that works once within 24 hours. A new 'first' one takes the place of those before it."""
    secret = secrets.token_urlsafe(32)
    session.execute(delete(OneTimeLink).where(OneTimeLink.expires_at < now() - timedelta(days=30)))
    if purpose == "first":
        session.execute(delete(OneTimeLink).where(OneTimeLink.purpose == "first", OneTimeLink.used_at.is_(None)))
    ends = now() + timedelta(hours=LINK_HOURS)
    who = user.id if user is not None else None
    session.add(OneTimeLink(hash=digest(secret), purpose=purpose, user_id=who, author=author, expires_at=ends))
    what = (
        f"the password of {user.name}" if user is not None else f"a new {'viewer' if purpose == 'viewer' else 'admin'}"
    )
    note(session, author, f"made a one-time link for {what}")
    return secret


def find_link(session: Session, secret: str) -> OneTimeLink | None:
    """A link that still works."""
    link = session.get(OneTimeLink, digest(secret))
    if link is None or link.used_at is not None or link.expires_at <= now():
        return None
    return link if link.purpose != "first" or not anyone(session) else None


def use_link(session: Session, secret: str, name: str, password: str) -> User:
    """Makes the person, or sets the password, that a link is for. Raises AccountError or PasswordError."""
    link = find_link(session, secret)
    used = update(OneTimeLink).where(OneTimeLink.hash == digest(secret), OneTimeLink.used_at.is_(None))
    if link is None or session.execute(used.values(used_at=now())).rowcount != 1:  # type: ignore[attr-defined]  # of an UPDATE
        raise AccountError("The link was used or has expired; ask for another one.")
    if link.purpose != "reset":
        role = "viewer" if link.purpose == "viewer" else "admin"
        return add_user(session, name, password, role, author=f"one-time link of {link.author}")
    user = session.get(User, link.user_id)
    if user is None:
        raise AccountError("The person of this link was removed; ask for another one.")
    set_password(session, user, password, author=user.name)
    return user


# guessing


def count_try(session: Session, address: str, name: str = "") -> list[int]:
    """Counts a try before it is made, so that many at once do not slip through; the caller commits before it looks.

    Returns what `forget_tries` takes back after a success. Raises TooManyTriesError.
    """
    moment = now()
    since = moment - timedelta(minutes=TRIES_MINUTES)
    session.execute(delete(Attempt).where(Attempt.at < since))
    made = []
    for kind, value in (("address", address), ("name", name.strip().casefold()[:64])):
        if not value:
            continue
        key = f"{kind}:{value}"[:128]
        found = session.execute(select(func.count(), func.min(Attempt.at)).where(Attempt.key == key)).one()
        if int(found[0]) >= TRIES[kind]:
            raise TooManyTriesError(_left(found[1], moment))
        made.append(Attempt(key=key, at=moment))
    session.add_all(made)
    session.flush()
    return [attempt.id for attempt in made]


def forget_tries(session: Session, made: list[int], name: str = "") -> None:
    """After a success: this try, and all failures of the name. An address keeps its other failures."""
    session.execute(delete(Attempt).where(Attempt.id.in_(made)))
    if name:
        session.execute(delete(Attempt).where(Attempt.key == f"name:{name.strip().casefold()[:64]}"))


def _left(oldest: datetime, moment: datetime) -> int:
    return max(1, int((oldest + timedelta(minutes=TRIES_MINUTES) - moment).total_seconds()))
