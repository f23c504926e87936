"""Boxes and frames of items, and the moment a version is being made live."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ITEMS = {"regions": sa.JSON, "video": sa.Text, "frame": sa.Integer, "width": sa.Integer, "height": sa.Integer}


def upgrade() -> None:
    with op.batch_alter_table("items") as batch_op:
        for name, kind in ITEMS.items():
            batch_op.add_column(sa.Column(name, kind(), nullable=True))
    with op.batch_alter_table("projects") as batch_op:
        batch_op.add_column(sa.Column("switching_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("projects") as batch_op:
        batch_op.drop_column("switching_at")
    with op.batch_alter_table("items") as batch_op:
        for name in reversed(ITEMS):
            batch_op.drop_column(name)
