"""Alembic's entry: migrates the connection that the ledger hands over."""

from alembic import context
from sqlalchemy import Connection, create_engine

from ml_backend.settings import settings
from ml_backend.store import people, runs, steering  # noqa: F401  # so that the metadata knows their tables
from ml_backend.store.tables import Table


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Table.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(settings().ledger_url).connect() as opened:
        run(opened)
