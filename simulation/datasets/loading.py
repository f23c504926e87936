"""The sources by name, and the one door through which a data set comes."""

from __future__ import annotations

from collections.abc import Callable

from sklearn.datasets import load_digits

from ml_backend.learners.contract import Images
from simulation import digits
from simulation.datasets.cifar import load_cifar10, load_cifar100
from simulation.datasets.contract import Dataset, DatasetConfig
from simulation.datasets.export import load_export
from simulation.datasets.folder import load_folder
from simulation.datasets.mnist import CLASSES, load_mnist
from simulation.datasets.project import load_project
from simulation.datasets.tiny_imagenet import load_tiny_imagenet


def load(config: DatasetConfig) -> Dataset:
    """The data set that `config` names, whole; `split` draws from it. Raises DatasetError.

    >>> digits = load(DatasetConfig(name="digits"))
    >>> len(digits.images), digits.images.pixels.shape, digits.test
    (1797, (1797, 8, 8, 1), None)
    """
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
