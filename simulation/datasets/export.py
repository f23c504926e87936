"""Label Studio's export of a single-choice image classification, read as the product reads the project itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ml_backend.learners.contract import Images
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.labels import ImageClassification, read_config, read_task
from simulation.datasets.contract import Dataset, DatasetConfig, DatasetError
from simulation.datasets.export_files import FilesBelow, Found
from simulation.datasets.export_tasks import ASK, Export, data_of, infer, read_export, tasks_of
from simulation.datasets.files import Checked, check_all


@dataclass
class Left:
    """What was left out: why -> how many, and the first of each."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, why: str, which: str) -> None:
        self.counts[why] += 1
        self.first.setdefault(why, which)

    def __str__(self) -> str:
        return "; ".join(f"{count} {why} (first: {self.first[why]})" for why, count in sorted(self.counts.items()))


def load_export(config: DatasetConfig) -> Dataset:
    """Tasks of a JSON or JSON_MIN export with one usable answer and an image, in the order of the file.

    Ground truth counts before the majority, and the latest answer settles a tie, as in a connected project. Images are
    files below `config.images` whose path ends as the task says. The note counts what was left out, and why.
    """
    export = read_export(config.path or Path())
    root = config.images or export.path.parent
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; set `images` to the one that holds the export's images.")
    files = FilesBelow(root)
    question = _read_config(config.config) if config.config else infer(export, _data_key(export, files))
    left = Left()
    labeled = _labeled(export, question, left)
    used = with_files(labeled, files, left)
    if len({label for _, label in used}) < 2:
        raise DatasetError(
            f"{export.path} has {len(used)} labeled images of less than two classes below {root}; left out: "
            f"{left or 'nothing'}."
        )
    total = sum(left.counts.values()) + len(used)
    return Dataset(
        export.path.stem,
        Images([each.content or "" for each, _ in used], [each.path for each, _ in used]),
        np.array([question.classes.index(label) for _, label in used], dtype=np.int64),
        question.classes,
        None,
        f"{len(used)} of {total} tasks of {export.path.name}"
        + (f"; left out: {left}." if left.counts else ".")
        + "".join(f" {note}" for note in question.notes),
    )


def _read_config(path: Path) -> ImageClassification:
    try:
        return read_config(path.read_text(encoding="utf-8-sig"))
    except ConfigError as error:
        raise DatasetError(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); {ASK}.") from error


def _data_key(export: Export, files: FilesBelow) -> str:
    """The one key of the data under which files are named."""
    values: dict[str, list[str]] = {}
    for data in data_of(export):
        for key, value in data.items():
            if isinstance(value, str):
                values.setdefault(key, []).append(value)
    found = [key for key, named in values.items() if files.find(named).paths]
    if len(found) == 1:
        return found[0]
    if not found:
        raise DatasetError(f"{export.path} names no file that lies below {files.root}; set `images` to their folder.")
    raise DatasetError(f"{export.path} names files under {' and '.join(found)}; {ASK}.")


def _labeled(export: Export, question: ImageClassification, left: Left) -> list[tuple[str, str]]:
    """(what the task says of its image, its label) of each task with an answer."""
    found = []
    for task in tasks_of(export, question):
        reading, which = read_task(task, question), f"task {task.get('id')}"
        if reading.url is None or (reading.status == "labeled" and reading.label is None):
            kind, message = reading.problem or ("unusable", which)
            left.add(kind, message.rstrip("."))
        elif reading.label is None:
            left.add(reading.status, which)
        else:
            found.append((reading.url, reading.label))
    return found


def with_files(labeled: list[tuple[str, str]], files: FilesBelow, left: Left) -> list[tuple[Checked, str]]:
    found: Found = files.find(url for url, _ in labeled)
    missing, ambiguous = set(found.missing), set(found.ambiguous)
    paths = list(found.paths.values())
    checked = {each.path: each for each in check_all(paths)}
    used = []
    for url, label in labeled:
        if url in missing:
            left.add("image_missing", url[:200])
        elif url in ambiguous:
            left.add("image_ambiguous", url[:200])
        elif (each := checked[found.paths[url]]).content is None:
            left.add("image_unreadable", each.problem.rstrip("."))
        else:
            used.append((each, label))
    return used
