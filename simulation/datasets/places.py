"""Where data sets lie on this machine, and where decoded ones are kept."""

from __future__ import annotations

import os
from pathlib import Path

DATA, CACHE = "NEXTLABEL_DATA", "NEXTLABEL_CACHE"


def data_folder() -> Path:
    """The folder of packed data sets: NEXTLABEL_DATA, else ../shared/data beside the checkout."""
    return Path(os.environ.get(DATA) or "../shared/data")


def cache_folder() -> Path:
    """The folder of what can be computed again: NEXTLABEL_CACHE, else ~/.cache/nextlabel."""
    given = os.environ.get(CACHE)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nextlabel"
