"""Road scenes as a data set: drawn on demand into the cache folder, each video once, every so many frames of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from ml_backend.loop.box_pool import Frames
from simulation.datasets.boxes import BoxDataset
from simulation.datasets.contract import DatasetConfig, DatasetError
from simulation.datasets.places import cache_folder
from simulation.datasets.scenes_config import POOL, TEST, Scenes
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import SUBSETS, Drive, Kind, SceneError, drives

CLASSES = tuple(kind.value for kind in Kind)
QUALITY = 92  # of JPEG
TRUTH = "truth.npz"  # written last: it says that a video is finished


def load_road_scenes(config: DatasetConfig) -> BoxDataset:
    """The frames of all videos in order, those to label first. Raises DatasetError."""
    scenes = config.scenes or Scenes()
    folder = cache_folder() / "road_scenes" / scenes.key
    try:
        made = [(drive, name in TEST) for name in (*POOL, *TEST) for drive in _drives(scenes, name)]
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # several processes may ask for them
            for drive, _ in made:
                if not (folder / drive.name / TRUTH).is_file():
                    _draw(folder / drive.name, drive, scenes.stride)
    except SceneError as error:
        raise DatasetError(str(error)) from error
    except OSError as error:
        raise DatasetError(f"{folder} cannot be written ({error.strerror}); set NEXTLABEL_CACHE.") from error
    return _read(folder, made, scenes)


def _drives(scenes: Scenes, name: str) -> list[Drive]:
    videos = getattr(scenes, name)
    if not videos:
        return []
    return drives(
        SUBSETS[name.replace("_", "-")],
        videos=videos,
        seconds=scenes.seconds,
        size=(scenes.width, scenes.height),
        seed=scenes.seed,
        oversampling=scenes.oversampling,
    )


def _draw(folder: Path, drive: Drive, stride: int) -> None:
    """JPEG files named by their frame, from 1, and the truth about them."""
    folder.mkdir(exist_ok=True)
    scene = Scene(drive)
    numbers, item, box, label = list(range(0, drive.frames, stride)), [], [], []
    for place, t in enumerate(numbers):
        frame = scene.frame(t)
        if not cv2.imwrite(str(_file(folder, t + 1)), frame.picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY]):
            raise DatasetError(f"{_file(folder, t + 1)} cannot be written; is the disk full?")
        for seen in frame.objects:
            item.append(place)
            box.append(seen.box)
            label.append(CLASSES.index(seen.kind.value))
    part = folder / f".{TRUTH}"
    with part.open("wb") as file:
        np.savez(
            file,
            frame=np.array(numbers, dtype=np.int64) + 1,
            item=np.array(item, dtype=np.int64),
            box=np.array(box, dtype=np.float64).reshape(-1, 4),
            label=np.array(label, dtype=np.int64),
        )
    part.replace(folder / TRUTH)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.jpg"


def _read(folder: Path, made: list[tuple[Drive, bool]], scenes: Scenes) -> BoxDataset:
    truths = [dict(np.load(folder / drive.name / TRUTH)) for drive, _ in made]
    lengths = [len(truth["frame"]) for truth in truths]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    paths = [
        _file(folder / drive.name, number)
        for (drive, _), truth in zip(made, truths, strict=True)
        for number in truth["frame"].tolist()
    ]
    test = np.flatnonzero(np.repeat([tested for _, tested in made], lengths))
    boxes = LabeledBoxes(
        np.concatenate([start + truth["item"] for start, truth in zip(starts, truths, strict=True)]),
        np.concatenate([truth["box"] for truth in truths]),
        np.concatenate([truth["label"] for truth in truths]),
    )
    return BoxDataset(
        "road scenes",
        Images([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths], paths),
        Frames(
            np.tile(np.array([scenes.width, scenes.height], dtype=np.int64), (len(paths), 1)),
            np.repeat([drive.name for drive, _ in made], lengths),
            np.concatenate([truth["frame"] for truth in truths]),
        ),
        boxes,
        CLASSES,
        test.astype(np.int64),
        True,
        f"{len(made)} drives of {scenes.seconds:g} s at {scenes.width} x {scenes.height}, 1 frame in {scenes.stride}, "
        f"drawn by code in the manner of SYNTHIA-AL; {len(boxes.item)} boxes",
    )
