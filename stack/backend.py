"""The backend and its worker as children, and the questions the stack asks the backend."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import httpx
import psutil
import redis
from rq import Worker

from ml_backend.server.first_start import first_link as make_first_link
from ml_backend.settings import Settings
from stack.home import Home, StackError
from stack.leftovers import family
from stack.processes import Service, python_path


def environment(home: Home, redis_url: str) -> dict[str, str]:
    """The settings of the backend, its worker and the command line. Those set by the caller and not named here pass."""
    state = home.state
    return {
        "LABEL_STUDIO_URL": state.studio_url,
        "LABEL_STUDIO_API_KEY": state.token,
        "BASIC_AUTH_USER": state.basic_user,
        "BASIC_AUTH_PASS": state.basic_password,
        "NEXTLABEL_HOST": "127.0.0.1",
        "PORT": str(state.backend_port),
        "NEXTLABEL_URL": state.backend_url,
        "MODEL_DIR": str(home.backend),
        "REDIS_URL": redis_url,
        "LOCAL_FILES_DOCUMENT_ROOT": str(home.media),
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli", *arguments]


def answers(url: str) -> bool:
    """Whether a NextLabel backend answers there."""
    try:
        return httpx.get(f"{url}/health", timeout=2.0).is_success
    except httpx.HTTPError:
        return False


def services(home: Home, redis_url: str) -> tuple[Service, Service]:
    """The backend and one worker. A worker has no address: it is there when it listens on Redis."""
    settings = {**os.environ, **environment(home, redis_url)}
    url = home.state.backend_url
    return (
        Service("backend", command("serve"), settings, lambda _: answers(url), patience=60.0),
        Service("worker", command("worker"), settings, lambda pid: listens(redis_url, pid), patience=60.0),
    )


def listens(redis_url: str, pid: int) -> bool:
    """Whether the process, or one it started, is registered with RQ; one left over from a killed run does not count."""
    try:
        with redis.Redis.from_url(redis_url, socket_connect_timeout=1.0, socket_timeout=5.0) as connection:
            registered = {worker.pid for worker in Worker.all(connection=connection)}
        return not registered.isdisjoint(member.pid for member in family(psutil.Process(pid)))
    except (redis.RedisError, psutil.Error):
        return False


def connect(home: Home, redis_url: str, project: int) -> str:
    """Runs `nextlabel connect` and returns what it said; StackError with its words if it failed."""
    state = home.state
    done = subprocess.run(
        command("connect", state.studio_url, state.token, str(project)),
        env={**os.environ, **environment(home, redis_url), "PYTHONPATH": python_path()},
        cwd=home.path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise StackError(f"The project could not be connected:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def first_link(home: Home) -> str | None:
    """Where the first admin makes an account, None once there is one; the link that the server logged is void then."""
    return make_first_link(Settings(_env_file=None, model_dir=home.backend, public_url=home.state.backend_url))


def project(home: Home, number: int) -> dict[str, Any]:
    """What the backend knows of a Label Studio project; {} while it knows nothing or does not answer."""
    state = home.state
    with httpx.Client(auth=(state.basic_user, state.basic_password), timeout=10.0) as client:
        try:
            listed = client.get(f"{state.backend_url}/api/projects")
            known = [row["id"] for row in listed.json() if row["studio_id"] == number] if listed.is_success else []
            answer = client.get(f"{state.backend_url}/api/projects/{known[-1]}") if known else None
        except httpx.HTTPError:
            return {}
    return dict(answer.json()) if answer is not None and answer.is_success else {}
