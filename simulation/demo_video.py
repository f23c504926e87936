"""The demo of videos: drives are made and imported, and the true boxes drawn on the frames that the queue serves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ml_backend.learners.average_precision import precision
from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from ml_backend.learners.pixels import cores
from ml_backend.loop.connect import connect
from ml_backend.loop.house import House, house
from ml_backend.loop.import_video import import_videos
from ml_backend.loop.import_wish import make_wish
from ml_backend.loop.learning import model_key
from ml_backend.loop.learning_boxes import make_detector
from ml_backend.loop.plan import ChosenSelector, Plan, Policy, default_plan, read_plan
from ml_backend.store.ledger import publication
from ml_backend.store.tables import Cycle, Project, PublishedItem
from ml_backend.studio.question import read_question
from ml_backend.studio.regions.label_map import map_labels
from simulation import figures
from simulation.annotator import Annotator, Task
from simulation.demo import DemoError, open_studio, wait_for_cycle
from simulation.road_scenes.production import Format, open_folder, render
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import FPS, SUBSETS, Drive, Kind, drives
from simulation.road_scenes.tasks import Answers, frame_tasks

STEP = 20  # frames between trainings
PATIENCE = 1800.0  # seconds for one cycle: a first training from nothing takes minutes on two cores
VIDEOS, SECONDS, EVERY = 6, 8.0, 5
TEST_VIDEOS, TEST_EVERY = 4, 10
SIZE = (320, 180)
LABELS = [kind.value.capitalize() for kind in Kind]
CONFIG = """<View>
  <Header value="Frame $frame of $video" size="5"/>
  <Image name="image" value="$image" zoomControl="true"/>
  <RectangleLabels name="box" toName="image">
{}
  </RectangleLabels>
</View>
""".format("\n".join(f'    <Label value="{label}" hotkey="{number}"/>' for number, label in enumerate(LABELS, 1)))


@dataclass(frozen=True)
class Point:
    """One cycle: frames learned from; mAP at IoU .5 on frames of unseen drives with its 95 % interval."""

    labels: int
    map50: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Test:
    """Frames of drives that no project holds, and their boxes."""

    images: Images
    boxes: LabeledBoxes


def run_video_demo(
    *, labels: int, seed: int, output: Path, console: Console, rooms: House | None = None, step: int = STEP,
    plan: Plan | None = None,
) -> list[Point]:  # fmt: skip
    """Makes scenes, imports them, labels in steps of `step` frames, measures each model; returns the curve.

    plan: of the project; the default of a project of frames if None, with a training at every step.
    """
    rooms = rooms or house()
    studio = open_studio(rooms)
    folder = rooms.settings.model_dir.absolute() / "demo-scenes"
    made = drives(SUBSETS["default"], videos=VIDEOS, seconds=SECONDS, size=SIZE, seed=seed)
    files = _produce(folder / f"seed-{seed}", made, console)
    truth = _truth(folder / f"seed-{seed}", made)
    test = _test(folder / f"test-{seed}", seed)
    number = int(studio.create_project(title="Demo: road scenes", label_config=CONFIG)["id"])
    done = import_videos(rooms, make_wish(files, number, every=EVERY))
    console.print(f"{done.added} frames of {done.videos} drives are in project {number}.", highlight=False)
    token = rooms.settings.label_studio_api_key or ""
    usual = default_plan(read_question(CONFIG), in_videos=True)
    apart = ChosenSelector(name="spaced", config={"distance": 1})  # every fifth frame is there: 1 is 0.2 s
    usual = usual.model_copy(update={"policy": Policy(new_labels=step, minutes=10_080), "selector": apart})
    project = connect(rooms, studio.url, token, number, author="demo", plan=plan or usual).project.id
    annotator = Annotator(studio, number, lambda task: truth[_place(task)])
    points = _label(rooms, annotator, project, labels, step, test, console)
    _save(points, output, seed)
    _conclude(rooms, project, f"{studio.url}/projects/{number}/data", output, console)
    return points


def _produce(folder: Path, made: Sequence[Drive], console: Console) -> list[Path]:
    """The drives as video files, each called as its drive; those that are there already stay."""
    left = open_folder(folder, list(made), Format.MP4)
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console) as bars:
        bar = bars.add_task("drawing drives", total=sum(drive.frames for drive in left))
        render(folder, left, Format.MP4, cores(), lambda more: bars.advance(bar, more))
    files = []
    for drive in made:
        file = folder / f"{drive.name}.mp4"
        with suppress(FileExistsError):
            file.symlink_to(folder / drive.name / "video.mp4")
        files.append(file)
    return files


def _truth(folder: Path, made: Sequence[Drive]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """(drive, frame) -> regions as a person would draw them, under the config's labels."""
    names = map_labels([kind.value for kind in Kind], LABELS)
    truth = {}
    for drive in made:
        one = json.loads((folder / drive.name / "coco.json").read_text(encoding="utf-8"))
        for task in frame_tasks(one, "", Answers.ANNOTATIONS):
            regions = task["annotations"][0]["result"]
            for region in regions:
                region["from_name"] = "box"
                region["value"]["rectanglelabels"] = [names[region["value"]["rectanglelabels"][0]]]
            truth[drive.name, int(task["data"]["frame"])] = regions
    return truth


def _place(task: Task) -> tuple[str, int]:
    """An imported video is called as its file and the beginning of its key."""
    return str(task["data"]["video"]).rpartition("-")[0], int(task["data"]["frame"])


def _test(folder: Path, seed: int) -> Test:
    """Frames of other drives."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    item: list[int] = []
    box: list[tuple[int, ...]] = []
    label: list[int] = []
    for drive in drives(SUBSETS["test"], videos=TEST_VIDEOS, seconds=SECONDS, size=SIZE, seed=seed + 1):
        scene = Scene(drive)
        for number in range(0, round(SECONDS * FPS), TEST_EVERY):
            frame = scene.frame(number)
            path = folder / f"{drive.name}-{number:04d}.png"
            if not cv2.imwrite(str(path), frame.picture):
                raise DemoError(f"{path} cannot be written; is the disk full?")
            for seen in frame.objects:
                item.append(len(paths))
                box.append(seen.box)
                label.append(list(Kind).index(seen.kind))
            paths.append(path)
    boxes = LabeledBoxes(np.array(item), np.array(box, dtype=np.float64).reshape(-1, 4), np.array(label))
    return Test(Images([path.name for path in paths], paths), boxes)


def _label(
    rooms: House, annotator: Annotator, project: int, labels: int, step: int, test: Test, console: Console
) -> list[Point]:
    points: list[Point] = []
    bars = Progress(
        TextColumn("labeling"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[says]}"),
        console=console,
    )
    with bars:
        bar = bars.add_task("labeling", total=labels, says="")
        done = 0
        while done < labels:
            given = annotator.label(min(step, labels - done), lambda: bars.advance(bar))
            if not given:
                break  # the queue is empty
            done += given
            bars.update(bar, says="training")
            point = _measure(rooms, wait_for_cycle(rooms, project, done, PATIENCE), test)
            if point is not None:
                points.append(point)
                bars.update(bar, says=f"mAP@.5 {point.map50:.3f} on unseen drives")
    return points


def _measure(rooms: House, cycle: Cycle, test: Test) -> Point | None:
    if cycle.evidence_cycle is None:
        return None
    model = rooms.arrays.read(model_key(cycle.project_id, cycle.evidence_cycle))
    if model is None:
        raise DemoError(f"The model of cycle {cycle.evidence_cycle} is gone from the array store.")
    with rooms.ledger.session() as session:
        _, plan = read_plan(session, cycle.project_id)
    found = make_detector(plan).detect(model, test.images)
    seen = precision(found, test.boxes, len(test.images), tuple(LABELS))
    return None if seen is None else Point(cycle.labels, seen.map50, seen.low, seen.high)


def _save(points: Sequence[Point], path: Path, seed: int) -> None:
    """The curve as PNG, and its numbers beside it as JSON."""
    values = {what: np.array([getattr(point, what) for point in points]) for what in ("map50", "low", "high")}
    line = figures.Line([point.labels for point in points], values["map50"], values["low"], values["high"])
    title = f"Road scenes, frames of {TEST_VIDEOS} unseen drives, one run (seed {seed})"
    figures.save(figures.lines({"NextLabel": line}, title=title, value="mAP@.5", baseline="NextLabel"), path)
    path.with_suffix(".json").write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n")


def _conclude(rooms: House, project: int, url: str, output: Path, console: Console) -> None:
    with rooms.ledger.session() as session:
        live = publication(session, project, session.get_one(Project, project).live_version)
        first = (
            session.query(PublishedItem).filter_by(publication_id=live.id).order_by(PublishedItem.rank).first()
            if live is not None
            else None
        )
    if first is not None:
        console.print(f"Next in the queue: task {first.task_id}, since {first.reason}.", highlight=False)
    console.print(f"Label on at {url}. Curve: {output} and {output.with_suffix('.json')}; one run, no comparison.")
