"""How people come to see what a task shows: Label Studio's local files, or links that the backend serves itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from ml_backend.loop.import_links import SignedLinks, stored_name
from ml_backend.loop.served_root import FOLDER
from ml_backend.studio.client import Studio
from ml_backend.studio.local_files import path_of
from ml_backend.video.container import VideoError

PEEK = 64 * 1024  # bytes that are compared
SECONDS = 20.0  # that the backend may take
DAY = 24 * 3600


class Serving(Protocol):
    """store: the folder that frames are written into."""

    store: Path

    def holds(self, folder: Path) -> bool:
        """Whether the files of a folder can be served where they are."""

    def url(self, file: Path) -> str:
        """The address of a file, as a task names it. Raises VideoError."""

    def outside(self, file: Path) -> str:
        """Why a file elsewhere cannot be served: a sentence with the remedy."""

    def show(self, studio: Studio, project: int, url: str, file: Path) -> None:
        """Before the first task of a folder: people must see what the task shows. Raises VideoError, StudioError."""


def shown_by(url: object) -> str | None:
    """What an address shows, the same whichever way a stored frame is served; None for an address of neither way.

    >>> shown_by("/data/local-files/?d=nextlabel-videos/0123456789abcdef/000051.jpg")
    '0123456789abcdef/000051.jpg'
    """
    name = stored_name(url)
    if name is not None:
        return name
    path = path_of(url)
    return None if path is None else path.removeprefix(f"{FOLDER}/")


class LinkedStore:
    """Serving by signed links. folder: the data folder. address: of the backend, as browsers reach it.

    days: until the links end; None for never, since tasks live long. Raises VideoError for an address that is none.
    """

    def __init__(self, folder: Path, address: str, days: float | None = None) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise VideoError(f"'{address}' is no address of the backend; write http://host:9090, say.")
        self.links = SignedLinks(folder)
        self.store = self.links.store
        self.address = address.rstrip("/")
        self.until = None if days is None else int(time.time() + days * DAY)
        self._seen = False

    def holds(self, folder: Path) -> bool:  # noqa: ARG002  # nothing is served from where it lies
        return False

    def outside(self, file: Path) -> str:
        return f"'{file}' is served from {self.store} alone; add --copy, which copies it there."

    def url(self, file: Path) -> str:
        return self.address + self.links.link(file.relative_to(self.store).as_posix(), self.until)

    def show(self, studio: Studio, project: int, url: str, file: Path) -> None:  # noqa: ARG002  # no storage is needed
        if self._seen:
            return
        if studio.url.startswith("https:") and self.address.startswith("http:"):
            raise VideoError(
                f"Label Studio answers at {studio.url}, and browsers show no pictures from {self.address} there; "
                "give the backend an https address, with --link-address if it is not NEXTLABEL_URL."
            )
        check_link(url, file, self.address)
        self._seen = True


def check_link(url: str, file: Path, address: str) -> None:
    """Asks the backend for a file as a browser does, and compares how it begins. Raises VideoError."""
    with file.open("rb") as opened:
        begins = opened.read(PEEK)
    try:
        answer = httpx.get(url, headers={"Range": f"bytes=0-{PEEK - 1}"}, timeout=SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise VideoError(
            f"The backend does not answer at {address} ({error}); start `nextlabel serve`, or name its address with "
            "--link-address or NEXTLABEL_URL."
        ) from error
    if not answer.is_success or answer.content[:PEEK] != begins:
        raise VideoError(
            f"The backend at {address} answered {answer.status_code} and does not serve '{file}'; give it the same "
            "MODEL_DIR as here."
        )
