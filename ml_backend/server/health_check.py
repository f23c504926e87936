"""Doctor's checks for the pages: they ask Label Studio a dozen things, so they run once a minute for each project."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime

from ml_backend.loop.health import house_checks, project_checks
from ml_backend.loop.house import House
from ml_backend.store.tables import now
from ml_backend.studio.doctor import Check

FRESH = 60.0  # seconds
PATIENCE = 5.0  # seconds that a second visitor waits for the examination that the first one asked for


@dataclass(frozen=True)
class Examined:
    checks: tuple[Check, ...]
    at: datetime


class Doctor:
    """One examination of a project at a time; whoever asks meanwhile gets its result."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._guard = threading.Lock()
        self._locks: dict[int, threading.Lock] = {}
        self._seen: dict[int, tuple[float, Examined]] = {}

    def examine(self, project_id: int, *, anew: bool = False) -> Examined | None:
        """None where someone else's examination is not over yet: Label Studio may hang, and threads are few."""
        with self._guard:
            lock = self._locks.setdefault(project_id, threading.Lock())
        if not lock.acquire(timeout=PATIENCE):
            return None
        try:
            found = self._seen.get(project_id)
            if found is None or anew or time.monotonic() - found[0] > FRESH:
                checks = (*house_checks(self._house), *project_checks(self._house, project_id))
                found = time.monotonic(), Examined(checks, now())
                self._seen[project_id] = found
            return found[1]
        finally:
            lock.release()
