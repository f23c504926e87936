"""A tiny set of road scenes with their true boxes, on which detectors are tried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import Area, Drive
from tests.learners.conftest import images_of

CLASSES = ("pedestrian", "cyclist", "car")


@dataclass(frozen=True)
class Scenes:
    """n frames as files, their boxes, and the drive of each."""

    images: Images
    boxes: LabeledBoxes
    groups: NDArray[np.str_]

    def part(self, start: int, end: int) -> Scenes:
        items = np.arange(start, end)
        return Scenes(self.images.take(items), self.boxes.of(items), self.groups[items])


def scenes(folder: Path, n: int, width: int = 160, height: int = 90, step: int = 5, seed: int = 3) -> Scenes:
    """Frames `step` apart of drives through a city, 24 of each."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    item, box, label, groups = [], [], [], []
    for number in range(-(-n // 24)):
        drive = Drive(name=f"drive-{number}", area=Area.CITY, seed=seed + number, frames=24 * step)
        scene = Scene(drive.model_copy(update={"width": width, "height": height}))
        for t in range(0, 24 * step, step):
            if len(paths) == n:
                break
            frame = scene.frame(t)
            drawn = [thing for thing in frame.objects if thing.kind.value in CLASSES]
            item += [len(paths)] * len(drawn)
            box += [thing.box for thing in drawn]
            label += [CLASSES.index(thing.kind.value) for thing in drawn]
            groups.append(drive.name)
            paths.append(folder / f"{number}-{t}.jpg")
            cv2.imwrite(str(paths[-1]), np.ascontiguousarray(frame.picture[..., :3]))
    boxes = LabeledBoxes(np.array(item), np.array(box, dtype=np.float64).reshape(-1, 4), np.array(label))
    return Scenes(images_of(paths), boxes, np.array(groups))
