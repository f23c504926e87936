"""What a detector knew before a study began: a stand-in for published weights, learned on a data set of its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from ml_backend.learners.detector import Detector
from ml_backend.loop.plan import Plan
from ml_backend.store.arrays import Arrays
from simulation.box_models import read_arrays, write_arrays
from simulation.datasets.boxes import BoxDataset
from simulation.datasets.contract import DatasetConfig
from simulation.datasets.loading import load_any
from simulation.study import StudyError

SEED = 0  # one model for all seeds of a study, as published weights are


def pretrained(config: DatasetConfig, plan: Plan, detector: Detector[Any], features: Path) -> Arrays:
    """The model after one training on all frames of a data set that are not for testing, once for all trials.

    features: the study's folder for what its trials share. Raises StudyError where the data set has no boxes.
    """
    about = [plan.learner.model_dump(mode="json"), config.model_dump(mode="json")]
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    path = features / f"pretrained-{name}.npz"
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            write_arrays(path, _train(config, detector, features / f"pretrained-{name}"))
    return read_arrays(path)


def _train(config: DatasetConfig, detector: Detector[Any], folder: Path) -> Arrays:
    dataset = load_any(config)
    if not isinstance(dataset, BoxDataset):
        raise StudyError(f"pretrained_on names '{config.name}', which has no boxes; name a data set that has.")
    n = len(dataset.images)
    learned = np.arange(n) if dataset.test is None else np.setdiff1d(np.arange(n), dataset.test)
    if not dataset.counts(learned).any():
        raise StudyError(f"pretrained_on names '{config.name}' with {len(learned)} frames and no box on them.")
    folder.mkdir(exist_ok=True)
    fit = detector.fit(
        dataset.images.take(learned),
        dataset.boxes.of(learned),
        dataset.frames.video[learned] if dataset.in_videos else None,
        dataset.images.take(learned[:0]),
        dataset.classes,
        folder=folder,
        seed=SEED,
    )
    return fit.model
