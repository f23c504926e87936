"""`nextlabel import-video`: what a project lacks of some videos becomes tasks, however often it is asked."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from ml_backend.loop.house import House
from ml_backend.loop.import_target import find_project, find_studio, shown_key
from ml_backend.loop.import_wish import Wish
from ml_backend.loop.served_root import ServedRoot
from ml_backend.loop.video_tasks import Shown, frames, whole
from ml_backend.studio.client import Json, Studio, StudioError
from ml_backend.studio.local_files import allow, check_served, path_of
from ml_backend.video.container import VideoError
from ml_backend.video.folder import FrameFolder
from ml_backend.video.opening import Video, open_all

BATCH = 500  # tasks in a request

Report = Callable[[str, int, int], None]  # a video's name, frames read, frames it announces (0: unknown)


@dataclass
class Imported:
    """added, present: tasks that the project did not have, and had. written: new files. refused: a sentence each."""

    videos: int = 0
    added: int = 0
    present: int = 0
    written: int = 0
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def import_videos(house: House, wish: Wish, report: Report = lambda *_: None) -> Imported:
    """Frames are written, tasks imported in batches while the video is read. Killed anywhere, the same call goes on.

    Raises VideoError if nothing can be imported, StudioError.
    """
    root = ServedRoot(house.settings.local_files_document_root, wish.studio_root)
    studio = find_studio(house, wish.project)
    try:
        project = find_project(studio, wish.project)
        key = shown_key(project, as_video=wish.as_video)
        videos, refused = open_all(wish.paths, wish.folder_rate)
        if not videos:
            raise VideoError(" ".join(["There is no video to import.", *refused]))
        with _alone(root, wish.project):
            turn = _Turn(studio, wish, root, key, Imported(refused=refused))
            for video in videos:
                turn.take(video, report)
        return turn.done
    finally:
        studio.close()


class _Turn:
    """One run of the command."""

    def __init__(self, studio: Studio, wish: Wish, root: ServedRoot, key: str, done: Imported) -> None:
        self.studio, self.wish, self.root, self.key, self.done = studio, wish, root, key, done
        tasks = studio.tasks(wish.project, include="id,data")
        self.had = {path for task in tasks if (path := path_of(task["data"].get(key)))}
        self.allowed: set[str] = set()

    def take(self, video: Video, report: Report) -> None:
        """A video that turns out bad is refused by name; the tasks it gave until then stay."""
        name = video.path.name
        report(name, 0, video.expected)
        try:
            shown = iter([whole(video, self.root, copy=self.wish.copy)]) if self.wish.as_video else None
            shown = shown or frames(video, self.wish.sampling, self.root)
            watched = _watched(shown, lambda number: report(name, number, video.expected))
            while batch := list(islice(watched, BATCH)):
                self._import(batch)
            report(name, video.expected, video.expected)
        except VideoError as error:
            self.done.refused.append(str(error))
            return
        self.done.videos += 1
        self.done.notes += video.notes
        if self.wish.as_video and not isinstance(video, FrameFolder) and not video.plays:
            self.done.notes.append(
                f"'{video.path}' holds {video.codec} in {video.container}, which browsers may not play; "
                "convert it to MP4 (H.264) or WebM before it is labeled."
            )

    def _import(self, batch: list[Shown]) -> None:
        fresh = [shown for shown in batch if path_of(shown.url) not in self.had]
        self.done.written += sum(shown.written for shown in batch)
        self.done.present += len(batch) - len(fresh)
        if not fresh:
            return
        self._allow(batch[0])
        tasks: list[Json] = [{"data": {**shown.about, self.key: shown.url}} for shown in fresh]
        created = self.studio.import_tasks(self.wish.project, tasks)
        if len(created) != len(tasks):
            raise StudioError(f"Label Studio made {len(created)} of {len(tasks)} tasks; run the command again.")
        self.had.update(filter(None, (path_of(shown.url) for shown in fresh)))
        self.done.added += len(created)

    def _allow(self, shown: Shown) -> None:
        """Before the first task of a folder: people must see what the task shows."""
        folder = self.root.storage(shown.file)
        if folder not in self.allowed:
            allow(self.studio, self.wish.project, folder, f"Videos in {folder.rpartition('/')[2]}")
            check_served(self.studio, shown.url, shown.file)
            self.allowed.add(folder)


def _watched(shown: Iterator[Shown], report: Callable[[int], None]) -> Iterator[Shown]:
    for one in shown:
        report(one.number)
        yield one


@contextmanager
def _alone(root: ServedRoot, project: int) -> Iterator[None]:
    """Two runs for a project at once would both add what it lacks. The system frees the lock of a killed run."""
    try:
        root.store.mkdir(exist_ok=True)
        lock = (root.store / f".project-{project}.lock").open("w")
    except OSError as error:
        raise VideoError(f"'{root.store}' cannot be written ({error.strerror}); allow it.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VideoError(f"Another import into project {project} is under way; wait for its end.") from None
        yield
