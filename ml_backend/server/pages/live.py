"""Live pages: a stream of server-sent events that says when a project has changed, so that the page asks again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.loop.house import House
from ml_backend.server.admin import Known
from ml_backend.store.runs import CycleRun
from ml_backend.store.tables import Change, Cycle, Problem, Project

router = APIRouter(include_in_schema=False)

EVERY = 1.0  # seconds between two looks
ALIVE = 15  # looks without a change, after which a comment keeps proxies from hanging up
LONGEST = 3600.0  # seconds; the browser then connects again, and must be logged in still
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Stamp = tuple[object, ...]


class Pulse:
    """Looks at the ledger at most once a second for each project, however many pages are open."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._seen: dict[int | None, tuple[float, Stamp]] = {}
        self._locks: dict[int | None, asyncio.Lock] = {}
        self.stopping = asyncio.Event()

    async def stamp(self, project_id: int | None) -> Stamp:
        """What differs when something changed; of every project where none is named."""
        async with self._locks.setdefault(project_id, asyncio.Lock()):
            found = self._seen.get(project_id)
            if found is not None and time.monotonic() - found[0] < EVERY * 0.9:
                return found[1]
            stamp = await asyncio.to_thread(self._read, project_id)
            self._seen[project_id] = (time.monotonic(), stamp)
            return stamp

    def _read(self, project_id: int | None) -> Stamp:
        """Rows by primary key and maxima of indexed columns, so that it costs the same at 100 000 tasks."""
        with self._house.ledger.session() as session:
            query = select(Project.id).where(Project.id == project_id) if project_id else select(Project.id)
            rows: list[object] = []
            for number in session.scalars(query.order_by(Project.id)).all():
                project = session.get_one(Project, number)
                rows += [number, project.state, project.live_version, project.watermark, project.fresh_labels]
                newest = select(Cycle.id, Cycle.status, Cycle.phase).where(Cycle.project_id == number)
                cycle = session.execute(newest.order_by(Cycle.number.desc()).limit(1)).first()
                rows.append(tuple(cycle) if cycle is not None else None)
                run = session.get(CycleRun, cycle[0]) if cycle is not None else None
                rows.append((len(run.log), run.log[-1:], run.cancelled_by) if run is not None else None)
                problems = select(func.count(), func.max(Problem.last_seen), func.max(Problem.solved_at))
                rows.append(tuple(session.execute(problems.where(Problem.project_id == number)).one()))
                rows.append(session.scalar(select(func.max(Change.id)).where(Change.project_id == number)))
        return tuple(map(str, rows))

    async def events(self, project_id: int | None, last: Stamp) -> AsyncIterator[str]:
        """One message at each change since the stamp `last`. Ends with the server, or after an hour."""
        quiet, ends = 0, time.monotonic() + LONGEST
        yield "retry: 3000\n\n"
        while time.monotonic() < ends and not await self._pause():
            try:
                stamp = await self.stamp(project_id)
            except SQLAlchemyError:  # the ledger is away; the page that asks again will say so
                continue
            quiet += 1
            if stamp != last:
                last, quiet = stamp, 0
                yield "event: changed\ndata: 1\n\n"
            elif quiet >= ALIVE:
                quiet = 0
                yield ": still here\n\n"

    async def _pause(self) -> bool:
        """A look's pause; whether the server stops meanwhile."""
        try:
            await asyncio.wait_for(self.stopping.wait(), EVERY)
        except TimeoutError:
            return False
        return True


def events_of(project_id: int | None) -> str:
    """Where a page listens: to one project, or to all."""
    return f"/projects/{project_id}/events" if project_id is not None else "/events"


async def _stream(request: Request, project_id: int | None) -> StreamingResponse:
    """Looks before the answer begins: a page asks again when its stream opens, and hears what comes after."""
    pulse: Pulse = request.app.state.pulse
    try:
        last = await pulse.stamp(project_id)
    except SQLAlchemyError:  # the ledger is away; the first look that succeeds is a change
        last = ()
    return StreamingResponse(pulse.events(project_id, last), media_type="text/event-stream", headers=HEADERS)


@router.get("/events")
async def all_events(request: Request) -> StreamingResponse:
    return await _stream(request, None)


@router.get("/projects/{project_id}/events")
async def events(request: Request, project: Known) -> StreamingResponse:
    return await _stream(request, project.id)
