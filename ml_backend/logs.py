"""How every process of ours logs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)  # who else hears a line


def tell_listener(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: gives each line, as 'event key=value ...', to whoever listens in this thread."""
    if (hear := listener.get()) is not None:
        words = (f"{key}={value}" for key, value in event.items() if key not in ("event", "level"))
        hear(" ".join([str(event.get("event", "")), *words]))
    return event


def configure_logs(level: str) -> None:
    """Lines for people on a terminal, JSON for machines elsewhere; both on stderr."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            tell_listener,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    others = "DEBUG" if level == "DEBUG" else "WARNING"  # libraries tell their own steps at INFO
    logging.basicConfig(level=others, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
