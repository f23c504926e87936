"""A running cycle and the people who look at it: its last lines, its phase, how far it is, their wish to stop."""

from __future__ import annotations

import platform
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.logs import listener
from ml_backend.loop.house import House
from ml_backend.store.runs import CycleRun
from ml_backend.store.tables import Change, Cycle, now

log = structlog.get_logger()

LINES = 200  # kept of each cycle
LOOK_SECONDS = 1.0
STEP_SECONDS = 5.0  # between two lines on progress
_current: ContextVar[Watch | None] = ContextVar("watch", default=None)


class CycleCancelledError(Exception):
    """A person asked the cycle to stop; the queue stays as it was."""


class Watch:
    """Keeps the tail of a cycle's log in the ledger and looks whether it is to stop, from a thread of its own: the
    cycle's own thread may be in the middle of a transaction when a line is logged."""

    def __init__(self, house: House, cycle_id: int) -> None:
        self._house, self._cycle_id = house, cycle_id
        self._lines: deque[str] = deque(maxlen=LINES)
        self._written, self._count = 0, 0
        self._over = threading.Event()
        self._stepped = 0.0
        self._thread = threading.Thread(target=self._look, daemon=True, name=f"watch-{cycle_id}")
        self.cancelled_by: str | None = None

    def start(self) -> None:
        with self._house.ledger.session() as session:
            session.merge(CycleRun(cycle_id=self._cycle_id, machine=platform.node()[:256]))
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._exchange()

    def say(self, words: str) -> None:
        """One line for people, with the time of day."""
        self._lines.append(f"{now():%H:%M:%S} {words}"[:500])
        self._count += 1

    def begin(self, phase: str) -> None:
        """A phase begins, unless someone asked to stop."""
        self.check()
        with self._house.ledger.session() as session:
            session.get_one(CycleRun, self._cycle_id).phase_at = now()
        self.say(f"{phase} ...")

    def check(self) -> None:
        """Raises CycleCancelledError once someone asked to stop; costs nothing."""
        if self.cancelled_by is not None:
            raise CycleCancelledError(f"Cancelled by {self.cancelled_by}; the queue stays as it was.")

    def progress(self, what: str, done: int, total: int) -> None:
        """See learners.detector.Progress: told often, kept every few seconds."""
        self.check()
        if done == total or time.monotonic() - self._stepped >= STEP_SECONDS:
            self._stepped = time.monotonic()
            self.say(f"{what}: {done} of {total}")

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._exchange()

    def _exchange(self) -> None:
        """Gives the ledger the new lines and takes the wish to stop."""
        count, lines = self._count, list(self._lines)
        try:
            with self._house.ledger.session() as session:
                run = session.get(CycleRun, self._cycle_id)
                if run is None:  # the project was deleted meanwhile
                    return
                self.cancelled_by = run.cancelled_by
                if count != self._written:
                    run.log = lines
                    self._written = count
        except SQLAlchemyError as error:
            log.debug("watch_missed_a_look", error=str(error))  # the next look says the same and more


@contextmanager
def watched(house: House, cycle_id: int) -> Iterator[Watch]:
    """Watches a cycle that runs in this thread; `check` and what it logs find the watch by themselves."""
    watch = Watch(house, cycle_id)
    watch.start()
    token, heard = _current.set(watch), listener.set(watch.say)
    try:
        yield watch
    finally:
        _current.reset(token)
        listener.reset(heard)
        watch.stop()


def check() -> None:
    """To be called where a long computation can stop: raises CycleCancelledError if the cycle is to."""
    watch = _current.get()
    if watch is not None:
        watch.check()


def progress(what: str, done: int, total: int) -> None:
    """To be told how far a long computation is; outside a cycle nobody listens."""
    watch = _current.get()
    if watch is not None:
        watch.progress(what, done, total)


def cancel(house: House, project_id: int, number: int, *, author: str) -> bool:
    """Asks a running cycle to stop at the next chance; False where it does not run (any more)."""
    with house.ledger.session() as session:
        cycle = session.query(Cycle).filter_by(project_id=project_id, number=number, status="running").one_or_none()
        if cycle is None:
            return False
        run = session.get(CycleRun, cycle.id)
        if run is None:
            return False
        run.cancelled_by = author
        session.add(Change(project_id=project_id, author=author, what=f"asked cycle {number} to stop"))
    return True
