"""The control arm: which items were drawn at random, what came of them, and when each version was live."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("published_items") as batch_op:
        batch_op.add_column(sa.Column("arm", sa.String(length=16), nullable=False, server_default="ranked"))
        batch_op.add_column(sa.Column("propensity", sa.Float(), nullable=True))
        batch_op.create_index("published_items_by_arm", ["arm", "task_id"], unique=False)
    op.create_table(
        "switches",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.String(length=128), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("switches") as batch_op:
        batch_op.create_index("switches_by_project", ["project_id", "at"], unique=False)
    op.execute(
        "INSERT INTO switches (project_id, model_version, at) "
        "SELECT project_id, model_version, live_at FROM publications WHERE live_at IS NOT NULL ORDER BY live_at"
    )
    op.create_table(
        "control_answers",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cycle", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.String(length=128), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("propensity", sa.Float(), nullable=False),
        sa.Column("predicted", sa.Text(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "task_id"),
    )


def downgrade() -> None:
    op.drop_table("control_answers")
    with op.batch_alter_table("switches") as batch_op:
        batch_op.drop_index("switches_by_project")
    op.drop_table("switches")
    with op.batch_alter_table("published_items") as batch_op:
        batch_op.drop_index("published_items_by_arm")
        batch_op.drop_column("propensity")
        batch_op.drop_column("arm")
