"""Images of any size that stay in their files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ml_backend.studio.media import MediaError, check_image

THREADS = 4


@dataclass(frozen=True)
class Checked:
    """What became of a file: content is the SHA-256 (hex) of its bytes, None if it is no image; problem says why."""

    path: Path
    content: str | None
    problem: str = ""


def check(path: Path) -> Checked:
    """Reads and decodes one file."""
    try:
        data = path.read_bytes()
        check_image(data, str(path))
    except OSError as error:
        return Checked(path, None, f"{path} cannot be read ({error.strerror}); allow it.")
    except MediaError as error:
        return Checked(path, None, str(error))
    return Checked(path, hashlib.sha256(data).hexdigest())


def check_all(paths: Sequence[Path]) -> list[Checked]:
    """Each file, in order."""
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(check, paths))
