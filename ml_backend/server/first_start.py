"""The first start: while nobody has an account, a one-time link is printed; there is no default password."""

from __future__ import annotations

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.server import accounts
from ml_backend.settings import Settings
from ml_backend.store.ledger import Ledger

log = structlog.get_logger()


def first_link(settings: Settings) -> str | None:
    """The address of a fresh link for the first admin; None where someone has an account.

    It takes the place of one that an earlier start printed. A ledger that does not answer is said in the log: the
    server itself will say more.
    """
    try:
        ledger = Ledger(settings.ledger_url)
        try:
            with ledger.session() as session:
                if accounts.anyone(session):
                    return None
                return address_of(settings, accounts.make_link(session, "first", author="the first start"))
        finally:
            ledger.close()
    except (SQLAlchemyError, OSError) as error:
        log.error("no_first_link", error=str(error), remedy="`nextlabel admin-link` makes one once the ledger answers")
        return None


def address_of(settings: Settings, secret: str) -> str:
    """Where a one-time link leads."""
    return f"{settings.backend_url}/link/{secret}"


def greeting(address: str) -> str:
    return (
        "Nobody has an account yet. Open this link within 24 hours to make the first admin; it works once:\n"
        f"  {address}\n"
        "Where your browser knows the server by another name, put that in front of /link/."
    )
