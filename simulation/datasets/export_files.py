"""From what a task says of its image to a file: exports name uploads, served files or paths of another machine."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")  # Label Studio puts it before the name of an uploaded file
Parts = tuple[str, ...]


@dataclass
class Found:
    """paths: the file of each value. missing, ambiguous: values that no file, or more than one, fits."""

    paths: dict[str, Path] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


class FilesBelow:
    """The files below a folder, found by the end of their path: the more of it agrees the better, the name at least."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for folder, _, names in os.walk(root.resolve()):
            for name in names:
                self._by_name[name].append(Path(folder) / name)

    def find(self, values: Iterable[str]) -> Found:
        """A file for each distinct value. Two values never share a file: it goes to the one that fits it better."""
        found, claims = Found(), defaultdict(list)
        for value in dict.fromkeys(values):
            agreement, files = self._best(value)
            if len(files) == 1:
                claims[files[0]].append((agreement, value))
            else:
                (found.ambiguous if files else found.missing).append(value)
        for file, claimants in claims.items():
            best = max(agreement for agreement, _ in claimants)
            winners = [value for agreement, value in claimants if agreement == best]
            found.missing += [value for agreement, value in claimants if agreement < best]
            if len(winners) == 1:
                found.paths[winners[0]] = file
            else:
                found.ambiguous += winners
        return found

    def _best(self, value: str) -> tuple[int, list[Path]]:
        """How many parts at the end agree at most, and the files that agree so far."""
        for parts in readings(value):
            files = self._by_name.get(parts[-1], []) if parts else []
            if files:
                agreement = [_agreement(parts, file.parts) for file in files]
                best = max(agreement)
                return best, [file for file, count in zip(files, agreement, strict=True) if count == best]
        return 0, []


def _agreement(a: Parts, b: Parts) -> int:
    """How many parts two paths share at their ends.

    >>> _agreement(("upload", "3", "x.png"), ("/", "srv", "3", "x.png"))
    2
    """
    shared = 0
    for one, other in zip(reversed(a), reversed(b), strict=False):
        if one != other:
            break
        shared += 1
    return shared


def readings(value: str) -> Iterator[Parts]:
    """The paths that a task's value may mean, likeliest first, in parts.

    >>> list(readings("/data/local-files/?d=pets/a%20cat.png"))
    [('pets', 'a cat.png')]
    >>> list(readings("/data/upload/3/0123abcd-cat.png"))
    [('data', 'upload', '3', '0123abcd-cat.png'), ('data', 'upload', '3', 'cat.png')]
    """
    try:
        url = urlsplit(value)
    except ValueError:
        return
    if url.path.rstrip("/").endswith("/data/local-files"):
        yield _parts((parse_qs(url.query).get("d") or [""])[0])
        return
    is_url = bool(url.netloc) or "/data/upload/" in url.path
    plain = _parts(url.path if is_url else value)
    decoded = _parts(unquote(url.path))
    yield plain
    if decoded != plain:
        yield decoded
    if "/data/upload/" in url.path and decoded and (prefix := UPLOAD_PREFIX.match(decoded[-1])):
        yield (*decoded[:-1], decoded[-1][prefix.end() :])


def _parts(path: str) -> Parts:
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))
