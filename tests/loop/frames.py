"""Frames of road scenes in a project of Label Studio, and people who draw the true boxes."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from ml_backend.studio.regions.boxes import box_results
from ml_backend.studio.regions.config import BoxesConfig
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import SUBSETS, Kind, drives
from tests.loop.conftest import Loop

CLASSES = tuple(kind.value.capitalize() for kind in Kind)
CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">{}</RectangleLabels>
</View>""".format("".join(f'<Label value="{name}"/>' for name in CLASSES))
QUESTION = BoxesConfig("box", "image", "image", CLASSES)
SIZE = (192, 108)

Truth = dict[tuple[str, int], list[dict[str, Any]]]  # (video, frame) -> regions


def scenes(videos: int, frames: int, every: int = 3, seed: int = 0) -> tuple[list[dict[str, Any]], Truth]:
    """Data of tasks, every few frames of some drives, and the true regions of each."""
    data: list[dict[str, Any]] = []
    truth: Truth = {}
    for drive in drives(SUBSETS["default"], videos=videos, seconds=10, size=SIZE, seed=seed, oversampling=1):
        scene = Scene(drive)
        for number in range(0, frames * every, every):
            frame = scene.frame(number)
            buffer = io.BytesIO()
            Image.fromarray(frame.picture[..., ::-1]).save(buffer, "JPEG", quality=90)
            uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
            data.append({"image": uri, "video": drive.name, "frame": number + 1})
            boxes = np.array([seen.box for seen in frame.objects], dtype=np.float64).reshape(-1, 4)
            labels = [list(Kind).index(seen.kind) for seen in frame.objects]
            truth[drive.name, number + 1] = box_results(QUESTION, boxes, labels, None, *SIZE)
    return data, truth


def create(loop: Loop, videos: int, frames: int) -> Truth:
    """A project of frames, not connected yet."""
    data, truth = scenes(videos, frames)
    loop.number = int(loop.studio.create_project(title="Frames", label_config=CONFIG)["id"])
    loop.studio.import_tasks(loop.number, data)
    return truth


def label(loop: Loop, truth: Truth, count: int) -> list[dict[str, Any]]:
    """Draws the true boxes on the next tasks of the queue; returns the tasks as they were served."""
    served = []
    for _ in range(count):
        task = loop.studio.next_task(loop.number)
        assert task is not None, "the queue is empty"
        loop.studio.annotate(int(task["id"]), truth[task["data"]["video"], task["data"]["frame"]])
        served.append(task)
    return served
