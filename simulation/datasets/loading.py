"""The sources by name, and the one door through which a data set comes."""

from __future__ import annotations

from collections.abc import Callable

from sklearn.datasets import load_digits

from ml_backend.learners.contract import Images
from simulation import digits
from simulation.datasets.box_export import asks_for_boxes, load_box_export
from simulation.datasets.box_project import is_of_boxes, load_box_project
from simulation.datasets.boxes import BoxDataset
from simulation.datasets.cifar import load_cifar10, load_cifar100
from simulation.datasets.contract import Dataset, DatasetConfig, DatasetError
from simulation.datasets.export import load_export
from simulation.datasets.folder import load_folder
from simulation.datasets.mnist import CLASSES, load_mnist
from simulation.datasets.project import load_project
from simulation.datasets.road_scenes import load_road_scenes
from simulation.datasets.tiny_imagenet import load_tiny_imagenet


def load_any(config: DatasetConfig) -> Dataset | BoxDataset:
    """The data set that `config` names: images with a class each, or with boxes where its project asks for boxes."""
    if config.name == "road_scenes":
        return load_road_scenes(config)
    if config.name == "export" and asks_for_boxes(config):
        return load_box_export(config)
    if config.name == "label_studio" and is_of_boxes(config):
        return load_box_project(config)
    return load(config)


def load(config: DatasetConfig) -> Dataset:
    """The data set of images with a class each that `config` names, whole; `split` draws from it. Raises DatasetError.

    >>> digits = load(DatasetConfig(name="digits"))
    >>> len(digits.images), digits.images.pixels.shape, digits.test
    (1797, (1797, 8, 8, 1), None)
    """
    if config.name not in SOURCES:
        raise DatasetError(f"'{config.name}' has boxes, and classes of images are asked for; choose another data set.")
    return SOURCES[config.name](config)


def load_scans(_config: DatasetConfig) -> Dataset:
    """scikit-learn's 1 797 scanned digits, 8 x 8 grey."""
    scans = load_digits()
    note = "Scanned digits: Alpaydin & Kaynak 1998, UCI Machine Learning Repository."
    pixels = digits.grey(scans.images)[..., None]
    return Dataset("digits", Images.in_memory(pixels), scans.target, CLASSES, None, note)


SOURCES: dict[str, Callable[[DatasetConfig], Dataset]] = {
    "mnist": load_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "tiny_imagenet": load_tiny_imagenet,
    "digits": load_scans,
    "label_studio": load_project,
    "export": load_export,
    "folder": load_folder,
}
