"""Images that our own backend serves: read from the disk where they are here, else from its address and no other."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from ml_backend.studio.allowed_hosts import AllowedHosts
from ml_backend.studio.elsewhere import Elsewhere
from ml_backend.studio.media_errors import MediaError, refused_by, shortened

_PORTS = {"http": 80, "https": 443}
_ANYWHERE = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))


@dataclass(frozen=True)
class OwnLinks:
    """address: the backend's own. path: of a URL that has the form of a link, '/media/...', None for any other URL.

    file: where the file of a link lies, if our key signed it and it is here, None otherwise; it may raise ValueError.
    """

    address: str
    path: Callable[[str], str | None]
    file: Callable[[str], Path | None]

    def read(self, url: str, *, byte_limit: int, seconds: float) -> bytes | None:
        """The bytes behind a URL; None if it is no link of ours. Raises MediaError.

        The backend may have a private address, so it alone is asked there, for links alone, and sends nobody on.
        """
        try:
            file = self.file(url)
        except ValueError as error:
            raise refused_by(url, 0, str(error)) from error
        if file is not None:
            return self._from_disk(file, url, byte_limit)
        if not self._is_ours(url):
            return None
        asked = httpx.URL(url)
        hosts = AllowedHosts(frozenset({f"{asked.host}:{asked.port or _PORTS[asked.scheme]}"}), _ANYWHERE)
        return Elsewhere(hosts, byte_limit=byte_limit, seconds=seconds).read(url)

    def _is_ours(self, url: str) -> bool:
        asked, own = httpx.URL(url), httpx.URL(self.address)
        same = (asked.scheme, asked.host, asked.port) == (own.scheme, own.host, own.port)
        path = self.path(url)
        return same and path is not None and asked.path == own.path.rstrip("/") + path

    def _from_disk(self, file: Path, url: str, byte_limit: int) -> bytes:
        try:
            if file.stat().st_size > byte_limit:
                raise MediaError("image_too_large", f"'{shortened(url)}' exceeds {byte_limit} bytes; shrink it.")
            return file.read_bytes()
        except OSError as error:
            raise MediaError("image_forbidden", f"'{file}' cannot be read ({error.strerror}); allow it.") from error
