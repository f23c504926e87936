"""CIFAR-10 and CIFAR-100: 60 000 small photographs, 32 x 32 RGB (Krizhevsky 2009)."""

from __future__ import annotations

import hashlib
import lzma
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np
from filelock import FileLock

from ml_backend.learners.contract import Images
from simulation.datasets.contract import Dataset, DatasetConfig, DatasetError
from simulation.datasets.decoded import Encoded, remembered
from simulation.datasets.places import DATA, data_folder

PACKED = Path("cifar10") / "cifar10_jpg.tar.xz"
SPLITS = ("train", "test")
FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
FILE_LIMIT = 2**20  # bytes of one picture
LOSSY = (
    "CIFAR-10 (Krizhevsky 2009) as JPEG of quality 75: lossy, so strategies can be compared with each other and "
    "accuracies not with papers."
)
EXACT = "Krizhevsky 2009, without loss; free for research with citation."


def load_cifar10(config: DatasetConfig) -> Dataset:
    """The packed copy (a .tar.xz of split/class/name.jpg), or torchvision's folder at `path`."""
    path = config.path or data_folder() / PACKED
    if path.is_file():
        return load_packed(path)
    if config.path is None:
        raise DatasetError(
            f"There is no CIFAR-10 at {path}; set {DATA} to a folder with {PACKED}, or `path` to a folder with "
            f"{FOLDERS['cifar10']} ({SOURCE})."
        )
    return _from_torchvision("cifar10", path, config.download)


def load_cifar100(config: DatasetConfig) -> Dataset:
    """torchvision's folder at `path`; the labels are the 100 fine ones."""
    if config.path is None:
        raise DatasetError(f"'cifar100' needs `path`, a folder with {FOLDERS['cifar100']} ({SOURCE}); set it.")
    return _from_torchvision("cifar100", config.path, config.download)


def load_packed(path: Path) -> Dataset:
    """CIFAR-10 from an archive of split/class/name.jpg: train then test, classes and files in alphabetical order."""
    with path.open("rb") as file:
        key = hashlib.file_digest(file, "sha256").hexdigest()
    return remembered("cifar10", key, lambda: _unpack(path), LOSSY)


def _unpack(path: Path) -> Encoded:
    try:
        with tarfile.open(path) as archive:
            files = dict(_members(archive, path))
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise DatasetError(f"{path} is no whole archive ({error}); fetch it again.") from error
    names = sorted(files, key=lambda name: (SPLITS.index(name.parts[0]), name.parts))
    classes = tuple(sorted({name.parts[1] for name in names}))
    split = np.array([SPLITS.index(name.parts[0]) for name in names])
    return Encoded(
        pictures=((str(name), files[name]) for name in names),
        labels=np.array([classes.index(name.parts[1]) for name in names], dtype=np.int64),
        classes=classes,
        test=np.flatnonzero(split == 1),
    )


def _members(archive: tarfile.TarFile, path: Path) -> list[tuple[PurePosixPath, bytes]]:
    """Files by name, read and never extracted."""
    found = []
    for member in archive:
        name = PurePosixPath(member.name)
        if member.isdir():
            continue
        content = archive.extractfile(member) if member.isfile() and member.size <= FILE_LIMIT else None
        if content is None or len(name.parts) != 3 or name.parts[0] not in SPLITS:
            raise DatasetError(
                f"{path} holds '{member.name}', which is no small file train|test/class/name; repack it."
            )
        found.append((name, content.read()))
    return found


def _from_torchvision(name: str, path: Path, download: bool) -> Dataset:
    from torchvision import datasets  # imports torch, which takes seconds: only here

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    root = path.parent if path.name == FOLDERS[name] else path
    try:
        if download:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".download.lock"):
                kind(str(root), download=True)
        train, test = (kind(str(root), train=train) for train in (True, False))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        said = " ".join(str(error).partition(" You can use download")[0].split())
        raise DatasetError(
            f"{root / FOLDERS[name]} cannot be read as {name} ({said}); put the Python version of {SOURCE} there, or "
            "set `download: true`."
        ) from error
    return Dataset(
        name,
        Images.in_memory(np.ascontiguousarray(np.concatenate([train.data, test.data]))),
        np.array([*train.targets, *test.targets], dtype=np.int64),
        tuple(train.classes),
        np.arange(len(train.data), len(train.data) + len(test.data)),
        EXACT,
    )
