"""A whole loop for one test: ledger, queue, backend and worker of its own; Label Studio and Redis are the session's."""

from __future__ import annotations

import base64
import io
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ml_backend.loop.connect import Connected, connect
from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan
from ml_backend.settings import Settings
from ml_backend.store.ledger import publication
from ml_backend.store.tables import Cycle, Project, PublishedItem
from ml_backend.studio.client import Studio
from stack.ports import free_port

ROOT = Path(__file__).parents[2]
CONFIG = (
    """<View><Image name="image" value="$image"/><Choices name="digit" toName="image">{}</Choices></View>""".format(
        "".join(f'<Choice value="{digit}"/>' for digit in range(10))
    )
)
USER, PASSWORD = "studio", "secret word"


def until(condition: Callable[[], Any], seconds: float = 60.0, what: str = "the condition") -> Any:
    """The first truthy value of a condition, asked again and again."""
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while time.monotonic() < deadline:
        if value := condition():
            return value
        pause.wait(0.05)
    raise AssertionError(f"{what} did not come true within {seconds:g} s")


def digit_images(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """n data URIs of scanned digits and their answers."""
    digits = load_digits()
    chosen = np.random.default_rng(seed).permutation(len(digits.target))[:n]
    uris = []
    for index in chosen:
        buffer = io.BytesIO()
        Image.fromarray((digits.images[index] * 15.9375).astype(np.uint8)).save(buffer, "PNG")
        uris.append("data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode())
    return uris, [str(digits.target[index]) for index in chosen]


@dataclass
class Loop:
    """One project in a real Label Studio, connected to a real backend with a real worker."""

    house: House
    studio: Studio
    environment: dict[str, str]
    logs: Path
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    project: int = 0  # in the ledger
    number: int = 0  # in Label Studio
    truth: dict[int, str] = field(default_factory=dict)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.logs / f"{arguments[0]}-{len(self.children)}.log").open("wb")
        command = [sys.executable, "-m", "cli", *arguments]
        child = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
        )
        self.children.append(child)
        return child

    def start_backend(self) -> subprocess.Popen[bytes]:
        child = self.start("serve")
        until(lambda: self.answers() or child.poll() is not None, what="the backend's /health")
        assert child.poll() is None, self.tail()
        return child

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.house.settings.backend_url}/health", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def tail(self) -> str:
        return "\n".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self.logs.glob("*.log")))

    def stop(self) -> None:
        for child in self.children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()

    def create(self, n: int = 120, *, config: str = CONFIG, **fields: Any) -> list[int]:
        """A project with n digits; returns the task ids in the order of import."""
        created = self.studio.create_project(title="Loop test", label_config=config, **fields)
        self.number = int(created["id"])
        uris, answers = digit_images(n)
        ids = self.studio.import_tasks(self.number, [{"image": uri} for uri in uris])
        self.truth = dict(zip(ids, answers, strict=True))
        return ids

    def connect(self, plan: Plan | None = None) -> Connected:
        done = connect(self.house, self.studio.url, self.studio.token, self.number, author="test", plan=plan)
        self.project = done.project.id
        return done

    def annotate(
        self, task: int, label: str | None = None, studio: Studio | None = None, **fields: Any
    ) -> dict[str, Any]:
        value = {"choices": [label or self.truth[task]]}
        region = {"from_name": "digit", "to_name": "image", "type": "choices", "value": value}
        return (studio or self.studio).annotate(task, [region], **fields)

    def label_some(self, count: int, seed: int = 0) -> list[int]:
        """Labels random tasks with their true answers."""
        chosen = random.Random(seed).sample(sorted(self.truth), count)
        for task in chosen:
            self.annotate(task)
        return chosen

    def order(self, version: str | None = None) -> list[int]:
        """Task ids of the live version's head as published."""
        with self.house.ledger.session() as session:
            project = session.get_one(Project, self.project)
            live = publication(session, self.project, version or project.live_version)
            assert live is not None
            rows = session.query(PublishedItem).filter_by(publication_id=live.id).order_by(PublishedItem.rank)
            return [row.task_id for row in rows]

    def last_cycle(self) -> Cycle | None:
        with self.house.ledger.session() as session:
            return session.query(Cycle).filter_by(project_id=self.project).order_by(Cycle.number.desc()).first()

    def published_since(self, number: int, seconds: float = 60.0) -> Cycle:
        """The first cycle after `number` that is published."""

        def done() -> Cycle | None:
            cycle = self.last_cycle()
            return cycle if cycle is not None and cycle.number > number and cycle.status == "published" else None

        try:
            return until(done, seconds, f"a cycle after {number}")  # type: ignore[no-any-return]  # until is untyped
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from error

    def row(self) -> Project:
        with self.house.ledger.session() as session:
            return session.get_one(Project, self.project)

    def next_ids(self, count: int, studio: Studio | None = None) -> list[int]:
        """What Label Studio's own queue serves, task after task, each submitted with its true answer."""
        served = []
        for _ in range(count):
            task = (studio or self.studio).next_task(self.number)
            assert task is not None, "the queue is empty"
            served.append(int(task["id"]))
            self.annotate(served[-1], studio=studio)
        return served


def sign_up(studio: Studio) -> Studio:
    """A further annotator of the same Label Studio, through the organization's invitation as a person would."""
    invitation = studio.call("GET", "/api/invite")["invite_url"]
    with httpx.Client(base_url=studio.url, follow_redirects=True, timeout=30) as browser:
        page = browser.get(invitation)
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token is not None, page.text[:500]
        form = {
            "csrfmiddlewaretoken": token.group(1),
            "email": f"annotator-{uuid.uuid4().hex[:8]}@example.com",
            "password": "password-12",
            "allow_newsletters": "false",
        }
        browser.post(str(page.url), data=form, headers={"Referer": studio.url}).raise_for_status()
        return Studio(studio.url, browser.get("/api/current-user/token").raise_for_status().json()["token"])


@pytest.fixture
def loop(studio_server: Any, redis_server: Any, tmp_path: Path) -> Iterator[Loop]:
    """Not connected yet; the backend and the worker are started by the test."""
    port = free_port()
    environment = {
        "MODEL_DIR": str(tmp_path / "model"),
        "REDIS_URL": redis_server.url,
        "NEXTLABEL_QUEUE": f"test-{port}",
        "PORT": str(port),
        "NEXTLABEL_URL": f"http://127.0.0.1:{port}",
        "NEXTLABEL_HOME": str(tmp_path),
        "BASIC_AUTH_USER": USER,
        "BASIC_AUTH_PASS": PASSWORD,
        "NEXTLABEL_RECONCILE_SECONDS": "2",
        "PYTHONUNBUFFERED": "1",
        "LABEL_STUDIO_URL": studio_server.url,
        "LABEL_STUDIO_API_KEY": studio_server.token,
        "LOCAL_FILES_DOCUMENT_ROOT": str(studio_server.media_dir),
    }
    settings = Settings(
        _env_file=None,
        model_dir=tmp_path / "model",
        redis_url=environment["REDIS_URL"],
        queue_prefix=environment["NEXTLABEL_QUEUE"],
        port=port,
        public_url=environment["NEXTLABEL_URL"],
        basic_auth_user=USER,
        basic_auth_pass=PASSWORD,
        label_studio_url=studio_server.url,
        label_studio_api_key=studio_server.token,
        local_files_document_root=studio_server.media_dir,
    )
    studio = Studio(studio_server.url, studio_server.token)
    loop = Loop(House(settings), studio, {**os.environ, **environment}, tmp_path)
    try:
        yield loop
    finally:
        loop.stop()
        studio.close()
        loop.house.ledger.close()
