"""Finding and ending the processes of a run. Every child carries a mark in its environment: '<home>#<run>'."""

from __future__ import annotations

import os
from collections.abc import Iterable

import psutil

from stack.home import Record

MARK = "NEXTLABEL_STACK"


def marked(prefix: str) -> list[psutil.Process]:
    """The processes whose mark starts with `prefix`, at any depth: a worker's forks are found after the worker died."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.environ().get(MARK, "").startswith(prefix):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # another user's, or gone
    return found


def recorded(records: Iterable[Record]) -> list[psutil.Process]:
    """The recorded children that still run. A pid that now belongs to another process is left alone."""
    found = []
    for record in records:
        try:
            process = psutil.Process(record.pid)
            if abs(process.create_time() - record.created) < 1.0 and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and its descendants."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return [process]


def end(processes: Iterable[psutil.Process], grace: float = 8.0) -> None:
    """Asks each process to end and kills, with their descendants, those that have not after `grace` seconds."""
    everyone = {member.pid: member for process in processes for member in family(process)}
    for process in list(everyone.values()):
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(list(everyone.values()), timeout=grace)
    for process in [member for survivor in alive for member in family(survivor)]:
        _signal(process, kill=True)
    psutil.wait_procs(alive, timeout=5.0)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.Error:
        return  # it is gone, which is what was wanted
