"""From an annotator's POST, or an admin's Save, to the first next task of the new ranking: Label Studio, Redis, worker.

Saving changes the scorer and trains nothing. The default plan with frozen features, one annotation per cycle. Split
into the phases that the ledger keeps; "start" is webhook, queue and fork, "next" is Label Studio's own answer. Images:
MNIST from NEXTLABEL_DATA, else scikit-learn's digits enlarged to 28 px with noise of their own.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from ml_backend.loop.connect import connect
from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan, Policy, changed_plan
from ml_backend.loop.switch import switch_plan
from ml_backend.settings import Settings
from ml_backend.store.ledger import newest_cycle
from ml_backend.store.tables import Cycle, Project, PublishedItem
from ml_backend.studio.client import Studio
from stack import backend, redis, studio
from stack.home import Home
from stack.ports import free_port
from stack.processes import Crew

TITLE = "seconds from an annotation to the next task of the new ranking"
SIZES = (1_797, 10_000)
FIRST_LABELS = 200
REPEATS = 7
TARGETS = {1_797: 5.0, 10_000: 10.0}
CLASSES = "".join(f'<Choice value="{digit}"/>' for digit in range(10))
CONFIG = f'<View><Image name="image" value="$image"/><Choices name="digit" toName="image">{CLASSES}</Choices></View>'


def run() -> dict[str, Any]:
    """One row per size: median and maximum over the repeats, and the median of each phase."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="nextlabel-turnaround-") as folder:
        home = Home(Path(folder))
        with Crew(home) as crew:
            rooms, client = _start(home, crew)
            for size in SIZES:
                rows.append(_measure(home, rooms, client, size))
            client.close()
            rooms.ledger.close()
    return {"rows": rows, "repeats": REPEATS, "first_labels": FIRST_LABELS}


def _start(home: Home, crew: Crew) -> tuple[House, Studio]:
    state = home.state
    state.studio_port = free_port()
    state.redis_port = free_port(avoid=frozenset({state.studio_port}))
    state.backend_port = free_port(avoid=frozenset({state.studio_port, state.redis_port}))
    label_studio = crew.start(studio.service(home, state.studio_port))
    service, url = redis.service(home, state.redis_port)
    crew.wait(crew.start(service))
    for service in backend.services(home, url):
        crew.wait(crew.start(service))
    crew.wait(label_studio)
    settings = Settings(
        _env_file=None,
        model_dir=home.backend,
        redis_url=url,
        port=state.backend_port,
        public_url=state.backend_url,
        basic_auth_user=state.basic_user,
        basic_auth_pass=state.basic_password,
        local_files_document_root=home.media,
    )
    return House(settings), Studio(state.studio_url, state.token)


def _images(size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], str]:
    if size == SIZES[0]:
        digits = load_digits()
        return (digits.images * 15.9375).astype(np.uint8), digits.target, "scikit-learn's digits, 8 px"
    path = Path(os.environ.get("NEXTLABEL_DATA", "../shared/data")) / "mnist" / "mnist.npz"
    if path.exists():
        with np.load(path) as data:
            return data["x_train"][:size], data["y_train"][:size].astype(np.int64), "MNIST, 28 px"
    digits = load_digits()
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(digits.target), size=size)
    large = np.kron(digits.images[chosen] * 15.0, np.ones((1, 3, 3)))
    return (large + rng.integers(0, 15, large.shape)).astype(np.uint8), digits.target[chosen], "digits, enlarged"


def _measure(home: Home, rooms: House, client: Studio, size: int) -> dict[str, Any]:
    images, answers, source = _images(size)
    folder = home.media / f"images-{size}"
    folder.mkdir()
    for index, image in enumerate(images):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        (folder / f"{index}.png").write_bytes(buffer.getvalue())
    number = int(client.create_project(title=f"Turnaround {size}", label_config=CONFIG)["id"])
    client.call(
        "POST", "/api/storages/localfiles/", json={"project": number, "path": str(folder), "use_blob_urls": True}
    )
    urls = [{"image": f"/data/local-files/?d={folder.name}/{index}.png"} for index in range(size)]
    tasks = client.import_tasks(number, urls)
    truth = dict(zip(tasks, answers.tolist(), strict=True))
    for task in np.random.default_rng(0).permutation(tasks)[:FIRST_LABELS].tolist():
        client.annotate(task, _region(truth[task]))
    plan = Plan(policy=Policy(new_labels=1, minutes=10_000))
    began = time.perf_counter()
    project = connect(rooms, client.url, client.token, number, author="benchmark", plan=plan).project
    first = time.perf_counter() - began
    turns = [_turn(rooms, client, project, truth) for _ in range(REPEATS + 1)][1:]  # the first warms the worker
    totals = [turn["total"] for turn in turns]
    phases = {name: round(statistics.median(turn[name] for turn in turns), 3) for name in turns[0]}
    return {
        "items": size,
        "images": source,
        "median_s": round(statistics.median(totals), 2),
        "max_s": round(max(totals), 2),
        "target_s": TARGETS[size],
        **{f"{name}_s": value for name, value in phases.items() if name != "total"},
        "connect_s": round(first, 1),
        **_saves(rooms, client, project, plan, truth),
    }


def _saves(rooms: House, client: Studio, project: Project, plan: Plan, truth: dict[int, int]) -> dict[str, Any]:
    """From a saved change of the scorer to the next task of the new order; labels start no training meanwhile."""
    paused, seconds = changed_plan(plan, {"policy": {**plan.policy.model_dump(), "paused": True}}), []
    for turn in range(REPEATS + 1):
        scorer = ("entropy", "margin")[turn % 2]
        with rooms.ledger.session() as session:
            before = session.get_one(Project, project.id).live_version
        began = time.perf_counter()
        switch_plan(rooms, project.id, changed_plan(paused, {"scorers": [{"name": scorer}]}), author="benchmark")
        while client.project(project.studio_id)["model_version"] == before:
            time.sleep(0.02)
        served = client.next_task(project.studio_id)
        seconds.append(time.perf_counter() - began)
        if served is not None:
            client.annotate(int(served["id"]), _region(truth[int(served["id"])]))  # lets go of the task
    return {"save_median_s": round(statistics.median(seconds[1:]), 2), "save_max_s": round(max(seconds[1:]), 2)}


def _turn(rooms: House, client: Studio, project: Project, truth: dict[int, int]) -> dict[str, float]:
    served = client.next_task(project.studio_id)
    if served is None:
        raise RuntimeError("the queue is empty")
    with rooms.ledger.session() as session:
        before = session.get_one(Project, project.id).live_version
        number = (newest_cycle(session, project.id) or Cycle(number=0)).number
    began = time.perf_counter()
    client.annotate(int(served["id"]), _region(truth[int(served["id"])]))
    while client.project(project.studio_id)["model_version"] == before:
        time.sleep(0.02)
    asked = time.perf_counter()
    following = client.next_task(project.studio_id)
    ended = time.perf_counter()
    cycle = _finished(rooms, project, number)
    with rooms.ledger.session() as session:
        order = session.query(PublishedItem).filter_by(task_id=int(following["id"]) if following else 0)
        if not any(item.rank == 0 for item in order):
            raise RuntimeError("Label Studio did not serve the head of the new ranking")
    spent = {name: float(seconds) for name, seconds in cycle.seconds.items()}
    total = ended - began
    return {"total": total, **spent, "start": asked - began - sum(spent.values()), "next": ended - asked}


def _finished(rooms: House, project: Project, after: int) -> Cycle:
    while True:
        with rooms.ledger.session() as session:
            cycle = newest_cycle(session, project.id)
        if cycle is not None and cycle.number > after and cycle.status != "running":
            return cycle
        time.sleep(0.02)


def _region(label: int) -> list[dict[str, Any]]:
    return [{"from_name": "digit", "to_name": "image", "type": "choices", "value": {"choices": [str(label)]}}]
