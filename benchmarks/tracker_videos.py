"""Videos with the true boxes of objects: CamVid, DAVIS and Crossing from NEXTLABEL_DATA.

CamVid's boxes come from class masks: they have no identity, so objects are boxes of a class joined where they overlap
in adjacent frames. DAVIS and Crossing have one object each. Nothing here is copied into the repository.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tracking_data import folder, overlaps
from plugins.video.detections import Detections, Frames
from plugins.video.frame_source import FrameReader, ImageFiles

Array = NDArray[Any]
CAMVID, DAVIS, CROSSING = "camvid_0016E5_15hz", "davis_road", "otb_crossing"
SAME = 0.3  # IoU from which a box of the next frame is the same object, each being the other's best


@dataclass(frozen=True)
class Video:
    """Frames 0 to F - 1 and (K,) true boxes: position of the frame, xyxy px, class, and number of the object."""

    name: str
    files: Mapping[int, Path]
    frame: Array
    box: Array
    label: Array
    identity: Array

    @property
    def frames(self) -> int:
        return len(self.files)

    @cached_property
    def reader(self) -> FrameReader:
        return ImageFiles(self.files)

    @property
    def detections(self) -> Detections:
        frames = Frames(np.arange(self.frames), video=np.full(self.frames, self.name))
        return Detections(frames, self.frame, self.box, np.ones(len(self.frame)), self.label)


def videos() -> list[Video]:
    """What is there of the three."""
    return [*_camvid(folder() / CAMVID), *_davis(folder() / DAVIS), *_crossing(folder() / CROSSING)]


def _camvid(place: Path) -> Iterator[Video]:
    if (place / "boxes_from_labels.csv").exists():
        rows = list(csv.DictReader((place / "boxes_from_labels.csv").open(encoding="utf-8")))
        classes = sorted({row["class"] for row in rows})
        frame = np.array([int(row["frame"]) for row in rows])
        label = np.array([classes.index(row["class"]) for row in rows])
        box = _boxes(rows)
        files = _files(place / "frames")
        yield Video("CamVid", files, frame, box, label, identities(frame, box, label))


def _davis(place: Path) -> Iterator[Video]:
    if (place / "boxes.csv").exists():
        table = list(csv.DictReader((place / "boxes.csv").open(encoding="utf-8")))
        for name in sorted({row["seq"] for row in table} & {path.name for path in place.iterdir()}):
            rows = [row for row in table if row["seq"] == name]
            frame, files = np.array([int(row["frame"]) for row in rows]), _files(place / name / "frames")
            one = np.zeros(len(rows), dtype=np.int64)
            yield Video(f"DAVIS {name}", files, frame, _boxes(rows), one, one)


def _crossing(place: Path) -> Iterator[Video]:
    if (place / "groundtruth_rect.txt").exists():
        text = (place / "groundtruth_rect.txt").read_text(encoding="utf-8").replace("\t", ",")
        box = np.array([[float(value) for value in line.split(",")] for line in text.split()])
        files, one = _files(place / "img"), np.zeros(len(box), dtype=np.int64)
        box = np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)
        yield Video("Crossing", files, np.arange(len(box)), box, one, one)


def _boxes(rows: list[dict[str, str]]) -> Array:
    box = np.array([[float(row[side]) for side in "xywh"] for row in rows])
    return np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)


def _files(place: Path) -> Mapping[int, Path]:
    return dict(enumerate(sorted(place.glob("*.jpg"))))


def identities(frame: Array, box: Array, label: Array) -> Array:
    """(K,) number of the object, the same in adjacent frames for boxes of a class that overlap by IoU > SAME, each
    being the other's best."""
    found = np.arange(len(frame))
    for now in np.unique(frame):
        a, b = np.flatnonzero(frame == now), np.flatnonzero(frame == now + 1)
        shared = overlaps(box[a], box[b]) * (label[a][:, None] == label[b])
        for i, j in zip(*np.nonzero(shared > SAME), strict=True):
            if shared[i, j] == shared[i].max() == shared[:, j].max():
                found[b[j]] = found[a[i]]
    return found
