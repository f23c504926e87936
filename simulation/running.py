"""Starts the processes (or RQ jobs) that run a study, and shows how far they are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rq import Queue, Worker

from ml_backend.logs import configure_logs
from ml_backend.loop.house import House
from ml_backend.loop.worker import simulations_queue
from simulation.experiment import Progress, forget_errors, progress, work
from simulation.study import Study

POLL = 0.5  # seconds between two looks at the files
DAY = 24 * 3600
OVER = {"finished", "failed", "stopped", "canceled"}  # states of RQ jobs


def run_here(folder: Path, study: Study, *, processes: int, until: float | None, console: Console) -> list[Progress]:
    """Runs the study's trials in so many processes, one core each; returns where every trial stands at the end."""
    forget_errors(folder)
    context = multiprocessing.get_context("spawn")  # no thread and no torch of this process goes along
    children = [context.Process(target=_child, args=(str(folder), until, os.getpid())) for _ in range(processes)]
    with _stopped_at_the_end(children):
        for child in children:
            child.start()
        _watch(folder, study, console, lambda: any(child.is_alive() for child in children))
    for child in children:
        if child.exitcode:
            console.print(f"[yellow]A process ended with {child.exitcode}; its trial goes on next time.[/yellow]")
    return progress(folder, study)


def _child(folder: str, until: float | None, parent: int) -> None:
    configure_logs("WARNING")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which stops its children
    work(folder, until, parent)


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _stopped_at_the_end(children: Sequence[BaseProcess]) -> Iterator[None]:
    """Whatever ends this block, SIGTERM too, ends the children."""
    usual = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)
        started = [child for child in children if child.pid is not None]
        for child in started:
            child.terminate()  # a finished one is left as it is; a cycle that was under way is run again
        for child in started:
            child.join()


def run_on_workers(
    folder: Path, study: Study, house: House, *, jobs: int, until: float | None, console: Console
) -> list[Progress]:
    """Asks the workers of `nextlabel worker --simulations` to run the trials; they must see the same folder."""
    forget_errors(folder)
    queue = Queue(simulations_queue(house), connection=house.redis)
    if not Worker.all(queue=queue):
        console.print("No worker listens yet; `nextlabel worker --simulations` starts one, here or anywhere.")
    asked = [
        queue.enqueue(work, str(folder.absolute()), until, job_timeout=30 * DAY, result_ttl=DAY) for _ in range(jobs)
    ]
    _watch(folder, study, console, lambda: any(job.get_status(refresh=True) not in OVER for job in asked))
    return progress(folder, study)


def _watch(folder: Path, study: Study, console: Console, going: Callable[[], bool]) -> None:
    """One bar per condition and method while `going`."""
    with _bars(console) as bars:
        shown: dict[tuple[str, str], TaskID] = {}
        while True:
            last = not going()
            _show(bars, shown, progress(folder, study))
            if last:
                return
            time.sleep(POLL)


def _show(bars: Bars, shown: dict[tuple[str, str], TaskID], states: list[Progress]) -> None:
    for key in dict.fromkeys((state.trial.condition, state.trial.method) for state in states):
        own = [state for state in states if (state.trial.condition, state.trial.method) == key]
        failed = sum(state.error is not None for state in own)
        done, of = sum(state.cycles for state in own), sum(state.of for state in own)
        says = f"[red]{failed} failed[/red]" if failed else ""
        if key not in shown:
            shown[key] = bars.add_task(" ".join(key), total=of, completed=done, says=says)
        bars.update(shown[key], completed=done, says=says)


def _bars(console: Console) -> Bars:
    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("cycles"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[says]}"),
        console=console,
    )
