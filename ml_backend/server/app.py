"""The application: Label Studio's protocol, the admin interface, logs, and errors that are sentences."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ml_backend.logs import configure_logs
from ml_backend.loop.house import House
from ml_backend.server import admin, levers, login, media, pages, static_files, steering
from ml_backend.server.access import require_access
from ml_backend.server.auth import Guard
from ml_backend.server.health_check import Doctor
from ml_backend.server.machines import Lookout
from ml_backend.server.metrics import Measured
from ml_backend.server.pages.frame import LoginNeededError, error_page, login_needed, visitor, wants_page
from ml_backend.server.pages.live import Pulse
from ml_backend.server.protocol import Protocol
from ml_backend.settings import Settings
from plugins.contract import PluginError

log = structlog.get_logger()


def create_app(house: House, *, alone: bool = False) -> FastAPI:
    """The application on an open house. Raises AuthError where only one half of the credentials is set.

    alone: the process serves and does nothing else, so it may be tuned for short answers.
    """
    guard = Guard(house.settings)
    protocol = Protocol(house, guard)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(protocol.warm_up)
        app.state.pulse = Pulse(house)
        if alone:
            _answer_quickly()
            _end_streams(app.state.pulse.stopping)
        log.info("serving", url=house.settings.backend_url, basic_auth=not guard.open)
        yield
        await protocol.stop()

    app = FastAPI(
        title="NextLabel",
        summary="Serves the most valuable item next.",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,  # they fetch scripts from another host
        redoc_url=None,
    )
    app.state.house, app.state.guard, app.state.protocol = house, guard, protocol
    app.router.routes.extend(protocol.routes())  # first, since they are asked for most
    app.include_router(admin.router)
    app.include_router(levers.router)
    app.include_router(media.router)
    app.include_router(steering.router)
    app.add_api_route("/openapi", lambda: JSONResponse(app.openapi()), dependencies=[Depends(require_access)])
    app.state.lookout, app.state.doctor = Lookout(house), Doctor(house)
    routers, app.state.tabs = pages.found()
    app.include_router(login.router)
    app.include_router(static_files.router)
    for router in routers:
        app.include_router(router, dependencies=[Depends(visitor)])  # so that no page can forget to ask who looks
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(LoginNeededError, _login_needed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(SQLAlchemyError, _ledger_down)
    app.add_exception_handler(PluginError, _plugin_broken)
    app.add_middleware(Measured)
    return app


def application(settings: Settings) -> FastAPI:
    """For a server process: its own house and logs."""
    configure_logs(settings.log_level)
    return create_app(House(settings), alone=True)


def _answer_quickly() -> None:
    """Without this, p99 is made of pauses: a full garbage collection over all imported libraries takes 0.2 s, and a
    thread that works on the ledger keeps the event loop waiting for 5 ms at a time."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.001)


def _answer(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A refusal: a page for a browser that looks at pages, JSON for everyone else."""
    if wants_page(request) and not request.url.path.startswith(("/api/", "/openapi")):
        response = error_page(request, status, detail)
        response.headers.update(headers or {})
        return response
    return JSONResponse({"detail": detail}, status, headers=headers)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error.detail, str) and error.status_code >= 400:
        return _answer(request, error.status_code, error.detail, dict(error.headers or {}))
    return await http_exception_handler(request, error)


async def _login_needed(request: Request, _error: Exception) -> Response:
    return login_needed(request)


def _end_streams(stopping: asyncio.Event) -> None:
    """At SIGTERM the server waits for its connections, and live pages would hold theirs open for ever. Its own
    handler comes after ours."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        theirs = signal.getsignal(number)

        def stop(number: int, frame: FrameType | None, theirs: Any = theirs) -> None:
            loop.call_soon_threadsafe(stopping.set)
            if callable(theirs):
                theirs(number, frame)

        signal.signal(number, stop)


async def _invalid(request: Request, error: Exception) -> Response:
    """FastAPI's list of errors as one sentence on the first."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    given = first.get("input")
    shown = f" = {given!r:.80}" if isinstance(given, (str, int, float, bool)) else ""
    return _answer(request, 422, f"{where}{shown}: {first['msg']}.")


async def _ledger_down(request: Request, error: Exception) -> Response:
    log.error("ledger_unavailable", path=request.url.path, error=str(error))
    detail = "The ledger does not answer; see the log, then try again."
    return _answer(request, 503, detail, {"Retry-After": "5"})


async def _plugin_broken(request: Request, error: Exception) -> Response:
    return _answer(request, 503, str(error))
