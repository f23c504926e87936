"""What a page costs: seconds from the request to the last byte, at three sizes of the ledger, by a person logged in.

Every page that the application has is asked for, so that new ones are measured by themselves. In process, without a
browser and without a network: what is measured is the work of the server. SQLite, and Redis where REDIS_URL says.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from benchmarks.filled_ledger import fill
from ml_backend.loop.house import House
from ml_backend.server import accounts
from ml_backend.server.app import create_app
from ml_backend.server.pages import found
from ml_backend.settings import Settings

TITLE = "seconds for each page of the web application"
SIZES = tuple(int(size) for size in os.environ.get("NEXTLABEL_DASHBOARD_SIZES", "1000,10000,100000").split(","))
REPEATS = 30
LIMIT_MS = 300.0  # at the largest size
PASSWORD = "only for this benchmark"


def run() -> dict[str, Any]:
    """One row per page: median and p99 in milliseconds at each size, and whether the largest keeps the limit."""
    measured: dict[str, dict[int, tuple[float, float, int]]] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="nextlabel-dashboard-") as folder:
            for path, figures in _measure(Path(folder), size).items():
                measured.setdefault(path, {})[size] = figures
    rows = []
    for path, sizes in measured.items():
        row: dict[str, Any] = {"page": path}
        for size, (median, slowest, _) in sizes.items():
            row |= {f"median_ms_{size}": median, f"p99_ms_{size}": slowest}
        row["kilobytes"] = sizes[SIZES[-1]][2] / 1000
        row["within_limit"] = sizes[SIZES[-1]][1] <= LIMIT_MS
        rows.append(row)
    return {"rows": rows, "repeats": REPEATS, "limit_ms": LIMIT_MS}


def paths(project: int) -> list[str]:
    """Every page, and a second and last one of the long lists."""
    _, tabs = found()
    own = [f"/projects/{project}/{tab.path}".rstrip("/") for tab in tabs]
    more = [
        f"/projects/{project}/runs/40",
        f"/projects/{project}/runs?offset=25",
        f"/projects/{project}/audit?offset=250",
    ]
    return ["/", "/people", *own, *more]


def _measure(folder: Path, size: int) -> dict[str, tuple[float, float, int]]:
    """Page -> (median, p99, bytes); the first request of each warms caches, as the second visitor finds them."""
    redis = os.environ.get("REDIS_URL", "redis://127.0.0.1:1/0")
    rooms = House(Settings(_env_file=None, model_dir=folder, redis_url=redis))
    project = fill(rooms, size)
    with rooms.ledger.session() as session:
        accounts.add_user(session, "ada", PASSWORD, "admin", author="benchmark")
    taken = {}
    with TestClient(create_app(rooms)) as client:
        client.post("/login", data={"name": "ada", "password": PASSWORD}).raise_for_status()
        for path in paths(project):
            client.get(path, headers={"Accept": "text/html"}).raise_for_status()
            milliseconds = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                answer = client.get(path, headers={"Accept": "text/html"})
                milliseconds.append(1000 * (time.perf_counter() - began))
            slowest = float(np.quantile(milliseconds, 0.99))
            name = path.replace(f"/projects/{project}", "/projects/N")
            taken[name] = (round(statistics.median(milliseconds), 1), round(slowest, 1), len(answer.content))
    rooms.ledger.close()
    return taken
