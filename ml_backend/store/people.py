"""Tables of who may come in: people, their sessions, tokens of programs, one-time links, and tries to get in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ml_backend.store.tables import Table, now


class User(Table):
    """One person. password: a scrypt hash with its own salt, see server.passwords. role: admin | viewer."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime | None] = mapped_column(default=None)  # the last login


class SignIn(Table):
    """A browser in which a person is logged in. hash: SHA-256 of the cookie; csrf: what its forms must carry."""

    __tablename__ = "sessions"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]


class AccessToken(Table):
    """What a program sends as Bearer. hash: SHA-256 of it; scope: read | write."""

    __tablename__ = "access_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(64))
    scope: Mapped[str] = mapped_column(String(16))
    author: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[datetime] = mapped_column(default=now)
    used_at: Mapped[datetime | None] = mapped_column(default=None)  # to the minute
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class OneTimeLink(Table):
    """A link that works once. purpose: first (the first admin) | admin | viewer (a new person) | reset (user_id's
    password). hash: SHA-256 of what the link carries."""

    __tablename__ = "one_time_links"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), default=None)
    author: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class Attempt(Table):
    """One try to log in or to use a link, by address and by name, so that guessing stays slow in every process."""

    __tablename__ = "attempts"
    __table_args__ = (Index("attempts_by_key", "key", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(default=now)


class PeopleChange(Table):
    """Who changed which person, link or token: the installation's own audit, beside that of each project."""

    __tablename__ = "people_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    author: Mapped[str] = mapped_column(String(256))
    what: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
