"""What a file is, by its first bytes: the containers that are read, and the name of what is not one of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})  # of videos in a folder
READ = "MP4, AVI, MKV and WebM are read"
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # what an MP4 or QuickTime file may begin with
_STILL = (
    b"avif",
    b"avis",
    b"heic",
    b"heix",
    b"mif1",
    b"msf1",
    b"M4A ",
    b"M4B ",
)  # pictures and sound in the same boxes


class VideoError(ValueError):
    """A video, or a wish about videos, that cannot be met; one sentence with the culprit and the remedy."""


def container(head: bytes) -> str | None:
    """'MP4', 'AVI' or 'Matroska' by the first 16 bytes of a file; None for anything else.

    A decoder alone would take playlists, which name other files and hosts, and pictures and texts as videos.

    >>> container(bytes.fromhex("1a45dfa3") + bytes(12))
    'Matroska'
    >>> container(b"#EXTM3U\\n/etc/pas")
    """
    if head[4:8] in _BOXES:
        return None if head[8:12] in _STILL else "MP4"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    return "Matroska" if head[:4] == b"\x1a\x45\xdf\xa3" else None


def identify(path: Path) -> str:
    """The container of a file. Raises VideoError, by the file's name."""
    try:
        if not path.is_file():
            raise VideoError(f"'{path}' is {'no file' if path.exists() else 'missing'}; name a video, or a folder.")
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise VideoError(f"'{path}' cannot be read ({error.strerror}); allow it.") from error
    if not head:
        raise VideoError(f"'{path}' is empty; copy it again.")
    found = container(head)
    if found is None:
        raise VideoError(f"'{path}' is no video; {READ}.")
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes (hex), read in pieces. Raises VideoError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise VideoError(f"'{path}' cannot be read ({error.strerror}); allow it.") from error
