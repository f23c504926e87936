"""The real parts that tests run against, built on the code that `make run` uses, and a summary of what was absent."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from ml_backend.studio.client import Studio, StudioError
from stack import redis, studio
from stack.home import Home, StackError
from stack.ports import free_port
from stack.processes import Crew

hypothesis.settings.register_profile("nextlabel", deadline=None)  # a slow machine is no fault of the code
hypothesis.settings.load_profile("nextlabel")

LEGACY_TOKEN = "0123456789abcdef0123456789abcdef01234567"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CLUSTERS = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class RedisServer:
    """A real Redis of the tests' own, empty when the session begins."""

    url: str


@dataclass(frozen=True)
class StudioServer:
    """A real Label Studio. `data_dir` holds its database; what lies in `media_dir` it can serve as local files."""

    url: str
    token: str
    email: str
    password: str
    data_dir: Path
    media_dir: Path

    def client(self) -> Studio:
        return Studio(self.url, self.token)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Redis on a free port; its children end with the session, even if that is killed."""
    home = Home(tmp_path_factory.mktemp("redis"))
    try:
        service, url = redis.service(home, free_port())
    except StackError as error:
        pytest.fail(str(error))
    with Crew(home) as crew:
        crew.wait(crew.start(service))
        yield RedisServer(url)


@pytest.fixture(scope="session")
def studio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    """Label Studio on a free port, started once; or the running one that NEXTLABEL_TEST_STUDIO names.

    Several test modules share it: each makes its own projects.
    """
    running = os.environ.get("NEXTLABEL_TEST_STUDIO")
    if running:
        yield _running_studio(running.rstrip("/"), tmp_path_factory)
        return
    home = Home(tmp_path_factory.mktemp("studio"))
    port = free_port()
    try:
        service = studio.service(home, port)
    except StackError as error:
        pytest.fail(str(error))
    with Crew(home) as crew:
        crew.wait(crew.start(service))
        state = home.state
        yield StudioServer(
            f"http://127.0.0.1:{port}", state.token, state.email, state.password, home.studio, home.media
        )


def _running_studio(url: str, folders: pytest.TempPathFactory) -> StudioServer:
    token = os.environ.get("NEXTLABEL_TEST_STUDIO_TOKEN", LEGACY_TOKEN)
    data = os.environ.get("NEXTLABEL_TEST_STUDIO_DATA")
    folder = Path(data) if data else folders.mktemp("running-studio")
    password = os.environ.get("NEXTLABEL_TEST_STUDIO_PASSWORD", "password1")
    client = Studio(url, token)
    try:
        email = str(client.whoami()["email"])
    except StudioError as error:
        pytest.fail(f"NEXTLABEL_TEST_STUDIO is '{url}', which cannot be used: {error}")
    finally:
        client.close()
    return StudioServer(url, token, email, password, folder, folder)


def find_chromium() -> str | None:
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


def find_postgresql() -> Path | None:
    """The folder with the newest initdb and postgres."""
    versions = sorted(CLUSTERS.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path and shutil.which("postgres") else None


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium; skips where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip("Chromium is not installed (on Debian: apt install chromium)")
    return path


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """The folder of the socket of a private PostgreSQL, which refuses to run as root and then runs as postgres."""
    programs = find_postgresql()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (on Debian: apt install postgresql)")
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="nextlabel-pg-"))  # short: the path of a socket has at most 107 bytes
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "nextlabel", "-A", "trust", "-E", "UTF8", "--no-sync"]
    try:
        subprocess.run(initdb, user=user, cwd=folder, check=True, capture_output=True)
        command = [str(programs / "postgres"), "-D", str(data), "-k", str(folder), "-F", "-c", "listen_addresses="]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            _await_postgres(programs, folder, server)
            yield str(folder)
        finally:
            server.terminate()
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await_postgres(programs: Path, folder: Path, server: subprocess.Popen[bytes]) -> None:
    ready = [str(programs / "pg_isready"), "-q", "-h", str(folder)]
    deadline = time.monotonic() + 30
    while subprocess.run(ready, check=False).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"PostgreSQL did not start: {(folder / 'log').read_text()[-500:]}")


@pytest.fixture
def postgres_url(postgres_cluster: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    import psycopg

    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(host=postgres_cluster, user="nextlabel", dbname="postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        yield f"postgresql://nextlabel@/{name}?host={postgres_cluster}"
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which optional parts were here, and every skip with its reason: a green run says what it did not look at."""
    parts = {"Chromium": find_chromium(), "PostgreSQL": find_postgresql()}
    terminalreporter.section("what this run could not see", sep="-")
    for name, place in parts.items():
        terminalreporter.line(f"{name}: {'present' if place else 'absent, so its tests were skipped'}")
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.line(f"{len(skipped)} skipped{':' if skipped else ''}")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.line(f"  {report.nodeid}: {reason.removeprefix('Skipped: ')}")
