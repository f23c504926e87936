"""What the person at the terminal sees while the stack starts: one line per step with its seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Step:
    """The running step; `note` adds what was found out to its line."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(escape(title), total=None)
        self.title = title
        self.remark = ""

    def note(self, remark: str) -> None:
        self.remark = remark
        self._progress.update(self._task, description=f"{escape(self.title)} [dim]{escape(remark)}[/dim]")


@contextmanager
def step(console: Console, title: str) -> Iterator[Step]:
    """Shows a spinner and the elapsed time on a terminal; elsewhere one line when it begins and one at its end."""
    if not console.is_terminal:
        console.print(f"  {title} ...", markup=False, highlight=False)
    begin = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        shown = Step(progress, title)
        try:
            yield shown
        except BaseException:
            progress.stop()
            console.print(f"[red]✗[/red] {escape(title)} [dim]{time.monotonic() - begin:.1f} s[/dim]", highlight=False)
            raise
    seconds = time.monotonic() - begin
    remark = f" {escape(shown.remark)}" if shown.remark else ""
    console.print(f"[green]✓[/green] {escape(title)}{remark} [dim]{seconds:.1f} s[/dim]", highlight=False)
