"""The application: Label Studio's protocol, the admin interface, logs, and errors that are sentences."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.logs import configure_logs
from ml_backend.loop.house import House
from ml_backend.server import admin, media
from ml_backend.server.auth import Guard, require_basic
from ml_backend.server.metrics import Measured
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
        if alone:
            _answer_quickly()
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
    app.include_router(media.router)
    app.add_api_route("/openapi", lambda: JSONResponse(app.openapi()), dependencies=[Depends(require_basic)])
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


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """FastAPI's list of errors as one sentence on the first."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    given = first.get("input")
    shown = f" = {given!r:.80}" if isinstance(given, (str, int, float, bool)) else ""
    return JSONResponse({"detail": f"{where}{shown}: {first['msg']}."}, 422)


async def _ledger_down(request: Request, error: Exception) -> JSONResponse:
    log.error("ledger_unavailable", path=request.url.path, error=str(error))
    detail = "The ledger does not answer; see the log, then try again."
    return JSONResponse({"detail": detail}, 503, headers={"Retry-After": "5"})


async def _plugin_broken(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503)
