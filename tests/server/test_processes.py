"""Real servers: two processes that agree, answers in time while the CPUs burn, and a graceful end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from fastapi import FastAPI, Request
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.loop.house import House
from ml_backend.server import accounts
from ml_backend.server.access import COOKIE
from ml_backend.server.pages import live
from ml_backend.settings import Settings
from ml_backend.store.tables import Event
from stack.ports import free_port
from tests.server.conftest import PASSWORD, add_ranking, payload, until

ROOT = Path(__file__).parents[2]
Start = Callable[..., tuple[subprocess.Popen[bytes], str]]


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Starts `nextlabel serve` on the test's own house; returns the process and its URL once it answers."""
    children: list[subprocess.Popen[bytes]] = []

    def begin(**variables: str) -> tuple[subprocess.Popen[bytes], str]:
        port = int(variables.pop("PORT", free_port()))
        environment = {**os.environ, "MODEL_DIR": str(settings.model_dir), "REDIS_URL": settings.redis_url}
        environment |= {"PORT": str(port), **variables}
        log = (tmp_path / f"serve-{len(children)}.log").open("wb")
        child = subprocess.Popen([sys.executable, "-m", "cli", "serve"], cwd=ROOT, env=environment, stderr=log)
        children.append(child)
        url = f"http://127.0.0.1:{port}"
        until(lambda: child.poll() is not None or answers(url), 60)
        return child, url

    yield begin
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=1).is_success
    except httpx.HTTPError:
        return False


def test_two_processes_agree_and_count_together(
    start: Start, rooms: House, project: int, secret: dict[str, str]
) -> None:
    child, url = start(WORKERS="2")
    until(lambda: len(psutil.Process(child.pid).children()) >= 2)

    def ask(_: int) -> tuple[int, str]:
        # a connection of its own each time, so that both processes are met
        one = httpx.post(f"{url}/webhook", json=payload("annotation_updated"), headers=secret)
        return one.status_code, httpx.post(f"{url}/setup", json=payload("setup")).json()["model_version"]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(40))) == {(200, "nextlabel-1-abcd")}
        add_ranking(rooms, project, [20001, 20003], version="nextlabel-2-abcd", cycle=2)
        until(lambda: {version for _, version in pool.map(ask, range(8))} == {"nextlabel-2-abcd"}, 5)
    with rooms.ledger.session() as session:
        recorded = until(lambda: session.query(Event).count())
    assert recorded >= 48
    text = httpx.get(f"{url}/metrics").text
    asked = float(next(line.split()[-1] for line in text.splitlines() if 'requests_total{route="/setup"' in line))
    assert asked >= 48
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 0


def test_health_and_setup_answer_before_label_studio_hangs_up_while_the_cpus_burn(start: Start, project: int) -> None:
    _, url = start()
    burner = "import os; os.nice(10)\nwhile True: sum(range(10000))"
    burners = [subprocess.Popen([sys.executable, "-c", burner]) for _ in range(os.cpu_count() or 1)]
    try:
        seconds: dict[str, list[float]] = {"health": [], "setup": []}
        with httpx.Client(base_url=url) as client:
            client.post("/setup", json=payload("setup"))
            for _ in range(100):
                began = time.perf_counter()
                assert client.get("/health").status_code == 200
                seconds["health"].append(time.perf_counter() - began)
                began = time.perf_counter()
                assert client.post("/setup", json=payload("setup")).status_code == 200
                seconds["setup"].append(time.perf_counter() - began)
    finally:
        for child in burners:
            child.kill()
            child.wait()
    for taken in seconds.values():
        assert np.quantile(taken, 0.95) < 1  # s, as long as Label Studio waits


def test_sigterm_lets_requests_end(start: Start, rooms: House, project: int, secret: dict[str, str]) -> None:
    child, url = start()
    with ThreadPoolExecutor(1) as pool, rooms.ledger.engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")  # START_TRAINING waits for the ledger
        waiting = pool.submit(httpx.post, f"{url}/webhook", json=payload("start_training"), headers=secret, timeout=15)
        until(lambda: psutil.Process(child.pid).net_connections("tcp"))
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        child.send_signal(signal.SIGTERM)
        other.rollback()
        assert waiting.result(15).json() == {"status": "queued"}
    assert child.wait(15) == 0


def test_live_pages_hear_of_changes_and_do_not_hold_up_the_end(start: Start, rooms: House, project: int) -> None:
    child, url = start()
    with rooms.ledger.session() as session:
        cookie = accounts.open_session(session, accounts.add_user(session, "ada", PASSWORD, "admin", author="test"))
    client = httpx.Client(base_url=url, cookies={COOKIE: cookie}, timeout=30)
    heard: list[str] = []

    def listen() -> None:
        with client.stream("GET", f"/projects/{project}/events") as answer:
            heard.append(answer.headers["content-type"])
            heard.extend(answer.iter_lines())

    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(listen)
        until(lambda: "retry: 3000" in heard)
        add_ranking(rooms, project, [20001, 20003], version="nextlabel-2-abcd", cycle=2)
        until(lambda: "event: changed" in heard)
        child.send_signal(signal.SIGTERM)
        stream.result(15)
    assert heard[0].startswith("text/event-stream")
    assert child.wait(15) == 0
    client.close()


def test_a_stream_hears_of_what_changes_once_it_is_open(rooms: House, project: int) -> None:
    """A page asks again when its stream opens: what comes after that must not count as seen before it."""

    change = partial(add_ranking, rooms, project, [20001, 20003], version="nextlabel-2-abcd", cycle=2)
    assert heard_after(change, rooms).startswith("event: changed")


def test_a_stream_opens_while_the_ledger_is_away(rooms: House, project: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise SQLAlchemyError("away")

    with monkeypatch.context() as patch:
        patch.setattr(live.Pulse, "_read", away)
        assert heard_after(patch.undo, rooms).startswith("event: changed")


def heard_after(change: Callable[[], object], rooms: House) -> str:
    """The first event of a stream that was opened before a change."""

    async def listen() -> list[str]:
        app = FastAPI()
        app.state.pulse = live.Pulse(rooms)
        answer = await live.all_events(Request({"type": "http", "app": app}))
        change()
        said = aiter(answer.body_iterator)
        return [str(await anext(said)) for _ in range(2)]

    return asyncio.run(listen())[1]


def test_the_first_start_prints_a_link(start: Start, tmp_path: Path) -> None:
    _, url = start()
    link = next(word for word in (tmp_path / "serve-0.log").read_text().split() if "/link/" in word)
    assert httpx.get(url + link[link.index("/link/") :]).status_code == 200


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"BASIC_AUTH_USER": "label"}, "BASIC_AUTH_PASS is not set"),
        ({"NEXTLABEL_HOST": "192.0.2.1"}, "cannot be served"),
    ],
)
def test_what_cannot_start_says_why(start: Start, tmp_path: Path, variables: dict[str, str], words: str) -> None:
    child, _ = start(**variables)
    assert child.wait(10) == 1
    said = (tmp_path / "serve-0.log").read_text()
    assert words in said
    assert "Traceback" not in said


def test_a_taken_port_says_so(start: Start, tmp_path: Path) -> None:
    _, url = start()
    second, _ = start(PORT=url.rpartition(":")[2])
    assert second.wait(10) == 1
    assert "cannot be served" in (tmp_path / "serve-1.log").read_text()
