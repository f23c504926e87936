"""Children: started in the background with a log each, waited for, watched, restarted, ended."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from stack.home import Home, Record, StackError
from stack.leftovers import MARK, end, marked, recorded

RESTARTS = 5  # of one child within WINDOW seconds, then the run ends
WINDOW = 600.0
TAIL = 15  # lines of a log that are shown
ROTATE = 5_000_000  # bytes


@dataclass(frozen=True)
class Service:
    """What to start and how to know that it answers.

    answers: given its pid, True once it can be used; it must return quickly and not raise.
    patience: seconds until it must.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str]
    answers: Callable[[int], bool]
    patience: float = 60.0


@dataclass
class Child:
    """A service and the process that runs it now."""

    service: Service
    process: subprocess.Popen[bytes]
    log: Path
    deaths: deque[float] = field(default_factory=deque)

    def tail(self, lines: int = TAIL) -> str:
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 20_000))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def died(self) -> StackError:
        code = self.process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return StackError(f"{self.service.name} {how}. The end of {self.log}:\n{self.tail()}")


class Crew:
    """The children of one run. As a context manager it ends them all, and so does its keeper if the run is killed."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.mark = f"{home.path}#{secrets.token_hex(6)}"
        self.children: dict[str, Child] = {}

    def __enter__(self) -> Crew:
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "stack.keeper", self.mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": python_path()},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        self._keeper.wait(timeout=30)

    def start(self, service: Service) -> Child:
        """Starts a service in its own session, so that a Ctrl-C at the terminal reaches only this process."""
        log = self.home.logs / f"{service.name}.log"
        if log.exists() and log.stat().st_size > ROTATE:
            log.replace(log.with_suffix(".log.1"))
        environment = {
            **service.environment,
            MARK: f"{self.mark}/{service.name}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": python_path(),
        }
        with log.open("ab") as output:
            process = subprocess.Popen(
                service.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
                cwd=self.home.path,
            )
        before = self.children.get(service.name)
        child = Child(service, process, log, before.deaths if before else deque())
        self.children[service.name] = child
        self._record()
        return child

    def wait(self, child: Child) -> None:
        """Until the service answers; StackError with the end of its log if it dies or stays silent."""
        deadline = time.monotonic() + child.service.patience
        while not child.service.answers(child.process.pid):
            if child.process.poll() is not None:
                raise child.died()
            if time.monotonic() > deadline:
                raise StackError(
                    f"{child.service.name} does not answer after {child.service.patience:.0f} s."
                    f" The end of {child.log}:\n{child.tail()}"
                )
            time.sleep(0.1)

    def revive(self, say: Callable[[str], None]) -> None:
        """Restarts what has died, at most RESTARTS times within WINDOW seconds; then StackError."""
        for child in list(self.children.values()):
            if child.process.poll() is None:
                continue
            end(marked(self.mark + f"/{child.service.name}"))
            now = time.monotonic()
            while child.deaths and now - child.deaths[0] > WINDOW:
                child.deaths.popleft()
            if len(child.deaths) >= RESTARTS:
                raise StackError(f"{child.died()}\nIt was restarted {RESTARTS} times; not again.")
            child.deaths.append(now)
            say(f"{child.died()}\nStarting {child.service.name} again ({len(child.deaths)} of {RESTARTS}).")
            time.sleep(min(2.0 ** (len(child.deaths) - 1) - 1, 8.0))  # at once, then 1, 3, 7, 8 s later
            self.wait(self.start(child.service))
            say(f"{child.service.name} is back.")

    def stop(self) -> None:
        """Ends the children, those that use others first, and whatever they left behind."""
        for child in reversed(self.children.values()):
            if child.process.poll() is None:
                end([psutil.Process(child.process.pid)])
            child.process.wait()
        end(marked(self.mark))
        self.children.clear()
        self._record()

    def _record(self) -> None:
        records = []
        for name, child in self.children.items():
            try:
                created = psutil.Process(child.process.pid).create_time()
            except psutil.Error:
                continue  # it died at once, which `wait` reports
            records.append(Record(name=name, pid=child.process.pid, created=created))
        self.home.state.children = records
        self.home.save()


def clean_up(home: Home) -> list[str]:
    """Ends what a killed run left in this folder; returns the names of the recorded children that still ran."""
    left = {record.pid: record.name for record in home.state.children}
    found = recorded(home.state.children)
    end({process.pid: process for process in [*found, *marked(f"{home.path}#")]}.values())
    home.state.children = []
    return [left[process.pid] for process in found]


def python_path() -> str:
    """So that `-m stack` and `-m cli` are found from any working directory."""
    checkout = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join(filter(None, [checkout, os.environ.get("PYTHONPATH")]))
