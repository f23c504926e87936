"""How much memory a plugin takes, against what it reads."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

from plugins.contract import Plugin
from plugins.evidence import Evidence


def bytes_read(plugin: Plugin[Any], known: Evidence) -> int:
    """Bytes of the columns that a plugin needs, and of one value per item."""
    return sum(known.column(name).nbytes for name in {*plugin.needs, *plugin.optional, "task_id"}) + 8 * len(known)


def peak(work: Callable[[], object]) -> int:
    """Bytes at the highest point of `work()`, of what Python and NumPy hold."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
