"""Starts everything, makes the project "Digits", and stays until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import structlog
from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape

from ml_backend.studio.client import Studio, StudioError
from simulation import digits
from stack import backend, redis, studio
from stack.home import Home, StackError
from stack.ports import free_port
from stack.processes import Crew, clean_up
from stack.progress import step

STUDIO_PORT, REDIS_PORT, BACKEND_PORT = 8080, 6379, 9090
LOOK = 0.5  # seconds between two looks at the children
FIRST_RANKING = 240.0  # seconds


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived."""


def main() -> int:
    """Runs the stack in NEXTLABEL_HOME; the exit code is 0 after Ctrl-C and 1 when something could not be done."""
    console = Console()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    try:
        home = Home.default()
        with FileLock(home.lock, timeout=0), _signals():
            _run(home, console)
    except Timeout:
        _already(home, console)
    except Stopped:
        console.print("Stopped. The data is kept; the same command starts it again.")
    except (StackError, StudioError) as error:
        console.print(f"[red]{escape(str(error))}[/red]", highlight=False)
        return 1
    return 0


def _run(home: Home, console: Console) -> None:
    left = clean_up(home)
    if left:
        console.print(f"Ended what an earlier run left behind: {', '.join(left)}.")
    home.state.pid = os.getpid()
    with Crew(home) as crew:
        redis_url = _start(home, crew, console)
        project = _prepare(home, crew, redis_url, console)
        _greet(home, project, console)
        while True:
            crew.revive(lambda words: console.print(words, markup=False, highlight=False))
            time.sleep(LOOK)


def _start(home: Home, crew: Crew, console: Console) -> str:
    """Redis, Label Studio, the backend, a worker; returns Redis' URL. Label Studio, the slowest, starts first."""
    state = home.state
    state.studio_port = free_port(state.studio_port, STUDIO_PORT)
    taken = frozenset({state.studio_port})
    state.backend_port = free_port(state.backend_port, BACKEND_PORT, avoid=taken)
    label_studio = crew.start(studio.service(home, state.studio_port))
    redis_url = os.environ.get("REDIS_URL", "")
    with step(console, "Redis") as shown:
        if redis_url:
            redis.check(redis_url)
            shown.note("the one in REDIS_URL")
        else:
            state.redis_port = free_port(state.redis_port, REDIS_PORT, avoid=taken | {state.backend_port})
            service, redis_url = redis.service(home, state.redis_port)
            crew.wait(crew.start(service))
            shown.note(f"on port {state.redis_port}")
    server, worker = (crew.start(service) for service in backend.services(home, redis_url))
    first = "" if state.studio_created else ", creating its database"
    with step(console, f"Label Studio{first}") as shown:
        crew.wait(label_studio)
        shown.note(f"on port {state.studio_port}")
    state.studio_created = True
    home.save()
    with step(console, "Backend and worker") as shown:
        crew.wait(server)
        crew.wait(worker)
        shown.note(f"on port {state.backend_port}")
    home.write_environment(backend.environment(home, redis_url))
    return redis_url


def _prepare(home: Home, crew: Crew, redis_url: str, console: Console) -> int:
    """The project with its files, tasks, first labels, connection and ranking; each part only if it is missing."""
    state = home.state
    client = Studio(state.studio_url, state.token)
    try:
        with step(console, 'Project "Digits"') as shown:
            digits.write(home.media / digits.FOLDER)
            state.project, new = digits.find_or_create(client, state.project)
            state.seeded = state.seeded and not new
            home.save()
            digits.allow_files(client, state.project, home.media)
            if not state.seeded:
                imported = digits.import_missing(client, state.project)
                shown.note(f"{imported} images imported")
        if not state.seeded:
            with step(console, f"The first {digits.FIRST_LABELS} labels, from the ground truth"):
                digits.label_at_random(client, state.project)
        with step(console, "Connecting the project"):
            backend.connect(home, redis_url, state.project)
        if not state.seeded:
            with step(console, "Training and publishing the first ranking") as shown:
                shown.note(_first_ranking(home, crew, client, state.project))
            state.seeded = True
            home.save()
        return state.project
    finally:
        client.close()


def _first_ranking(home: Home, crew: Crew, client: Studio, project: int) -> str:
    """Until a training was published and is what Label Studio's queue follows; returns a remark on it."""
    deadline = time.monotonic() + FIRST_RANKING
    while True:
        known = backend.project(home, project)
        cycle = known.get("last_cycle") or {}
        if cycle.get("status") == "failed":
            raise StackError(f"The first training failed; {home.logs / 'worker.log'} says why: {known}")
        live = known.get("live_version")
        trained = cycle.get("kind") == "train" and cycle.get("status") == "published"
        if trained and live and client.project(project)["model_version"] == live:
            return _accuracy(cycle)
        for child in crew.children.values():
            if child.process.poll() is not None:
                raise child.died()
        if time.monotonic() > deadline:
            raise StackError(
                f"No ranking was published within {FIRST_RANKING:.0f} s (the backend says {known or 'nothing'});"
                f" see {home.logs / 'worker.log'}, then run the same command again."
            )
        time.sleep(LOOK)


def _accuracy(cycle: dict[str, object]) -> str:
    accuracy = cycle.get("accuracy")
    return f"(held-out accuracy {accuracy:.0%})" if isinstance(accuracy, float) else ""


def _greet(home: Home, project: int, console: Console) -> None:
    state = home.state
    link = backend.first_link(home)
    page = f"{link}   (makes you its admin; works once)" if link else state.backend_url
    console.print(
        f"""
Label Studio   {state.studio_url}/projects/{project}
Login          {state.email} / {state.password}
NextLabel      {page}
REST           {state.backend_url}/api   (user {state.basic_user}, password {state.basic_password})

Log in to Label Studio and press "Label All Tasks": each digit it serves is the one that teaches the model most.
After every few labels the model trains and the queue re-orders itself; the NextLabel page shows what it learned.
To see the gain without labeling a thousand digits yourself, run this in another terminal:
    . {shlex.quote(str(home.environment_file))} && {shlex.quote(str(Path(sys.executable).with_name("nextlabel")))} demo

Ctrl-C stops everything and keeps the data in {home.path}.""",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _already(home: Home, console: Console) -> None:
    state = home.reload()
    console.print(
        f"NextLabel is already running (pid {state.pid}): Label Studio at {state.studio_url}, the backend at"
        f" {state.backend_url}, login {state.email} / {state.password}.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@contextmanager
def _signals() -> Iterator[None]:
    """The first signal raises Stopped; while the children are being ended, further ones are passed over."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    before: list[tuple[int, Callable[[int, FrameType | None], object] | int | None]] = []
    before.extend((number, signal.signal(number, stop)) for number in numbers)
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
