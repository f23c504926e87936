"""The folder that Label Studio serves as local files, as this machine and as Label Studio see it."""

from __future__ import annotations

from pathlib import Path

from ml_backend.studio.client import Studio
from ml_backend.studio.local_files import allow, check_served, url_of
from ml_backend.video.container import VideoError

FOLDER = "nextlabel-videos"  # what we put below it


class ServedRoot:
    """root: LOCAL_FILES_DOCUMENT_ROOT. seen: its path where Label Studio runs, if another (a container's, say).

    Raises VideoError if it is not set, or no folder.
    """

    def __init__(self, root: Path | None, seen: str | None = None) -> None:
        if root is None:
            raise VideoError(
                "LOCAL_FILES_DOCUMENT_ROOT is not set; name the folder that Label Studio serves as local files "
                "(its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT)."
            )
        if not root.is_dir():
            raise VideoError(f"LOCAL_FILES_DOCUMENT_ROOT is '{root}', which is no folder; make it or correct the name.")
        self.root = root.absolute()
        self.seen = (seen or str(self.root)).rstrip("/")
        self.store = self.root / FOLDER
        self._shown: set[str] = set()

    def holds(self, folder: Path) -> bool:
        """Whether the files of a folder can be served where they are; Label Studio serves none right in its root."""
        return self._relative(folder) not in (None, ".")

    def outside(self, file: Path) -> str:
        """Why a file elsewhere cannot be served."""
        return (
            f"'{file}' does not lie in a folder below {self.root}, which Label Studio serves; move it there, or "
            "add --copy."
        )

    def show(self, studio: Studio, project: int, url: str, file: Path) -> None:
        """Before the first task of a folder: a storage that lets people see it, and a look at what they see."""
        folder = self.storage(file)
        if folder not in self._shown:
            allow(studio, project, folder, f"Videos in {folder.rpartition('/')[2]}")
            check_served(studio, url, file)
            self._shown.add(folder)

    def url(self, file: Path) -> str:
        """Where Label Studio serves a file. Raises VideoError for one outside, through a link too."""
        relative = self._relative(file)
        if relative is None:
            raise VideoError(f"'{file}' lies outside {self.root}, which Label Studio serves; move it there.")
        try:
            return url_of(relative)
        except UnicodeEncodeError as error:
            raise VideoError(f"'{file!a}' has a name that is no text; rename it.") from error

    def storage(self, file: Path) -> str:
        """The folder that a storage must name so that this file is served, as Label Studio sees it."""
        if file.is_relative_to(self.store):
            return f"{self.seen}/{FOLDER}"
        return f"{self.seen}/{self._relative(file.parent)}"

    def _relative(self, path: Path) -> str | None:
        if path.is_relative_to(self.store):
            return path.relative_to(
                self.root
            ).as_posix()  # the store may be a link to a larger disk: Label Studio follows
        real, root = path.resolve(), self.root.resolve()
        return real.relative_to(root).as_posix() if real.is_relative_to(root) else None
