"""What Prometheus reads: counters of the requests, summed over all server processes, and gauges from the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest, multiprocess, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_backend.loop.house import House
from ml_backend.loop.upkeep import remaining
from ml_backend.store.ledger import newest_cycle
from ml_backend.store.tables import Cycle, Problem, Project

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
PROTOCOL = frozenset({"/health", "/setup", "/predict", "/webhook", "/versions", "/metrics", "/train"})

requests = Counter("nextlabel_requests", "Requests by route and status.", ["route", "status"])
latency = Histogram("nextlabel_request_seconds", "Seconds until the answer, by route.", ["route"], buckets=BUCKETS)
events = Counter("nextlabel_webhook_events", "Webhooks by action and by what was done.", ["action", "outcome"])


class Measured:
    """Counts and times every request around an ASGI application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._timers = {route: latency.labels(route) for route in (*PROTOCOL, "/api", "other")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        route = _route(scope["path"])

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            if not scope["path"].endswith("/events"):  # a stream lasts as long as its page is open
                self._timers[route].observe(time.perf_counter() - started)
            requests.labels(route, status).inc()


def _route(path: str) -> str:
    if path in PROTOCOL:
        return path
    return "/api" if path.startswith("/api/") else "other"


class LedgerCollector:
    """Reads the gauges when it is asked, so that every process reports the same."""

    def __init__(self, house: House) -> None:
        self._house = house

    def collect(self) -> Iterator[Metric]:
        cycles = CounterMetricFamily("nextlabel_cycles", "Cycles.", labels=["project", "kind", "status"])
        problems = GaugeMetricFamily("nextlabel_problems", "Open problems.", labels=["project", "kind"])
        accuracy = GaugeMetricFamily("nextlabel_accuracy", "Accuracy of the last training.", labels=["project"])
        left = GaugeMetricFamily("nextlabel_queue_head_left", "Published items not labeled yet.", labels=["project"])
        with self._house.ledger.session() as session:
            for project in session.scalars(select(Project).where(Project.state != "gone")):
                name = project.key
                left.add_metric([name], remaining(session, project.id)[0])
                for kind, status, count in session.execute(_cycles(project.id)):
                    cycles.add_metric([name, kind, status], count)
                for kind, count in session.execute(_problems(project.id)):
                    problems.add_metric([name, kind], count)
                if (value := last_accuracy(session, project.id)) is not None:
                    accuracy.add_metric([name], value)
        yield from (cycles, problems, accuracy, left)


def _cycles(project_id: int) -> Select[str, str, int]:
    query = select(Cycle.kind, Cycle.status, func.count()).where(Cycle.project_id == project_id)
    return query.group_by(Cycle.kind, Cycle.status)


def _problems(project_id: int) -> Select[str, int]:
    query = select(Problem.kind, func.count()).where(Problem.project_id == project_id, Problem.solved_at.is_(None))
    return query.group_by(Problem.kind)


def last_accuracy(session: Session, project_id: int) -> float | None:
    newest = newest_cycle(session, project_id, kind="train", status="published")
    return newest.accuracy if newest is not None else None


def exposition(house: House) -> bytes:
    """The text that Prometheus scrapes; reads the ledger, so call it off the event loop."""
    counted: CollectorRegistry = REGISTRY
    if values.ValueClass is not values.MutexValue:  # several processes: sum what each keeps in its files
        counted = CollectorRegistry()
        multiprocess.MultiProcessCollector(counted)  # type: ignore[no-untyped-call]  # the library has no types here
    own = CollectorRegistry()
    own.register(LedgerCollector(house))
    return generate_latest(counted) + generate_latest(own)
