"""Label Studio's JSON export of a project where people draw boxes, read as the product reads the project itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from ml_backend.loop.box_pool import ORIENTATION, TURNED, Frames
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.labels import Reading
from ml_backend.studio.question import read_any_config
from ml_backend.studio.regions.answers import read_boxes_task
from ml_backend.studio.regions.boxes import Boxes, boxes_of
from ml_backend.studio.regions.config import BoxesConfig
from ml_backend.studio.regions.reading import RegionError
from simulation.datasets.boxes import BoxDataset
from simulation.datasets.contract import DatasetConfig, DatasetError
from simulation.datasets.export import Left, with_files
from simulation.datasets.export_files import FilesBelow
from simulation.datasets.export_tasks import ASK, read_export


def asks_for_boxes(config: DatasetConfig) -> bool:
    """Whether an export's labeling config asks for boxes. Where it is not given, choices are looked for."""
    return config.config is not None and _read(config.config) is not None


def _read(path: Path) -> BoxesConfig | None:
    """The boxes that a labeling config asks for; None where it asks something else. Raises DatasetError."""
    try:
        found = read_any_config(path.read_text(encoding="utf-8-sig"))
    except ConfigError as error:
        raise DatasetError(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); {ASK}.") from error
    return found if isinstance(found, BoxesConfig) else None


def load_box_export(config: DatasetConfig) -> BoxDataset:
    """Tasks of a JSON export with a readable answer and an image, in the order of the file. Raises DatasetError.

    Of several answers ground truth counts, else the latest. Videos and frame numbers are those of the tasks' data, as
    `nextlabel import-video` writes them. The note counts what was left out, and why.
    """
    export, question = read_export(config.path or Path()), _read(config.config or Path())
    if question is None:
        raise DatasetError(f"{config.config} asks for no boxes on images.")
    if export.minimal:
        raise DatasetError(f"{export.path} is JSON-MIN, which lacks the size of images; export the project as JSON.")
    root = config.images or export.path.parent
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; set `images` to the one that holds the export's images.")
    left = Left()
    readings: dict[str, Reading] = {}
    for task in export.rows:
        reading, which = read_boxes_task(task, question), f"task {task.get('id')}"
        if reading.url is None or (reading.status == "labeled" and reading.regions is None):
            kind, message = reading.problem or ("unusable", which)
            left.add(kind, message.rstrip("."))
        elif reading.status != "labeled":
            left.add(reading.status, which)
        else:
            readings.setdefault(reading.url, reading)
    found = with_files([(url, url) for url in readings], FilesBelow(root), left)
    kept = []
    for checked, url in found:
        size = _size(checked.path)
        try:
            kept.append((checked, readings[url], size, boxes_of({"result": readings[url].regions}, question, *size)))
        except RegionError as error:
            left.add(error.kind, str(error).rstrip("."))
    if not kept:
        raise DatasetError(f"{export.path} has no image with boxes below {root}; left out: {left or 'nothing'}.")
    total = sum(left.counts.values()) + len(kept)
    note = f"{len(kept)} of {total} tasks of {export.path.name}" + (f"; left out: {left}." if left.counts else ".")
    return BoxDataset(
        export.path.stem,
        Images([checked.content or "" for checked, *_ in kept], [checked.path for checked, *_ in kept]),
        _frames([(reading, size) for _, reading, size, _ in kept]),
        _joined([boxes for *_, boxes in kept]),
        question.classes,
        None,
        any(reading.video is not None for _, reading, *_ in kept),
        note,
    )


def _size(path: Path) -> tuple[int, int]:
    """Width and height in px of an image as it is shown."""
    with Image.open(path) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(ORIENTATION, 1) >= TURNED else (width, height)


def _frames(read: list[tuple[Reading, tuple[int, int]]]) -> Frames:
    names = [reading.video or f"image {place}" for place, (reading, _) in enumerate(read)]
    return Frames(
        np.array([size for _, size in read], dtype=np.int64),
        np.array(names, dtype=np.str_),
        np.array([reading.frame or 1 for reading, _ in read], dtype=np.int64),
    )


def _joined(boxes: list[Boxes]) -> LabeledBoxes:
    return LabeledBoxes(
        np.repeat(np.arange(len(boxes)), [len(each.label) for each in boxes]),
        np.concatenate([each.box for each in boxes]),
        np.concatenate([each.label for each in boxes]),
    )
