"""Signed links: stored frames and videos that the backend serves itself, at addresses that nobody can make up."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ml_backend.video.container import VideoError

ROUTE = "/media/"
STORE, KEY = "videos", "media.key"  # in the data folder (MODEL_DIR)
KEY_BYTES = 32
TYPES = {
    **{".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".bmp": "image/bmp"},
    **{".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".avi": "video/x-msvideo"},
    **{".mkv": "video/x-matroska", ".webm": "video/webm"},
}
_NAME = re.compile(r"[0-9a-f]{16}/(?:[0-9]{6,12}|video)(\.[a-z0-9]{3,4})")  # what the frame store writes, no more
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{43}")
_UNTIL = re.compile(r"0|[1-9][0-9]{0,11}")  # as `link` writes it: one spelling for each link
_ROUTE_AT_END = re.compile(rf"{ROUTE}([^/]+/[^/]+)$")


class LinkError(VideoError):
    """The key of the links cannot be read or made."""


def sign(key: bytes, name: str, until: int | None = None) -> str:
    """HMAC-SHA256 (RFC 2104) of a stored file's name and the second since 1970 at which its link ends, as base64url.

    Only the digest of the whole message is compared, so a link for one file or time says nothing of another.

    >>> len(sign(bytes(32), "0123456789abcdef/000001.jpg"))
    43
    """
    message = f"nextlabel media link 1\n{name}\n{'' if until is None else until}".encode()
    return base64.urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).rstrip(b"=").decode()


def stored_name(url: object) -> str | None:
    """The stored file that an address of this kind names, whatever its host and signature; None for any other address.

    >>> stored_name("http://127.0.0.1:9090/media/0123456789abcdef/000051.jpg?s=abc")
    '0123456789abcdef/000051.jpg'
    """
    try:
        path = urlsplit(url).path if isinstance(url, str) else ""
    except ValueError:
        return None
    found = _ROUTE_AT_END.search(path)
    return found[1] if found and is_name(found[1]) else None


def link_path(url: str) -> str | None:
    """The path of an address that has the form of a link, from its route on."""
    name = stored_name(url)
    return None if name is None else ROUTE + name


def is_name(name: str) -> bool:
    """Whether a name has the form of the frame store's files: so nothing else on the disk can be named."""
    found = _NAME.fullmatch(name)
    return found is not None and found[1] in TYPES


class SignedLinks:
    """folder: the data folder, whose `media.key` is the secret: a new one revokes every link that was given out.

    The key is read anew each time, so that all processes follow at once. Without a key no link is valid.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / STORE

    def link(self, name: str, until: int | None = None) -> str:
        """Path and query under which the backend serves a stored file. Raises LinkError."""
        signature = sign(self._key() or self._new_key(), name, until)
        return f"{ROUTE}{name}?{'' if until is None else f'until={until}&'}s={signature}"

    def file(self, name: str, query: str, now: float | None = None) -> Path | None:
        """The path of the file that a link opens; None if it is not signed by our key, or is over. The file need not
        exist any more. now: seconds since 1970."""
        fields = parse_qs(query, keep_blank_values=True)
        signature, until = _one(fields, "s", _SIGNATURE), _one(fields, "until", _UNTIL)
        key = self._key()
        if key is None or signature is None or not is_name(name) or set(fields) - {"s", "until"}:
            return None
        if "until" in fields and until is None:
            return None
        end = None if until is None else int(until)
        valid = hmac.compare_digest(sign(key, name, end).encode(), signature.encode())
        if not valid or (end is not None and end <= (time.time() if now is None else now)):
            return None
        return self.store / name

    def file_of(self, url: str) -> Path | None:
        """The same for a whole address, if the file is there: what the worker reads from the disk."""
        name = stored_name(url)
        file = self.file(name, urlsplit(url).query) if name else None
        return file if file is not None and file.is_file() and not file.is_symlink() else None

    def _key(self) -> bytes | None:
        path = self.folder / KEY
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LinkError(f"'{path}' cannot be read ({error.strerror}); allow it.") from error
        if len(key) != KEY_BYTES:
            raise LinkError(
                f"'{path}' has {len(key)} bytes, not {KEY_BYTES}; delete it, and import again for new links."
            )
        return key

    def _new_key(self) -> bytes:
        """Written whole under another name and then linked, which fails where another process was faster."""
        path = self.folder / KEY
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, new = tempfile.mkstemp(dir=self.folder, prefix=".media-key-")  # readable by its owner alone
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(secrets.token_bytes(KEY_BYTES))
                    file.flush()
                    os.fsync(file.fileno())
                path.hardlink_to(new)
            except FileExistsError:
                pass
            finally:
                Path(new).unlink()
        except OSError as error:
            raise LinkError(f"'{path}' cannot be written ({error.strerror}); allow it.") from error
        key = self._key()
        if key is None:
            raise LinkError(f"'{path}' was deleted while it was made; run the command again.")
        return key


def _one(fields: dict[str, list[str]], name: str, form: re.Pattern[str]) -> str | None:
    """The one value of a field, if it has the form."""
    values = fields.get(name, [])
    return values[0] if len(values) == 1 and form.fullmatch(values[0]) else None
