"""What Label Studio calls: /health, /setup, /predict, /webhook, /versions. Plain routes, since it calls them often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from pydantic_core import to_json
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ml_backend.loop.answers import WAITING, Answer, Answers, Asked, waiting
from ml_backend.loop.extra_params import Adopted, adopt
from ml_backend.loop.house import House
from ml_backend.server import metrics
from ml_backend.server.auth import CHALLENGE, REFUSAL, Guard
from ml_backend.server.messages import BODY_LIMIT, MessageError, MessageT, PredictMessage, SetupMessage, read
from ml_backend.server.webhook import Hooks, Outcome
from ml_backend.store.tables import Project, Publication

log = structlog.get_logger()

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]

HEALTH = to_json({"status": "UP", "model_class": "NextLabel", "v2": True})
LARGE = 256 * 1024  # bytes; longer bodies are read in a thread, so that the others do not wait
OUTSIDE_SECONDS = 0.5  # a ledger that answers later than that does not hold up /setup
TRAIN_IS_GONE = "Label Studio trains through /webhook with START_TRAINING since 1.4.1; POST /train is gone."


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(content), status, headers, media_type="application/json")


def refuse(detail: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return answer({"detail": detail}, status, headers)


async def body_of(request: Request) -> bytes:
    """The body, or MessageError where it is longer than BODY_LIMIT."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_LIMIT:
            raise MessageError(f"The body is longer than {BODY_LIMIT} bytes; send less at a time.", 413)
        parts.append(part)
    return b"".join(parts)


class Protocol:
    """The routes and what they share: answers, the threads that may block, the webhooks under way."""

    def __init__(self, house: House, guard: Guard) -> None:
        self.house, self.guard = house, guard
        self.answers = Answers(house)
        self.hooks = Hooks(house, self.answers)
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="ledger")
        self._inference = ThreadPoolExecutor(4, thread_name_prefix="inference")

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/predict", self._guarded(self.predict), methods=["POST"]),
            Route("/webhook", self._polite(self.webhook), methods=["POST"]),
            Route("/setup", self._guarded(self.setup), methods=["POST"]),
            Route("/versions", self._guarded(self.versions), methods=["GET"]),
            Route("/metrics", self._guarded(self.metrics), methods=["GET"]),
            Route("/train", self._guarded(self.train), methods=["POST"]),
        ]

    def warm_up(self) -> None:
        """Opens the ledger and imports the plugins now, so that the first request does not wait for it."""
        self.hooks.warm_up()

    async def stop(self) -> None:
        await self.hooks.stop()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._inference.shutdown(wait=False, cancel_futures=True)

    # the doors

    def _polite(self, handler: Handler) -> Handler:
        """What goes wrong becomes a status and a sentence."""

        async def polite(request: Request) -> Response:
            try:
                return await handler(request)
            except MessageError as error:
                return refuse(str(error), error.status)
            except ClientDisconnect:
                return refuse("The client left before its body was complete.", 400)
            except SQLAlchemyError as error:
                log.error("ledger_unavailable", path=request.url.path, error=str(error))
                return refuse("The ledger does not answer; see the log, then try again.", 503, {"Retry-After": "5"})

        return polite

    def _guarded(self, handler: Handler) -> Handler:
        polite = self._polite(handler)

        async def guarded(request: Request) -> Response:
            if not self.guard.admits(request.headers.get("authorization")):
                return refuse(REFUSAL, 401, CHALLENGE)
            return await polite(request)

        return guarded

    # the routes

    async def health(self, _request: Request) -> Response:
        """Open, and touches nothing that could be slow or down."""
        return Response(HEALTH, media_type="application/json")

    async def setup(self, request: Request) -> Response:
        """The version whose predictions Label Studio need not ask for again.

        Without a live ranking it is WAITING, which is also what /predict then stamps: with a null, Label Studio would
        store another copy of the same empty prediction at every "Retrieve predictions".
        """
        message = await self._read(SetupMessage, request)
        project = await self._project(message.project)
        if project is None:
            detail = f"Project '{message.project}' is not connected; run `nextlabel connect`."
            return answer({"model_version": WAITING, "detail": detail})
        self._adopt(project, message.extra_params)
        return answer({"model_version": project.live_version or WAITING})

    async def predict(self, request: Request) -> Response:
        """One result per task, always with a score and a version; see loop.answers."""
        message = await self._read(PredictMessage, request)
        project = await self._project(message.project)
        results = await self._results(project, message)
        version = project.live_version if project is not None else None
        return answer({"results": results, "model_version": version or WAITING})

    async def webhook(self, request: Request) -> Response:
        """Records and answers at once; what was started is told if it is known by then."""
        admitted = not self.guard.open and self.guard.admits(request.headers.get("authorization"))
        body = await body_of(request)
        outcome: Outcome = await self.hooks.take(body, request.headers, admitted=admitted, open_house=self.guard.open)
        metrics.events.labels(outcome.action, outcome.what).inc()
        if outcome.status >= 400:
            return refuse(outcome.detail, outcome.status, CHALLENGE if outcome.status == 401 else None)
        return answer({"status": outcome.what})

    async def versions(self, request: Request) -> Response:
        """Published versions, newest first; of one project where the query names it (Label Studio names none)."""
        key = request.query_params.get("project")
        found = await self._in_thread(lambda: self._versions(key))
        return answer({"versions": found})

    async def metrics(self, _request: Request) -> Response:
        text = await self._in_thread(lambda: metrics.exposition(self.house))
        return Response(text, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def train(self, _request: Request) -> Response:
        return refuse(TRAIN_IS_GONE, 410)

    # their parts

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def _read(self, kind: type[MessageT], request: Request) -> MessageT:
        body = await body_of(request)
        return read(kind, body) if len(body) < LARGE else await self._in_thread(lambda: read(kind, body))

    async def _project(self, key: str | None) -> Project | None:
        if key is None:
            return None
        seen = self.answers.recent(key)
        return seen[1] if seen is not None else await self._in_thread(lambda: self.answers.project(key))

    def _adopt(self, project: Project, params: Any) -> None:
        """A plan that stands in extra_params, put in force behind the answer: Label Studio waits 3 s for that."""
        if params is not None:
            work = asyncio.get_running_loop().run_in_executor(self._readers, adopt, self.house, project.id, params)
            work.add_done_callback(_report_adoption)

    async def _results(self, project: Project | None, message: PredictMessage) -> list[Answer]:
        asked = [Asked(task.id, task.data) for task in message.tasks]
        config = message.label_config
        if project is None or project.live_version is None:
            return [waiting()] * len(asked)
        if self.answers.has_ranking(project) and len(asked) < 1000:
            answers = self.answers.stored(project, asked, config)
        else:
            answers = await self._in_thread(lambda: self.answers.stored(project, asked, config))
        missing = {position: asked[position] for position, held in enumerate(answers) if held is None}
        found = await self._infer(project, missing, config) if missing else {}
        return [held or found.get(position) or waiting() for position, held in enumerate(answers)]

    async def _infer(self, project: Project, missing: dict[int, Asked], config: str | None) -> dict[int, Answer]:
        """What could be inferred in time; the threads stop by themselves soon after."""
        found: dict[int, Answer] = {}
        if not self.answers.can_infer(project, config):
            return found
        seconds = self.house.settings.predict_seconds
        deadline = time.monotonic() + seconds
        work = asyncio.get_running_loop().run_in_executor(
            self._inference, self.answers.infer, project, missing, config, deadline, found
        )
        done, _ = await asyncio.wait({work}, timeout=seconds)
        if not done:
            log.warning("predict_out_of_time", project=project.id, asked=len(missing), answered=len(found))
        work.add_done_callback(_report)
        return dict(found)

    def _versions(self, key: str | None) -> list[str]:
        query = select(Publication.model_version).where(Publication.state.in_(("live", "retired")))
        if key is not None:
            project = self.answers.project(key)
            query = query.where(Publication.project_id == (project.id if project is not None else 0))
        with self.house.ledger.session() as session:
            return list(session.scalars(query.order_by(Publication.id.desc()).limit(1000)))


def _report_adoption(work: asyncio.Future[Adopted]) -> None:
    if not work.cancelled() and (error := work.exception()) is not None:
        log.error("extra_params_failed", error=f"{type(error).__name__}: {error}")


def _report(work: asyncio.Future[None]) -> None:
    """An inference that failed left its tasks without an answer; say why, once."""
    if not work.cancelled() and (error := work.exception()) is not None:
        log.error("inference_failed", error=f"{type(error).__name__}: {error}")
