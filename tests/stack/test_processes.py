"""Children are real processes here: Python programs that listen, die, fork or refuse to end."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stack import processes
from stack.home import Home, Record, StackError
from stack.leftovers import MARK, recorded
from stack.processes import Crew, Service, clean_up

ROOT = Path(__file__).resolve().parents[2]


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"


def program(name: str, source: str, ready: Callable[[int], bool] = lambda _: True, patience: float = 10.0) -> Service:
    command = [sys.executable, "-c", textwrap.dedent(source)]
    return Service(name, command, dict(os.environ), ready, patience)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


SLEEP = "import signal; signal.pause()"
STUBBORN = """
import os, pathlib, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()  # as an RQ worker's job does
    pathlib.Path("forked").write_text(str(os.getpid()))
while True:
    signal.pause()
"""


def forked(home: Home) -> int:
    path = home.path / "forked"
    until(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def test_children_and_their_forks_end_even_if_they_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    monkeypatch.setattr(processes, "end", lambda found: __import__("stack.leftovers").leftovers.end(found, grace=0.3))
    with Crew(home) as crew:
        child = crew.start(program("stubborn", STUBBORN))
        fork = forked(home)
        assert Home(tmp_path).state.children[0].pid == child.process.pid
    assert not alive(child.process.pid)
    assert not alive(fork)
    assert Home(tmp_path).state.children == []


def test_a_dead_child_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Crew(Home(tmp_path)) as crew, pytest.raises(StackError, match=r"(?s)broken ended with code 3.*out of milk"):
        crew.wait(crew.start(program("broken", "import sys; print('out of milk'); sys.exit(3)", lambda _: False)))


def test_a_silent_child_is_named_too(tmp_path: Path) -> None:
    with Crew(Home(tmp_path)) as crew, pytest.raises(StackError, match="mute does not answer after 0 s"):
        crew.wait(crew.start(program("mute", SLEEP, lambda _: False, patience=0.2)))


def test_a_child_is_restarted_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "RESTARTS", 2)
    said: list[str] = []
    with Crew(Home(tmp_path)) as crew:
        for restart in range(2):
            child = crew.children.get("frail") or crew.start(program("frail", SLEEP))
            child.process.kill()
            child.process.wait()
            crew.revive(said.append)
            assert f"again ({restart + 1} of 2)" in said[-2]
            assert crew.children["frail"].process.poll() is None
        crew.children["frail"].process.kill()
        crew.children["frail"].process.wait()
        with pytest.raises(StackError, match=r"(?s)killed by signal 9.*not again"):
            crew.revive(said.append)


def test_children_end_when_the_run_is_killed(tmp_path: Path) -> None:
    source = f"""
        import pathlib, signal, sys
        from stack.home import Home
        from stack.processes import Crew, Service
        import os
        home = Home(pathlib.Path({str(tmp_path)!r}))
        with Crew(home) as crew:
            crew.start(Service("child", [sys.executable, "-c", {STUBBORN!r}.replace("SIG_IGN", "SIG_DFL")],
                       dict(os.environ), lambda _: True))
            print("started", flush=True)
            signal.pause()
    """
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)], stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True
    )
    assert run.stdout is not None
    assert run.stdout.readline() == b"started\n"
    home = Home(tmp_path)
    pids = [home.state.children[0].pid, forked(home)]
    run.kill()
    run.wait()
    run.stdout.close()
    until(lambda: not any(map(alive, pids)))


def test_the_next_run_ends_what_was_left_and_nothing_else(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    ours = subprocess.Popen([sys.executable, "-c", SLEEP], env={**os.environ, MARK: f"{home.path}#1/worker"})
    foreign = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        created = psutil.Process(ours.pid).create_time()
        home.state.children = [
            Record(name="worker", pid=ours.pid, created=created),
            Record(name="redis", pid=foreign.pid, created=created - 3600),  # its pid was given to another program
        ]
        assert [process.pid for process in recorded(home.state.children)] == [ours.pid]
        assert clean_up(home) == ["worker"]
        assert ours.wait(timeout=10) is not None
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()
