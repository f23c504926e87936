"""Overrides of single tasks, sentences told to annotators, and which extra_params were read."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _of_project() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "overrides",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("author", sa.String(length=256), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _of_project(),
        sa.PrimaryKeyConstraint("project_id", "task_id"),
    )
    op.create_table(
        "told",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        _of_project(),
        sa.PrimaryKeyConstraint("project_id", "task_id"),
    )
    op.create_table(
        "extra_params",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        _of_project(),
        sa.PrimaryKeyConstraint("project_id"),
    )


def downgrade() -> None:
    for table in ("extra_params", "told", "overrides"):
        op.drop_table(table)
