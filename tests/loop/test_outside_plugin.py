"""A package that was not there when the system started is used once its worker has been started again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ml_backend.loop.plan import Plan, Policy
from ml_backend.store.tables import PublishedItem
from tests.loop.conftest import Loop
from tests.loop.test_cli import nextlabel
from tests.plugins.test_starter import EXAMPLES, installed

pytestmark = pytest.mark.studio


@pytest.mark.timeout(600)  # pip, and two workers
def test_a_package_appears_when_the_worker_is_started_again(loop: Loop, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    loop.environment["PYTHONPATH"] = str(site)
    loop.create(60)
    loop.label_some(30)
    loop.start_backend()
    worker = loop.start("worker")
    loop.connect(Plan(policy=Policy(new_labels=1000, minutes=10_000), cold_start=None))
    before = loop.last_cycle()
    assert before is not None
    number = str(loop.number)
    refused = nextlabel(loop, "plan", "set", "scorers=[{name: disagreement}]", "--project", number, code=1)
    assert "Unknown scorer 'disagreement'" in refused

    (package,) = [path for path in EXAMPLES if path.name == "nextlabel-disagreement"]
    installed(package, site)
    os.killpg(worker.pid, signal.SIGTERM)
    worker.wait(60)
    loop.start("worker")
    mix = "scorers=[{name: margin}, {name: disagreement}]"
    nextlabel(loop, "plan", "set", mix, "--project", number)
    ranked = loop.published_since(before.number)
    assert ranked.status == "published"
    assert "nextlabel-disagreement" in nextlabel(loop, "plugins")
    with loop.house.ledger.session() as session:
        rows = session.query(PublishedItem).filter_by(task_id=loop.order()[0]).order_by(PublishedItem.publication_id)
        assert set(rows.all()[-1].detail) == {"margin", "disagreement"}
