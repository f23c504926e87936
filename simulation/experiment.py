"""A study's directory and the processes that fill it: any number of them, on one machine or as RQ jobs on many.

Every process walks over the trials and takes those that are neither finished nor taken; a lock per trial says so, and
the system frees it when its holder dies. So there is no state but the files, and a killed study goes on where it was.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import yaml
from filelock import FileLock, Timeout
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs

from simulation import provenance
from simulation.beginning import AnyDataset, begin, measure_of, parts_of
from simulation.datasets.contract import DatasetConfig
from simulation.datasets.loading import load_any
from simulation.study import Study, StudyError, Trial, parse_study
from simulation.trial import Cycle, Stopped, check_size, read_cycles, run_trial

STUDY, PROVENANCE, TRIALS, FEATURES = "study.yaml", "provenance.json", "trials", "features"
MARGIN = 1.3  # a cycle takes so much longer than the one before, at most


@dataclass(frozen=True)
class Progress:
    """How far a trial is."""

    trial: Trial
    cycles: int
    of: int
    error: str | None = None

    @property
    def finished(self) -> bool:
        return self.cycles >= self.of


def create(folder: Path, study: Study) -> None:
    """Makes the directory of a study, or checks that it holds this study on this data and may go on."""
    path = folder / STUDY
    body = study.model_dump(mode="json")
    if path.is_file():
        if parse_study(yaml.safe_load(path.read_text(encoding="utf-8"))) != study:
            raise StudyError(f"{folder} holds another study; choose another --output, or delete that folder.")
    elif folder.exists() and any(folder.iterdir()):
        raise StudyError(f"{folder} is not empty and holds no study; choose another --output.")
    conditions = {name: _about(condition.dataset) for name, condition in study.conditions.items()}
    for name, condition in study.conditions.items():
        parts = parts_of(dataset_of(condition.dataset), condition.dataset, study.seeds_of(name)[0])
        check_size(name, parts, condition.budget)
    record = folder / PROVENANCE
    if record.is_file():
        kept = json.loads(record.read_text(encoding="utf-8"))["conditions"]
        changed = next((name for name, about in conditions.items() if kept.get(name) != about), None)
        if changed is not None:
            raise StudyError(f"The data of '{changed}' changed since {folder} was begun; choose another --output.")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        _write(record, json.dumps({"conditions": conditions, **provenance.record()}, indent=1) + "\n")
    _write(path, yaml.safe_dump(body, sort_keys=False, allow_unicode=True))


def _about(config: DatasetConfig) -> dict[str, Any]:
    """What a report says about a data set, and how a later run knows it again."""
    dataset = dataset_of(config)
    size = f"{len(dataset.images)} images, {len(dataset.classes)} classes"
    said = ". ".join(filter(None, [f"{dataset.name}: {size}", dataset.note.rstrip(".")]))
    about = {"dataset": f"{said}.", "classes": list(dataset.classes), "fingerprint": dataset.fingerprint()}
    measure = measure_of(dataset)
    return about if measure == "accuracy" else {**about, "measure": measure}


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def open_study(folder: Path) -> Study:
    """The study of a directory."""
    path = folder / STUDY
    if not path.is_file():
        raise StudyError(f"{folder} holds no study; `nextlabel simulate` makes one.")
    return parse_study(yaml.safe_load(path.read_text(encoding="utf-8")))


def cycles_path(folder: Path, trial: Trial) -> Path:
    return folder / TRIALS / trial.condition / trial.method / f"{trial.seed}.jsonl"


def progress(folder: Path, study: Study) -> list[Progress]:
    """Where each trial stands, read from the files."""
    found = []
    for trial in study.trials():
        path, wanted = cycles_path(folder, trial), len(study.conditions[trial.condition].schedule())
        failed = path.with_suffix(".error")
        error = failed.read_text(encoding="utf-8").partition("\n")[0] if failed.is_file() else None
        lines = path.read_bytes().count(b"\n") if path.is_file() else 0
        found.append(Progress(trial, lines, wanted, error))
    return found


def forget_errors(folder: Path) -> None:
    """So that failed trials are tried again."""
    for path in (folder / TRIALS).glob("*/*/*.error"):
        path.unlink(missing_ok=True)


def cycles(folder: Path, trial: Trial) -> list[Cycle]:
    return read_cycles(cycles_path(folder, trial))


@lru_cache(maxsize=2)
def dataset_of(config: DatasetConfig) -> AnyDataset:
    """A data set, loaded once per process."""
    return load_any(config)


def work(folder: str, until: float | None = None, parent: int | None = None) -> int:
    """Runs trials until none is left, or until the time `until` (seconds since 1970). Returns how many it finished.

    parent: process id; when that is gone (killed, say) the work stops after the cycle at hand.
    """
    home = Path(folder)
    study, left = open_study(home), set[Trial]()
    done = 0
    with _one_thread():
        while (trial := _next(home, study, left, until, parent)) is not None:
            finished = _attempt(home, study, trial, until, parent)
            done += finished
            if not finished:
                left.add(trial)  # its next cycle does not fit into this slice, or it failed
    return done


def _one_thread() -> AbstractContextManager[object]:
    """Trials run side by side, one core each; and sums that do not depend on how many cores there are."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    if "torch" in sys.modules:  # else it reads the environment when it is imported
        sys.modules["torch"].set_num_threads(1)
    cv2.setNumThreads(1)
    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def _next(home: Path, study: Study, left: set[Trial], until: float | None, parent: int | None) -> Trial | None:
    if _over(until, parent):
        return None
    for state in progress(home, study):
        open_ = not state.finished and state.error is None and state.trial not in left
        if open_ and not _taken(home, state.trial):
            return state.trial
    return None


def _lock(home: Path, trial: Trial) -> FileLock:
    path = cycles_path(home, trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_suffix(".lock"))


def _taken(home: Path, trial: Trial) -> bool:
    lock = _lock(home, trial)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _over(until: float | None, parent: int | None) -> bool:
    return (until is not None and time.time() >= until) or (parent is not None and os.getppid() != parent)


def _attempt(home: Path, study: Study, trial: Trial, until: float | None, parent: int | None) -> bool:
    """One trial, if no one else has it; whether it was finished. Whatever stops it is written beside it."""
    path = cycles_path(home, trial)
    try:
        with _lock(home, trial).acquire(timeout=0):
            _run(home, study, trial, until, parent)
    except (Timeout, Stopped):
        return False
    except Exception as error:  # noqa: BLE001  # one trial's failure is reported by name and the others go on
        said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        _write(path.with_suffix(".error"), f"{' '.join(said.split())}\n{traceback.format_exc()}")
        return False
    return True


def _run(home: Path, study: Study, trial: Trial, until: float | None, parent: int | None) -> None:
    path, features = cycles_path(home, trial), home / FEATURES
    features.mkdir(exist_ok=True)

    def may_go_on(last: float) -> bool:
        """Not past the end of the slice, as far as the seconds of the cycle before tell."""
        late = until is not None and last > 0 and time.time() + MARGIN * last > until
        return not late and not _over(until, parent)

    with FileLock(features / f"{trial.condition}-{trial.seed}.lock"):  # a seed's features are computed once
        ground = begin(study, trial, dataset_of(study.conditions[trial.condition].dataset), features)
        run_trial(ground, path, may_go_on, up_to=1)
    run_trial(ground, path, may_go_on)
