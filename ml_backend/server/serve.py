"""The server: one port, as many processes as WORKERS says, and a graceful end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from ml_backend.settings import Settings

STOP_SECONDS = 10  # requests under way get this long after SIGTERM
METRICS = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is imported


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Ends with one sentence where the port is taken or the settings are wrong."""
    from ml_backend.server.auth import AuthError, Guard
    from ml_backend.server.first_start import first_link, greeting

    try:
        Guard(settings)
        listening = listen(settings.host, settings.port)
    except (AuthError, OSError) as error:
        raise SystemExit(str(error)) from None
    if (address := first_link(settings)) is not None:
        sys.stderr.write(greeting(address) + "\n")
    if settings.workers > 1:
        os.environ[METRICS] = str(fresh_folder(settings.model_dir.absolute() / "metrics"))
    config = uvicorn.Config(
        partial(_application, settings),
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        lifespan="on",
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=75,
    )
    if settings.workers > 1:
        Multiprocess(config, sockets=[listening]).run()
        return
    signal.signal(signal.SIGTERM, _leave)  # uvicorn stops gracefully, then raises the signal again for us
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        return


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket, or OSError whose message is a sentence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        why = error.strerror or str(error)
        raise OSError(f"{host}:{port} cannot be served ({why}); set PORT or NEXTLABEL_HOST to a free one.") from None
    listening.set_inheritable(True)
    return listening


def fresh_folder(path: Path) -> Path:
    """Empty, so that the counters of an earlier server are not added to ours."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def _application(settings: Settings) -> object:
    """Imported here, in the process that serves: prometheus_client looks for its folder when it is imported."""
    from ml_backend.server.app import application

    return application(settings)
