"""`nextlabel import-video`: what a project lacks of some videos becomes tasks, however often it is asked."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from ml_backend.loop.house import House
from ml_backend.loop.import_links import stored_name
from ml_backend.loop.import_serving import LinkedStore, Serving, shown_by
from ml_backend.loop.import_target import find_project, find_studio, shown_key
from ml_backend.loop.import_wish import Wish
from ml_backend.loop.served_root import ServedRoot
from ml_backend.loop.video_tasks import Shown, frames, whole
from ml_backend.studio.client import Json, Studio, StudioError
from ml_backend.video.container import VideoError
from ml_backend.video.folder import FrameFolder
from ml_backend.video.opening import Video, open_all

BATCH = 500  # tasks in a request

Report = Callable[[str, int, int], None]  # a video's name, frames read, frames it announces (0: unknown)


@dataclass
class Imported:
    """added, present: tasks that the project did not have, and had. renewed: those of them whose address was changed.

    written: new files. refused: a sentence each.
    """

    videos: int = 0
    added: int = 0
    present: int = 0
    renewed: int = 0
    written: int = 0
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def import_videos(house: House, wish: Wish, report: Report = lambda *_: None) -> Imported:
    """Frames are written, tasks imported in batches while the video is read. Killed anywhere, the same call goes on.

    Raises VideoError if nothing can be imported, StudioError.
    """
    serving = serving_of(house, wish)
    studio = find_studio(house, wish.project)
    try:
        project = find_project(studio, wish.project)
        key = shown_key(project, as_video=wish.as_video)
        videos, refused = open_all(wish.paths, wish.folder_rate)
        if not videos:
            raise VideoError(" ".join(["There is no video to import.", *refused]))
        with _alone(serving, wish.project):
            turn = _Turn(studio, wish, serving, key, Imported(refused=refused))
            for video in videos:
                turn.take(video, report)
        return turn.done
    finally:
        studio.close()


def serving_of(house: House, wish: Wish) -> Serving:
    """The way that was wished. Raises VideoError."""
    if wish.links:
        address = wish.link_address or house.settings.backend_url
        return LinkedStore(house.settings.model_dir.absolute(), address, wish.link_days)
    return ServedRoot(house.settings.local_files_document_root, wish.studio_root)


class _Turn:
    """One run of the command."""

    def __init__(self, studio: Studio, wish: Wish, serving: Serving, key: str, done: Imported) -> None:
        self.studio, self.wish, self.serving, self.key, self.done = studio, wish, serving, key, done
        self.had: dict[str, tuple[int, str]] = {}  # what a task shows -> its number and address
        for task in studio.tasks(wish.project, include="id,data"):
            url = task["data"].get(key)
            if (shows := shown_by(url)) is not None:
                self.had.setdefault(shows, (int(task["id"]), url))

    def take(self, video: Video, report: Report) -> None:
        """A video that turns out bad is refused by name; the tasks it gave until then stay."""
        name = video.path.name
        report(name, 0, video.expected)
        try:
            shown = iter([whole(video, self.serving, copy=self.wish.copy)]) if self.wish.as_video else None
            shown = shown or frames(video, self.wish.sampling, self.serving)
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
        named = [(shown_by(shown.url) or shown.url, shown) for shown in batch]
        fresh = [(shows, shown) for shows, shown in named if shows not in self.had]
        stale = [(shows, shown) for shows, shown in named if shows in self.had and self._is_stale(shows, shown.url)]
        self.done.written += sum(shown.written for shown in batch)
        self.done.present += len(batch) - len(fresh)
        if fresh or stale:
            self.serving.show(self.studio, self.wish.project, batch[0].url, batch[0].file)
        for shows, shown in stale:
            self._renew(shows, shown.url)
        if fresh:
            self._add(fresh)

    def _add(self, fresh: list[tuple[str, Shown]]) -> None:
        tasks: list[Json] = [{"data": {**shown.about, self.key: shown.url}} for _, shown in fresh]
        created = self.studio.import_tasks(self.wish.project, tasks)
        if len(created) != len(tasks):
            raise StudioError(f"Label Studio made {len(created)} of {len(tasks)} tasks; run the command again.")
        for number, (shows, shown) in zip(created, fresh, strict=True):
            self.had[shows] = number, shown.url
        self.done.added += len(created)

    def _is_stale(self, shows: str, url: str) -> bool:
        """Whether a task names an older link, or is to be served the other way; what people wrote themselves stays."""
        there = self.had[shows][1]
        return there != url and (stored_name(there) is not None or stored_name(url) is not None)

    def _renew(self, shows: str, url: str) -> None:
        number = self.had[shows][0]
        data = {**self.studio.task(number)["data"], self.key: url}
        self.studio.call("PATCH", f"/api/tasks/{number}/", json={"data": data})
        self.had[shows] = number, url
        self.done.renewed += 1


def _watched(shown: Iterator[Shown], report: Callable[[int], None]) -> Iterator[Shown]:
    for one in shown:
        report(one.number)
        yield one


@contextmanager
def _alone(serving: Serving, project: int) -> Iterator[None]:
    """Two runs for a project at once would both add what it lacks. The system frees the lock of a killed run."""
    try:
        serving.store.mkdir(parents=True, exist_ok=True)
        lock = (serving.store / f".project-{project}.lock").open("w")
    except OSError as error:
        raise VideoError(f"'{serving.store}' cannot be written ({error.strerror}); allow it.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise VideoError(f"Another import into project {project} is under way; wait for its end.") from None
        yield
