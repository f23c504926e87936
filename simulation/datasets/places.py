"""Where data sets lie on this machine, and where decoded ones are kept."""

from __future__ import annotations

from pathlib import Path

from ml_backend.settings import Settings

DATA, CACHE = "NEXTLABEL_DATA", "NEXTLABEL_CACHE"


def data_folder() -> Path:
    """The folder of packed data sets: NEXTLABEL_DATA, else ../shared/data beside the checkout."""
    return Settings().data


def cache_folder() -> Path:
    """The folder of what can be computed again: NEXTLABEL_CACHE, else ~/.cache/nextlabel."""
    return Settings().cache
