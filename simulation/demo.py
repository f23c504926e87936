"""The demo: the same digits labeled twice through Label Studio, once in our order and once in random order."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rq import Worker
from sqlalchemy import select

from ml_backend.learners.contract import Accuracy, Images
from ml_backend.loop.connect import connect
from ml_backend.loop.house import House, house
from ml_backend.loop.learning import make_learner, model_key
from ml_backend.loop.plan import ChosenScorer, Plan, Policy
from ml_backend.store.tables import Cycle
from ml_backend.studio.client import Studio
from plugins.contract import IntArray
from simulation import digits, figures
from simulation.annotator import Annotator
from simulation.curve import Curve, areas, hits, labels_to_reach

TEST_IMAGES = 500
STEP = 20  # labels between trainings
PATIENCE = 180.0  # seconds for one cycle
POLL = 0.1


class DemoError(ValueError):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Point:
    """One cycle: labels learned from, accuracy on the test images with its 95 % interval, what led the queue next."""

    labels: int
    accuracy: float
    low: float
    high: float
    phase: str


@dataclass
class Arm:
    """One of the two projects and its curve."""

    name: str
    plan: Plan
    points: list[Point] = field(default_factory=list)
    project: int = 0  # in the ledger
    studio_project: int = 0

    @property
    def curve(self) -> Curve:
        labels = np.array([point.labels for point in self.points], dtype=np.int64)
        return Curve(labels, np.array([[point.accuracy for point in self.points]]))


def run_demo(
    *, labels: int, seed: int, output: Path, console: Console, rooms: House | None = None
) -> dict[str, list[Point]]:
    """Labels two fresh projects in parallel, draws their curves and says what the order saved. Returns the curves."""
    rooms = rooms or house()
    studio = open_studio(rooms)
    files, answers, test = _split(rooms, seed)
    policy = Policy(new_labels=STEP, minutes=10_080)
    random_plan = Plan(scorers=(ChosenScorer(name="random"),), cold_start=None, policy=policy, seed=seed)
    arms = [Arm("NextLabel", Plan(policy=policy, seed=seed)), Arm("random order", random_plan)]
    bars = Progress(
        TextColumn("{task.description:12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("labels"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[says]}"),
        console=console,
    )
    with bars, ThreadPoolExecutor(len(arms)) as threads:
        for arm in arms:
            _create(rooms, studio, arm, files)
        bar = {arm.name: bars.add_task(arm.name, total=labels, says="") for arm in arms}
        running = [
            threads.submit(_label, rooms, arm, labels, answers, test, _reporter(bars, bar[arm.name], arm))
            for arm in arms
        ]
        for future in running:
            future.result()
    curves = {arm.name: arm.points for arm in arms}
    _draw(arms, output, f"Scanned digits, {TEST_IMAGES} unseen images, one run (seed {seed})")
    _conclude(arms, output, console)
    return curves


def open_studio(rooms: House) -> Studio:
    """The Label Studio of this installation, with a worker at hand. Raises DemoError."""
    config = rooms.settings
    if not config.label_studio_url or not config.label_studio_api_key:
        raise DemoError(
            "Nothing says where Label Studio is; start `make run` first, or set LABEL_STUDIO_URL and _API_KEY."
        )
    try:
        workers = Worker.all(connection=rooms.redis)
    except RedisError as error:
        raise DemoError(f"Redis does not answer ({error}); start `make run` first.") from error
    if not workers:
        raise DemoError("No worker is running; start `make run` (or `nextlabel worker`) first.")
    if config.local_files_document_root is None:
        raise DemoError("LOCAL_FILES_DOCUMENT_ROOT is not set; it must be the folder that Label Studio serves.")
    return Studio(config.label_studio_url, config.label_studio_api_key)


def _split(rooms: House, seed: int) -> tuple[list[str], dict[str, str], tuple[Images, IntArray]]:
    """File names for the projects, all answers, and test images that no project will hold."""
    root = rooms.settings.local_files_document_root or Path()
    digits.write(root / digits.FOLDER)
    answers = digits.answers()
    order = np.random.default_rng(seed).permutation(sorted(answers)).tolist()
    held_out, files = order[:TEST_IMAGES], order[TEST_IMAGES:]
    paths = [root / digits.FOLDER / name for name in held_out]
    images = Images([digits.content(path) for path in paths], paths)
    return files, answers, (images, np.array([int(answers[name]) for name in held_out]))


def _create(rooms: House, studio: Studio, arm: Arm, files: list[str]) -> None:
    root = rooms.settings.local_files_document_root or Path()
    created = studio.create_project(title=f"Demo: {arm.name}", label_config=digits.LABEL_CONFIG)
    arm.studio_project = int(created["id"])
    digits.allow_files(studio, arm.studio_project, root)
    studio.import_tasks(arm.studio_project, [{"image": digits.url(name)} for name in files])
    token = rooms.settings.label_studio_api_key or ""
    connected = connect(rooms, studio.url, token, arm.studio_project, author="demo", plan=arm.plan)
    arm.project = connected.project.id


def _label(
    rooms: House,
    arm: Arm,
    labels: int,
    answers: dict[str, str],
    test: tuple[Images, IntArray],
    report: Callable[[int], None],
) -> None:
    """Labels in steps; after each the loop's own webhook, policy and worker make the next queue."""
    own = House(rooms.settings)
    studio = open_studio(own)
    annotator = Annotator(studio, arm.studio_project, lambda task: digits.choice(answers[digits.name_of(task)]))
    done = 0
    while done < labels:
        done += annotator.label(min(STEP, labels - done), lambda: report(1))
        cycle = wait_for_cycle(own, arm.project, done, PATIENCE)
        point = _measure(own, cycle, arm.plan, *test)
        if point is not None:
            arm.points.append(point)
        report(0)


def _measure(rooms: House, cycle: Cycle, plan: Plan, images: Images, answers: IntArray) -> Point | None:
    """The point of a cycle, None if it trained no model. answers: (n,) class index of each image."""
    if cycle.evidence_cycle is None:
        return None
    model = rooms.arrays.read(model_key(cycle.project_id, cycle.evidence_cycle))
    if model is None:
        raise DemoError(f"The model of cycle {cycle.evidence_cycle} is gone from the array store.")
    right = hits(make_learner(plan, cycle.project_id), model, images, answers, rooms.features)
    seen = Accuracy.from_hits(int(right.sum()), len(answers))
    return Point(cycle.labels, seen.value, seen.low, seen.high, str(cycle.metrics.get("phase", "")))


def _draw(arms: list[Arm], path: Path, title: str) -> None:
    """Saves the curves as PNG, and their numbers beside it as JSON."""
    shown = {
        arm.name: figures.Line(
            [point.labels for point in arm.points],
            *(np.array([getattr(point, what) for point in arm.points]) for what in ("accuracy", "low", "high")),
        )
        for arm in arms
    }
    drawn = figures.lines(shown, title=title, value="accuracy on unseen images", baseline=arms[-1].name)
    figures.save(drawn, path)
    numbers = {arm.name: [asdict(point) for point in arm.points] for arm in arms}
    path.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n")


def wait_for_cycle(rooms: House, project: int, labels: int, seconds: float) -> Cycle:
    """The published cycle of a project (in the ledger) that learned from at least so many labels. Raises DemoError."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < deadline:
        with rooms.ledger.session() as session:
            query = select(Cycle).where(Cycle.project_id == project, Cycle.labels >= labels)
            cycle = session.scalar(query.where(Cycle.status == "published").order_by(Cycle.number.desc()).limit(1))
        if cycle is not None:
            return cycle
        pause.wait(POLL)
    raise DemoError(
        f"Project {project} was not re-ranked within {seconds:.0f} s after {labels} labels; "
        "`nextlabel doctor` says why."
    )


def _reporter(bars: Progress, bar: TaskID, arm: Arm) -> Callable[[int], None]:
    def report(labels: int) -> None:
        newest = arm.points[-1] if arm.points else None
        says = f"accuracy {newest.accuracy:.3f} (next: {newest.phase})" if newest else ""
        bars.update(bar, advance=labels, says=says)

    return report


def _conclude(arms: list[Arm], output: Path, console: Console) -> None:
    ours, twin = arms
    if not ours.points or not twin.points:
        console.print("Too few labels for a curve: labels of two classes are needed.")
        return
    goal = twin.points[-1]
    needed = labels_to_reach(ours.curve.labels, ours.curve.mean, goal.accuracy)
    console.print(f"Random order reached {goal.accuracy:.1%} with {goal.labels} labels.")
    if needed is None:
        console.print(f"Our order did not reach that in this run; it ended at {ours.points[-1].accuracy:.1%}.")
    else:
        saved = goal.labels - needed
        console.print(f"Our order reached it with {needed} labels: [bold]{saved} labels saved[/bold] in this run.")
    ahead, behind = float(areas(ours.curve)[0]), float(areas(twin.curve)[0])
    console.print(f"Mean accuracy on the way: {ahead:.1%} against {behind:.1%}.")
    console.print(
        f"Curves: {output} and {output.with_suffix('.json')}. One run; another seed moves them by a few points, and "
        "`nextlabel simulate` runs many."
    )
