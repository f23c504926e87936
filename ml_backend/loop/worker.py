"""The worker: an RQ worker that runs cycles at low priority, and RQ's cron beside it that asks for reconciles."""

from __future__ import annotations

import importlib
import os
import threading
from typing import Any

import structlog
from rq import Queue, Worker
from rq.cron import CronScheduler
from sqlalchemy import select

from ml_backend.logs import configure_logs
from ml_backend.loop import jobs
from ml_backend.loop.house import House, house
from ml_backend.store.tables import Project
from plugins import registry

log = structlog.get_logger()

# Imported before the first fork, so that a cycle starts in milliseconds. torch is not: it must not meet a fork.
HEAVY = (
    "numpy",
    "scipy.optimize",
    "sklearn.cluster",
    "pyarrow.parquet",
    "PIL.Image",
    "ml_backend.loop.cycle",
    "ml_backend.loop.reconcile",
)


def run_cycle_job(project_id: int) -> int:
    """The job behind `request_cycle`."""
    from ml_backend.loop.cycle import run_cycle

    rooms = _own_house()
    jobs.started(rooms, "cycle", project_id)
    return jobs.work_off(rooms, project_id, lambda kind, trigger: run_cycle(rooms, project_id, kind, trigger))


def run_reconcile_job(project_id: int) -> str:
    """The job behind `request_reconcile`."""
    from ml_backend.loop.reconcile import reconcile

    rooms = _own_house()
    jobs.started(rooms, "reconcile", project_id)
    return reconcile(rooms, project_id).why


def reconcile_all() -> int:
    """The cron job: asks for a reconcile of every connected project."""
    rooms = _own_house()
    with rooms.ledger.session() as session:
        projects = list(session.scalars(select(Project.id).where(Project.state == "connected")))
    for project_id in projects:
        jobs.request_reconcile(rooms, project_id)
    return len(projects)


def _own_house() -> House:
    """A house of this process' own: connections must not be shared across a fork."""
    return House(house().settings)


class Cron(CronScheduler):
    """RQ's cron in a thread of the worker; signals belong to the main thread."""

    def _install_signal_handlers(self) -> None:
        return


def simulations_queue(house: House) -> str:
    """Studies wait in a queue of their own, so that hours of simulation never hold up a team's queue."""
    return f"{house.settings.queue_prefix}-simulations"


def run_worker(*, burst: bool = False, name: str | None = None, simulations: bool = False) -> None:
    """Works until SIGTERM (or, with `burst`, until the queue is empty); with `simulations`, on studies alone."""
    rooms = house()
    configure_logs(rooms.settings.log_level)
    rooms.ledger.close()
    for module in HEAVY:
        importlib.import_module(module)
    for kind in registry.GROUPS:
        registry.available(kind)
    os.nice(10)  # the server and Label Studio answer people; a training may wait
    if not burst and not simulations:
        threading.Thread(target=_cron, daemon=True, name="cron").start()
    connection = rooms.blocking_redis()
    queue = simulations_queue(rooms) if simulations else rooms.settings.queue_prefix
    worker: Any = Worker([Queue(queue, connection=connection)], connection=connection, name=name)
    worker.work(burst=burst, logging_level="WARNING", with_scheduler=False)


def _cron() -> None:
    rooms = _own_house()
    cron: Any = Cron(connection=rooms.redis, logging_level="WARNING")
    cron.register(
        reconcile_all,
        queue_name=rooms.settings.queue_prefix,
        interval=rooms.settings.reconcile_seconds,
        result_ttl=60,
    )
    cron.start()
