"""Video files by content: those on this machine stay where they are, others are fetched under the media rules."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_backend.studio.client import Studio
from ml_backend.studio.media import Fetched, MediaCache, MediaError
from ml_backend.studio.media_errors import shortened
from ml_backend.video.container import VideoError, digest
from ml_backend.video.reading import VideoFile

BYTE_LIMIT = 512 * 2**20  # of a video that is fetched: it is in memory for a moment
SECONDS = 600.0


class VideoCache(MediaCache):
    """As MediaCache; each video was opened before it is kept.

    A file of Label Studio's local files, or of our own links, is read where it lies and linked to, whatever its size.
    """

    def __init__(self, root: Path, studio: Studio, **rules: Any) -> None:
        super().__init__(root, studio, **{"byte_limit": BYTE_LIMIT, "seconds": SECONDS, "threads": 1, **rules})

    def fetch(self, items: Sequence[tuple[int, str]], progress: Callable[[int, int], None] | None = None) -> Fetched:
        """As of images; the kinds of problems are video_missing, video_forbidden, video_unreadable, and so on."""
        fetched = super().fetch(items, progress)
        for task, (kind, message) in fetched.problems.items():
            fetched.problems[task] = (kind.replace("image_", "video_", 1), message)
        return fetched

    def _bring(self, task: int, url: str) -> str:
        file = self.local_file(url)
        try:
            return self._fetched(task, url) if file is None else self._linked(file)
        except VideoError as error:
            raise MediaError("video_unreadable", str(error)) from error

    def _fetched(self, task: int, url: str) -> str:
        data = self._read(task, url)
        content = hashlib.sha256(data).hexdigest()
        if self.has(content):
            return content
        self._keep(content, data)
        try:
            VideoFile(self.path(content))
        except VideoError as error:
            self.path(content).unlink()
            reason = str(error).replace(str(self.path(content)), shortened(url))
            raise VideoError(reason) from error
        return content

    def _linked(self, file: Path) -> str:
        content = digest(file)
        if not self.has(content):
            VideoFile(file)
            path = self.path(content)
            path.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
                link = Path(folder) / content
                link.symlink_to(file.resolve())
                link.replace(path)
        return content
