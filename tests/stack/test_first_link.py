"""`nextlabel run` greets with a link for the first admin, and with the plain address once there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_backend.server import accounts
from ml_backend.store.ledger import Ledger
from stack import backend
from stack.home import Home


def test_the_link_leads_to_this_backend_until_someone_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    home = Home(tmp_path)
    home.state.backend_port = 19090
    link = backend.first_link(home)
    assert link is not None
    assert link.startswith("http://127.0.0.1:19090/link/")
    ledger = Ledger(f"sqlite:///{home.backend / 'ledger.sqlite3'}")
    with ledger.session() as session:
        accounts.use_link(session, link.rpartition("/")[2], "ada", "a password of 10")
    ledger.close()
    assert backend.first_link(home) is None
