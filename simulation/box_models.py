"""What trials of frames keep on the disk: a seed's first training, for all methods, and each trial's last model."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ml_backend.learners.detector import Found
from ml_backend.store.arrays import Arrays
from simulation.study import StudyError

PARTS = ("item", "box", "score", "label")


@dataclass(frozen=True, eq=False)
class Looked:
    """One training: its model, the evidence columns of pool and labeled frames, what it sees on the test frames, the
    detector's own (mAP, low, high), and how long it took."""

    model: Arrays
    columns: Arrays
    test: Found
    estimate: tuple[float, float, float] | None
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def keep(path: Path, looked: Looked) -> None:
    """Writes one training as a file, whole or not at all."""
    about = json.dumps({"estimate": looked.estimate, "notes": looked.notes, "seconds": looked.seconds})
    arrays: dict[str, Any] = {f"model.{name}": value for name, value in looked.model.items()}
    arrays |= {f"columns.{name}": value for name, value in looked.columns.items()}
    arrays |= {f"test.{part}": getattr(looked.test, part) for part in PARTS}
    write_arrays(path, {**arrays, "about": np.array(about)})


def recall(path: Path) -> Looked | None:
    """The training in a file; None if there is none."""
    if not path.is_file():
        return None
    with np.load(path) as arrays:
        parts: dict[str, Arrays] = {"model": {}, "columns": {}, "test": {}}
        for name in arrays.files:
            kind, _, rest = name.partition(".")
            if rest:
                parts[kind][rest] = arrays[name]
        about = json.loads(str(arrays["about"]))
    estimate = None if about["estimate"] is None else tuple(about["estimate"])
    return Looked(
        parts["model"], parts["columns"], Found(**parts["test"]), estimate, tuple(about["notes"]), about["seconds"]
    )


def keep_model(folder: Path, cycle: int, model: Arrays) -> None:
    """Keeps the model that the next cycle goes on from; of those before it one, for a cycle that is done again."""
    write_arrays(_model(folder, cycle), model)
    _model(folder, cycle - 2).unlink(missing_ok=True)


def model_before(folder: Path, cycle: int) -> Arrays:
    """The model of the cycle before. Raises StudyError if it is gone: a trial that went on without would differ."""
    path = _model(folder, cycle - 1)
    if not path.is_file():
        raise StudyError(
            f"{path} is gone, from which cycle {cycle} would go on; delete the trial's .jsonl to run it anew."
        )
    return read_arrays(path)


def _model(folder: Path, cycle: int) -> Path:
    return folder / f"model-{cycle}.npz"


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """A file of named arrays, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    part.replace(path)


def read_arrays(path: Path) -> Arrays:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}
