"""What a trial begins with, by what its data set knows: a class of each image, or the boxes on each frame."""

from __future__ import annotations

from pathlib import Path

from ml_backend.learners.detector import Detector
from ml_backend.store.arrays import ArrayStore, DiskFeatures
from plugins import registry
from simulation.box_trial import MEASURE, prepare_boxes
from simulation.datasets import Dataset, DatasetConfig, Parts, split
from simulation.datasets.box_drawing import split_boxes
from simulation.datasets.boxes import BoxDataset
from simulation.study import Study, StudyError, Trial
from simulation.trial import Turns, prepare

AnyDataset = Dataset | BoxDataset


def begin(study: Study, trial: Trial, dataset: AnyDataset, features: Path) -> Turns:
    """features: the study's folder of what can be computed again. Raises StudyError."""
    if isinstance(dataset, BoxDataset):
        return prepare_boxes(study, trial, dataset, features)
    learner = study.plan_of(trial).learner.name
    if issubclass(registry.plugin_class("learner", learner), Detector):
        raise StudyError(f"{trial.condition} has a class for each image, and '{learner}' learns boxes; choose another.")
    store = DiskFeatures(ArrayStore(str(features / f"{trial.condition}-{trial.seed}")))
    return prepare(study, trial, dataset, store)


def parts_of(dataset: AnyDataset, config: DatasetConfig, seed: int) -> Parts:
    """Pool and test part, as positions."""
    if isinstance(dataset, BoxDataset):
        return split_boxes(dataset, config, seed)
    return split(dataset, config, seed)


def measure_of(dataset: AnyDataset) -> str:
    """What is measured on the test part."""
    return MEASURE if isinstance(dataset, BoxDataset) else "accuracy"
