"""A webhook from its bytes to the loop: who sent it, what it hints at, and an answer before Label Studio gets bored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from ml_backend.loop import events, upkeep
from ml_backend.loop.answers import Answers
from ml_backend.loop.events import Hint
from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan
from ml_backend.server.auth import REFUSAL, SECRET_HEADER, secret_matches
from ml_backend.server.messages import MessageError, WebhookMessage, WebhookProject, read
from ml_backend.store.ledger import publication
from ml_backend.store.tables import Project
from ml_backend.studio.client import StudioError
from plugins.contract import PluginError

log = structlog.get_logger()

T = TypeVar("T")

PATIENCE = 0.015  # seconds an annotator's submit waits for us; the work goes on after the answer
TRAINING_PATIENCE = 10.0  # START_TRAINING comes from a button and wants to know
BACKLOG = 10_000  # events waiting for a ledger that is stuck; then we say so
OWN_SWITCH_SECONDS = 2.0  # a cycle that switches the queue tells the ledger a moment after Label Studio
SMALL = 64 * 1024  # bytes read on the event loop itself


@dataclass(frozen=True)
class Outcome:
    """What became of a webhook; `detail` says why where status is 400 or more."""

    action: str
    what: str
    status: int = 200
    detail: str = ""


class Hooks:
    """Takes webhooks; one thread writes, since SQLite has one writer and waiting in line beats colliding."""

    def __init__(self, house: House, answers: Answers) -> None:
        self.house, self.answers = house, answers
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._reader = ThreadPoolExecutor(2, thread_name_prefix="webhook")
        self._repairs = ThreadPoolExecutor(2, thread_name_prefix="reassert")
        self._waiting: set[asyncio.Future[Any]] = set()
        self._repairing: dict[int, asyncio.Task[None]] = {}

    def warm_up(self) -> None:
        """The ledger's first connection and the import of the plugins that plans name cost a second."""
        _ = self.house.ledger, self.house.arrays, self.house.features, self.house.queue
        try:
            Plan()
        except PluginError as error:
            log.error("default_plan_broken", error=str(error), remedy="repair the package, or save a plan without it")

    async def stop(self) -> None:
        """Events that were answered but not written yet are written; repairs are left to the reconcile."""
        for task in self._repairing.values():
            task.cancel()
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=5)
        for pool in (self._writer, self._reader, self._repairs):
            pool.shutdown(wait=False, cancel_futures=True)

    async def take(self, body: bytes, headers: Mapping[str, str], *, admitted: bool, open_house: bool) -> Outcome:
        """One webhook. admitted: it carries the right Basic credentials; open_house: none are asked for.

        Raises MessageError. An action that the loop has no use for is counted, whoever sends it.
        """
        message = (
            read(WebhookMessage, body)
            if len(body) < SMALL
            else await self._in(self._reader, lambda: read(WebhookMessage, body))
        )
        if message.action not in events.ACTIONS:
            return Outcome("unknown", "ignored")
        if message.project is None:
            raise MessageError("`project` is missing; switch on 'Send payload' of the webhook in Label Studio.")
        project = await self._project(message.project.key)
        if project is None:
            detail = f"Project '{message.project.key}' is not connected; run `nextlabel connect`."
            return Outcome(message.action, "refused", 404, detail)
        if not (admitted or _may(message.action, headers, project, open_house)):
            detail = f"Send the project's secret as {SECRET_HEADER} (`nextlabel connect` registers it). {REFUSAL}"
            return Outcome(message.action, "refused", 401, detail)
        if len(self._waiting) >= BACKLOG:
            return Outcome(message.action, "refused", 503, f"{BACKLOG} events wait for the ledger; the log says why.")
        return await self._receive(message, project)

    async def _project(self, key: str) -> Project | None:
        seen = self.answers.recent(key)
        return seen[1] if seen is not None else await self._in(self._reader, lambda: self.answers.project(key))

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def _receive(self, message: WebhookMessage, project: Project) -> Outcome:
        action, hints = message.action, hints_of(message)
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._writer, events.receive, self.house, project.id, action, hints)
        self._waiting.add(work)
        work.add_done_callback(self._written)
        if action == "PROJECT_UPDATED" and message.project is not None:
            self._watch(message.project, project)
        training = action == "START_TRAINING"
        done, _ = await asyncio.wait({work}, timeout=TRAINING_PATIENCE if training else PATIENCE)
        if not done:
            return Outcome(action, "accepted")
        if work.exception() is not None:
            return Outcome(action, "refused", 503, "The event could not be recorded; the log says why.")
        what = work.result()
        if training and what == "unavailable":
            detail = "Redis does not answer, so no training starts; check REDIS_URL."
            return Outcome(action, what, 503, detail)
        return Outcome(action, what)

    def _written(self, work: asyncio.Future[str]) -> None:
        self._waiting.discard(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            log.error("event_lost", error=f"{type(error).__name__}: {error}", remedy="the reconcile will catch up")

    # keeping the queue ours

    def _watch(self, theirs: WebhookProject, project: Project) -> None:
        """PROJECT_UPDATED never trains; it may mean that someone switched the queue away from us. The newest one
        tells how the project is now, so it takes the place of one that is still being looked at."""
        older = self._repairing.pop(project.id, None)
        if older is not None:
            older.cancel()
        if project.live_version is None or _agree(theirs, project):
            return
        task = asyncio.get_running_loop().create_task(self._repair(project.id, theirs))
        self._repairing[project.id] = task

    async def _repair(self, project_id: int, theirs: WebhookProject) -> None:
        if await self._in(self._repairs, lambda: self._is_ours(project_id, theirs.model_version)):
            await asyncio.sleep(OWN_SWITCH_SECONDS)
        try:
            await self._in(self._repairs, lambda: self._reassert(project_id, theirs))
        finally:
            if self._repairing.get(project_id) is asyncio.current_task():
                del self._repairing[project_id]

    def _is_ours(self, project_id: int, version: str | None) -> bool:
        with self.house.ledger.session() as session:
            return publication(session, project_id, version) is not None

    def _reassert(self, project_id: int, theirs: WebhookProject) -> None:
        with self.house.ledger.session() as session:
            now = session.get(Project, project_id)
        if now is None or now.state != "connected" or _agree(theirs, now):
            return
        try:
            done = upkeep.reassert(self.house, project_id)
        except StudioError as error:
            log.warning("reassert_failed", project=project_id, error=str(error), remedy="the reconcile tries again")
            return
        self.answers.forget_projects()
        log.info("queue_checked", project=project_id, found=theirs.model_version, outcome=done)


def hints_of(message: WebhookMessage) -> list[Hint]:
    """The annotations that it names, with their tasks where it tells them; tasks themselves are not listed, since a
    list of them only says that the pool changed."""
    named = (*message.annotation, *message.annotations)
    return [Hint(one.task_id, one.id, one.was_cancelled is True) for one in named]


def _may(action: str, headers: Mapping[str, str], project: Project, open_house: bool) -> bool:
    """The project's secret opens; without one START_TRAINING may pass where no Basic authentication is set up, since
    Label Studio sends it to the backend itself, with that backend's credentials or none."""
    given = headers.get(SECRET_HEADER)
    if given is not None:
        return secret_matches(given, project.webhook_secret)
    return open_house and action == "START_TRAINING"


def _agree(theirs: WebhookProject, project: Project) -> bool:
    shown = theirs.show_collab_predictions
    same_shown = shown is None or project.shown is None or shown == project.shown
    return theirs.model_version == project.live_version and same_shown
