"""People, sessions, tokens and one-time links; what a running cycle tells; versions that are kept."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = (
    "users",
    "sessions",
    "access_tokens",
    "one_time_links",
    "attempts",
    "people_changes",
    "cycle_runs",
    "kept_versions",
)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, length: int) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=length), nullable=False)


def _belongs(column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("name", 64),
        sa.Column("password", sa.Text(), nullable=False),
        _text("role", 16),
        _moment("created_at"),
        _moment("seen_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "sessions",
        _text("hash", 64),
        sa.Column("user_id", sa.Integer(), nullable=False),
        _text("csrf", 64),
        _moment("created_at"),
        _moment("expires_at"),
        _belongs("user_id", "users"),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "access_tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("hash", 64),
        _text("name", 64),
        _text("scope", 16),
        _text("author", 256),
        _moment("created_at"),
        _moment("used_at", nullable=True),
        _moment("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_table(
        "one_time_links",
        _text("hash", 64),
        _text("purpose", 16),
        sa.Column("user_id", sa.Integer(), nullable=True),
        _text("author", 256),
        _moment("created_at"),
        _moment("expires_at"),
        _moment("used_at", nullable=True),
        _belongs("user_id", "users"),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("key", 128),
        _moment("at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("attempts_by_key", "attempts", ["key", "at"])
    op.create_table(
        "people_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("author", 256),
        sa.Column("what", sa.Text(), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "cycle_runs",
        sa.Column("cycle_id", sa.Integer(), nullable=False),
        _moment("phase_at"),
        _text("machine", 256),
        sa.Column("log", sa.JSON(), nullable=False),
        sa.Column("cancelled_by", sa.String(length=256), nullable=True),
        _belongs("cycle_id", "cycles"),
        sa.PrimaryKeyConstraint("cycle_id"),
    )
    op.create_table(
        "kept_versions",
        sa.Column("publication_id", sa.Integer(), nullable=False),
        _text("author", 256),
        _moment("at"),
        _belongs("publication_id", "publications"),
        sa.PrimaryKeyConstraint("publication_id"),
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
