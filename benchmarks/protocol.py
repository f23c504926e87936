"""Our server and label-studio-ml 1.0.9's, both with an empty model, under the same eight clients on the same machine.

The peer runs as its own Dockerfile says (gunicorn, one worker, eight threads), ours with one process. An empty model
knows nothing of any task: the peer's returns empty results, ours is a connected project without a ranking. Rounds
alternate between the two, so that a neighbour's load falls on both; medians over the rounds are kept.

/webhook is measured while the default learner trains again and again at the worker's low priority, on as many threads
as it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from PIL import Image
from sklearn.datasets import load_digits

from ml_backend.learners.contract import Images
from ml_backend.loop.house import House
from ml_backend.loop.learning import make_learner
from ml_backend.loop.plan import Plan
from ml_backend.loop.publish import ranking_key
from ml_backend.settings import Settings
from ml_backend.store.arrays import ArrayStore, DiskFeatures
from ml_backend.store.tables import Project
from stack import redis
from stack.home import Home
from stack.ports import free_port
from stack.processes import Crew

TITLE = "requests per second and latency of the protocol, against label-studio-ml 1.0.9"
CLIENTS = 8
SECONDS = 5.0
ROUNDS = 5
RANKED = 10_000
CONFIG = (
    '<View><Image name="img" value="$image"/><Choices name="cls" toName="img">'
    '<Choice value="cat"/><Choice value="dog"/></Choices></View>'
)
CREATED = {"empty": "2025-01-01T00:00:00.000000Z", "ranked": "2025-01-02T00:00:00.000000Z"}
KEYS = {"empty": "1.1735689600", "ranked": "1.1735776000"}
SECRET = "a secret of the benchmark"

PEER = """
from label_studio_ml.api import init_app
from label_studio_ml.model import LabelStudioMLBase

class Empty(LabelStudioMLBase):
    def predict(self, tasks, **kwargs):
        return [{"result": [], "score": 0.0} for _ in tasks]

app = init_app(Empty, model_dir="models")
"""


def run() -> dict[str, Any]:
    """Rows of requests per second and milliseconds, and whether each promise held."""
    with tempfile.TemporaryDirectory(prefix="nextlabel-protocol-") as folder, _servers(Path(folder)) as urls:
        bodies = {(who, n): _predict(KEYS["empty"], n) for who in ("peer", "ours") for n in (1, 50)}
        bodies |= {("ours, 10 000 ranked", n): _predict(KEYS["ranked"], n) for n in (1, 50)}
        rounds: dict[tuple[str, int], list[Load]] = {case: [] for case in bodies}
        for _ in range(ROUNDS):
            for case, body in bodies.items():
                url = urls["peer" if case[0] == "peer" else "ours"]
                rounds[case].append(load(url, _request("/predict", body)))
        rows = [_row(f"/predict, {n} task{'s' * (n > 1)}", who, rounds[who, n]) for who, n in bodies]
        rows += _under_training(urls["ours"], Path(folder))
    return {"rows": rows, "promises": _promises(rows), "clients": CLIENTS, "rounds": ROUNDS, "seconds_each": SECONDS}


def _promises(rows: list[dict[str, Any]]) -> dict[str, bool]:
    found = {(row["case"], row["server"]): row for row in rows}
    kept = {}
    for case in ("/predict, 1 task", "/predict, 50 tasks"):
        ours, peer = found[case, "ours"], found[case, "peer"]
        kept[f"{case}: at least the peer's requests per second"] = ours["requests_s"] >= peer["requests_s"]
        kept[f"{case}: no worse p99"] = ours["p99_ms"] <= peer["p99_ms"]
    for row in rows:
        if row["case"].startswith("/webhook"):
            kept[f"{row['case']}: p99 below 50 ms"] = row["p99_ms"] < 50
    return kept


def _row(case: str, server: str, rounds: list[Load]) -> dict[str, Any]:
    def middle(values: Iterator[float]) -> float:
        return round(statistics.median(values), 2)

    return {
        "case": case,
        "server": server,
        "requests_s": round(middle(load.rate for load in rounds)),
        "p50_ms": middle(load.quantile(0.5) for load in rounds),
        "p99_ms": middle(load.quantile(0.99) for load in rounds),
        "max_ms": round(max(load.quantile(1.0) for load in rounds), 1),
        "failed": sum(load.failed for load in rounds),
    }


# the servers


@contextlib.contextmanager
def _servers(folder: Path) -> Iterator[dict[str, str]]:
    home = Home(folder / "home")
    with Crew(home) as crew:
        service, redis_url = redis.service(home, free_port())
        crew.wait(crew.start(service))
        settings = Settings(_env_file=None, model_dir=folder / "model", redis_url=redis_url)
        _connect_projects(House(settings))
        ports = {"ours": free_port()}
        ports["peer"] = free_port(avoid=frozenset(ports.values()))
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        with _process(_our_command(), _our_environment(settings, ports["ours"])), _peer(folder / "peer", ports["peer"]):
            for url in urls.values():
                _until_healthy(url)
                _post(f"{url}/setup", {"project": KEYS["empty"], "schema": CONFIG, "extra_params": None})
            yield urls


def _our_command() -> list[str]:
    return [sys.executable, "-m", "cli", "serve"]


def _our_environment(settings: Settings, port: int) -> dict[str, str]:
    ours = {"MODEL_DIR": str(settings.model_dir), "REDIS_URL": settings.redis_url, "PORT": str(port), "WORKERS": "1"}
    return {**os.environ, **ours}


@contextlib.contextmanager
def _peer(folder: Path, port: int) -> Iterator[None]:
    folder.mkdir()
    (folder / "_wsgi.py").write_text(PEER)
    command = [sys.executable, "-m", "gunicorn", "--preload", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", "1", "--threads", "8", "--timeout", "0", "--chdir", str(folder), "_wsgi:app"]
    with _process(command, dict(os.environ)):
        yield


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as child:
        try:
            yield child
        finally:
            child.terminate()


def _connect_projects(rooms: House) -> None:
    """Project 'empty' has no ranking; 'ranked' has one of RANKED items with a model's probabilities."""
    with rooms.ledger.session() as session:
        for name, key in KEYS.items():
            project = Project(
                studio_url=f"http://{name}.invalid",
                studio_id=1,
                key=key,
                label_config=CONFIG,
                webhook_secret=SECRET,
                live_version="benchmark-1" if name == "ranked" else None,
            )
            session.add(project)
            session.flush()
            if name == "ranked":
                certain = np.linspace(0.5, 1.0, RANKED)
                ranking = {"task_id": np.arange(1, RANKED + 1), "probabilities": np.stack([certain, 1 - certain], 1)}
                rooms.arrays.write(ranking_key(project.id, "benchmark-1"), ranking)
    rooms.ledger.close()


def _until_healthy(url: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _post(url: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10):
        return


# the messages, shaped as Label Studio sends them


def _predict(key: str, tasks: int) -> bytes:
    def task(number: int) -> dict[str, Any]:
        return {
            "id": number,
            "data": {"image": f"/data/local-files/?d=images/{number}.png"},
            "meta": {},
            "created_at": "2025-01-01T00:00:00.000000Z",
            "updated_at": "2025-01-01T00:00:00.000000Z",
            "is_labeled": False,
            "overlap": 1,
            "inner_id": number,
            "total_annotations": 0,
            "cancelled_annotations": 0,
            "total_predictions": 0,
            "comment_count": 0,
            "unresolved_comment_count": 0,
            "last_comment_updated_at": None,
            "project": 1,
            "updated_by": None,
            "file_upload": None,
            "comment_authors": [],
            "annotations": [],
            "predictions": [],
        }

    body = {
        "tasks": [task(1 + 97 * i) for i in range(tasks)],
        "project": key,
        "label_config": CONFIG,
        "params": {"login": None, "password": None, "context": None},
    }
    return json.dumps(body).encode()


def _annotation() -> bytes:
    result = [{"from_name": "cls", "to_name": "img", "type": "choices", "value": {"choices": ["cat"]}}]
    annotation = {"id": 1, "task": 7, "project": 1, "completed_by": 1, "was_cancelled": False, "result": result}
    project = {"id": 1, "created_at": CREATED["empty"], "label_config": CONFIG, "model_version": "x", "title": "b"}
    task = {"id": 7, "data": {"image": "/data/local-files/?d=images/7.png"}, "project": 1, "is_labeled": True}
    body = {"action": "ANNOTATION_CREATED", "annotation": annotation, "project": project, "task": task}
    return json.dumps(body).encode()


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: benchmark\r\nContent-Type: application/json\r\n"
    head += f"X-NextLabel-Secret: {SECRET}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


# the clients


class Load:
    """Latencies of all answered requests in seconds, and how long it took to gather them."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.failed = 0
        self.seconds = 0.0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        return float(np.quantile(self.latencies, share)) * 1000


class Client(asyncio.Protocol):
    """One keep-alive connection that sends the next request when the last is answered, `pause` seconds later."""

    def __init__(self, request: bytes, load: Load, pause: float) -> None:
        self.request, self.load, self.pause = request, load, pause
        self.over = asyncio.get_running_loop().create_future()
        self.stopping = False
        self._buffer = b""
        self._wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # TCP gives this kind
        self._send()

    def _send(self) -> None:
        if self.stopping:
            self.transport.close()
            return
        self._buffer, self._wanted = b"", 0
        self._began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._wanted:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            length = self._buffer[:end].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._wanted = end + 4 + int(length)
        if len(self._buffer) < self._wanted:
            return
        self.load.latencies.append(time.perf_counter() - self._began)
        self.load.failed += self._buffer[9:10] != b"2"
        if self.pause:
            asyncio.get_running_loop().call_later(self.pause, self._send)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self.load.failed += not self.stopping
        if not self.over.done():
            self.over.set_result(None)


def load(url: str, request: bytes, pause: float = 0.0, seconds: float = SECONDS) -> Load:
    """What CLIENTS clients see in `seconds`, after a fifth of that to warm up."""
    host, _, port = url.removeprefix("http://").partition(":")

    async def measure() -> Load:
        loop, measured = asyncio.get_running_loop(), Load()
        clients = [Client(request, measured, pause) for _ in range(CLIENTS)]
        for client in clients:
            await loop.create_connection(lambda client=client: client, host, int(port))  # type: ignore[misc]  # bound now
        await asyncio.sleep(seconds / 5)
        measured.latencies.clear()
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        measured.seconds = time.perf_counter() - began
        taken = list(measured.latencies)
        for client in clients:
            client.stopping = True
        await asyncio.wait_for(asyncio.gather(*(client.over for client in clients)), 30)
        measured.latencies = taken
        return measured

    return uvloop.run(measure())


# the training beside it


def _under_training(url: str, folder: Path) -> list[dict[str, Any]]:
    request = _request("/webhook", _annotation())
    cases = {"8 annotators, 80 events/s": 0.1, "8 clients without a pause": 0.0}
    rows = [_row(f"/webhook, idle, {name}", "ours", [load(url, request, pause)]) for name, pause in cases.items()]
    marks = folder / "trainings"
    command = [sys.executable, "-c", f"from benchmarks.protocol import train; train({str(folder / 'burn')!r})"]
    with _process(command, {**os.environ, "NEXTLABEL_MARKS": str(marks)}):
        while not marks.exists():
            time.sleep(0.1)
        for name, pause in cases.items():
            measured = [load(url, request, pause) for _ in range(ROUNDS)]
            rows.append(_row(f"/webhook, training, {name}", "ours", measured))
        if marks.stat().st_size < 2:
            raise RuntimeError("the training beside /webhook did not run")
    return rows


def train(folder: str) -> None:
    """Fits the default learner on the digits over and over, every time from the pixels, until it is terminated."""
    os.nice(10)  # as the worker does
    digits = load_digits()
    images = np.kron(digits.images * 15.9375, np.ones((1, 3, 3))).astype(np.uint8)
    root = Path(folder)
    root.mkdir()
    paths = [root / f"{index}.png" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    contents = [f"{index:064x}" for index in range(len(images))]
    marks = Path(os.environ["NEXTLABEL_MARKS"])
    labeled = Images(contents[:400], paths[:400])
    pool = Images(contents[400:], paths[400:])
    turn = 0
    while True:
        with marks.open("ab") as file:
            file.write(b".")
        store = DiskFeatures(ArrayStore(f"{folder}/features-{turn}"))
        classes = tuple(str(digit) for digit in range(10))
        make_learner(Plan(), 1).fit(labeled, digits.target[:400], pool, classes, store=store, seed=turn)
        turn += 1
