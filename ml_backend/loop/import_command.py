"""`nextlabel import-video` as a person sees it: a progress bar, what was wrong by name, and what was added."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ml_backend.loop.house import house
from ml_backend.loop.import_video import Imported, import_videos
from ml_backend.loop.import_wish import Wish


def run_import(wish: Wish, console: Console) -> bool:
    """Whether all of it could be imported. What goes wrong before the first video is raised."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        shown: dict[str, TaskID] = {}

        def report(name: str, done: int, expected: int) -> None:
            if name not in shown:
                shown[name] = bar.add_task(escape(name), total=expected or None)
            bar.update(shown[name], completed=done)

        done = import_videos(house(), wish, report)
    tell(done, console)
    return not done.refused


def tell(done: Imported, console: Console) -> None:
    for sentence in done.notes:
        console.print(f"- {sentence}", highlight=False, markup=False, soft_wrap=True)
    for sentence in done.refused:
        console.print(sentence, style="red", highlight=False, markup=False, soft_wrap=True)
    tasks = f"{done.added} tasks added, {done.present} were there already, {done.written} files written"
    if done.renewed:
        tasks += f", {done.renewed} tasks given new addresses"
    console.print(f"{done.videos} video{'s' * (done.videos != 1)}: {tasks}.", highlight=False)
