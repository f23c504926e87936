"""A folder of images: one sub-folder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml_backend.learners.contract import Images
from simulation.datasets.contract import Dataset, DatasetConfig, DatasetError
from simulation.datasets.files import check_all


def load_folder(config: DatasetConfig) -> Dataset:
    """path/class/file: classes and files in alphabetical order, hidden ones left out. Deeper folders are not read."""
    root = config.path or Path()
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; set `path` to one that holds a sub-folder of images for each class.")
    listed = [(path, folder.name) for folder in _visible(root) if folder.is_dir() for path in _visible(folder)]
    checked = check_all([path for path, _ in listed if path.is_file()])
    named = dict(listed)
    used = [each for each in checked if each.content is not None]
    spoiled = [each for each in checked if each.content is None]
    classes = tuple(sorted({named[each.path] for each in used}))
    if len(classes) < 2:
        why = f" ({spoiled[0].problem})" if spoiled else ""
        raise DatasetError(
            f"{root} holds images of {len(classes)} classes{why}; give it at least two sub-folders with images."
        )
    index = {name: position for position, name in enumerate(classes)}
    note = f"Images below {root}."
    if spoiled:
        note = f"Images below {root}; {len(spoiled)} files were left out: {spoiled[0].problem}"
    return Dataset(
        root.resolve().name or "folder",
        Images([each.content or "" for each in used], [each.path for each in used]),
        np.array([index[named[each.path]] for each in used], dtype=np.int64),
        classes,
        None,
        note,
    )


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
