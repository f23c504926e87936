"""`make run` as a person meets it: the first start, twice, a child that dies, a killed run, a second start, Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ml_backend.studio.client import Studio
from simulation import digits
from stack import backend
from stack.home import Home
from stack.leftovers import marked
from stack.run import BACKEND_PORT

ROOT = Path(__file__).resolve().parents[2]
SECOND_START = 60.0  # seconds, on a machine of its own
READY = "Ctrl-C stops everything"

pytestmark = [pytest.mark.studio, pytest.mark.timeout(900)]


class Run:
    """One `python -m stack` and what it printed."""

    def __init__(self, home: Path, log: Path) -> None:
        self.log = log
        self.begin = time.monotonic()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stack"],
                env={**os.environ, "NEXTLABEL_HOME": str(home)},
                cwd=ROOT,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text()

    def until(self, condition: Callable[[], object], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()

    def ready(self, seconds: float = 600.0) -> float:
        self.until(lambda: READY in self.said(), seconds)
        return time.monotonic() - self.begin

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    path = (tmp_path / "home").resolve()
    yield path
    for process in marked(f"{path}#"):
        process.kill()  # only after a failure


def gone(home: Path) -> bool:
    return not [p for p in marked(f"{home}#") if p.status() != psutil.STATUS_ZOMBIE]


def test_the_whole_life_of_a_run(home: Path, tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if squatter.connect_ex(("127.0.0.1", BACKEND_PORT)):  # else someone else holds the usual port already
            squatter.close()
            squatter = socket.create_server(("127.0.0.1", BACKEND_PORT))
        first = Run(home, tmp_path / "first.log")
        first.ready()
        state = Home(home).state
        assert state.backend_port not in (None, BACKEND_PORT)
        assert backend.answers(state.backend_url)

        twice = subprocess.run(
            [sys.executable, "-m", "stack"],
            env={**os.environ, "NEXTLABEL_HOME": str(home)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert twice.returncode == 0
        assert "already running" in twice.stdout
        assert state.studio_url in twice.stdout
        squatter.close()

    assert state.project is not None
    studio = Studio(state.studio_url, state.token)
    live = studio.project(state.project)["model_version"]
    served = studio.next_task(state.project)
    assert served is not None
    assert [p["score"] for p in studio.task(served["id"])["predictions"] if p["model_version"] == live] == [0.0]
    assert sum(bool(task["annotations"]) for task in studio.tasks(state.project)) == digits.FIRST_LABELS
    studio.close()

    worker = next(child for child in state.children if child.name == "worker")
    psutil.Process(worker.pid).kill()
    first.until(lambda: "worker is back." in first.said(), 120)
    assert "worker was killed by signal 9" in first.said()

    first.process.kill()
    first.process.wait()
    deadline = time.monotonic() + 30
    while not gone(home):
        assert time.monotonic() < deadline, marked(f"{home}#")

    second = Run(home, tmp_path / "second.log")
    allowance = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # others may be computing beside the tests
    assert second.ready() < SECOND_START * allowance
    again = Home(home).state
    assert (again.project, again.token, again.seeded) == (state.project, state.token, True)
    studio = Studio(again.studio_url, again.token)
    assert sum(bool(task["annotations"]) for task in studio.tasks(state.project)) == digits.FIRST_LABELS
    studio.close()
    assert second.interrupt() == 0
    assert "Stopped. The data is kept" in second.said()
    assert gone(home)
