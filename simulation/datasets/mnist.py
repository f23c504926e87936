"""MNIST: 70 000 handwritten digits, 28 x 28 grey (LeCun, Bottou, Bengio & Haffner 1998), without torch."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ml_backend.learners.contract import Images
from simulation.datasets.contract import Dataset, DatasetConfig, DatasetError
from simulation.datasets.places import DATA, data_folder

PACKED = Path("mnist") / "mnist.npz"
KEYS = ("x_train", "y_train", "x_test", "y_test")
FILES = (  # torchvision's and the authors' names, in the order of KEYS
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CLASSES = tuple(str(digit) for digit in range(10))


def load_mnist(config: DatasetConfig) -> Dataset:
    """The packed copy, a local .npz of the same keys, or a folder in torchvision's layout (MNIST/raw)."""
    path = config.path or data_folder() / PACKED
    if config.download:
        _download(path)
    if path.is_file():
        return _dataset(_packed(path), path)
    folder = next((place for place in (path / "MNIST" / "raw", path / "raw", path) if _has(place, FILES[0])), None)
    if folder is None:
        raise DatasetError(
            f"There is no MNIST at {path}; set {DATA} to a folder with {PACKED}, or `path` to torchvision's folder "
            "with MNIST/raw, or let it be fetched there with `download: true`."
        )
    return _dataset([read_idx(folder, name) for name in FILES], folder)


def _download(path: Path) -> None:
    from torchvision.datasets import MNIST  # torch takes seconds to import, and only a download needs it

    try:
        path.mkdir(parents=True, exist_ok=True)
        with FileLock(path / ".download.lock"):
            MNIST(str(path), download=True)
    except (OSError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise DatasetError(f"MNIST cannot be fetched into {path} ({said}); put its files there by hand.") from error


def _packed(path: Path) -> list[NDArray[np.uint8]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = [key for key in KEYS if key not in arrays]
            if missing:
                raise DatasetError(f"{path} has no array '{missing[0]}'; it must hold {', '.join(KEYS)}.")
            return [arrays[key] for key in KEYS]
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, AttributeError, TypeError) as error:
        raise DatasetError(f"{path} is no readable .npz file ({error}); fetch it again.") from error
    except ValueError as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path} is no readable .npz file ({error}); fetch it again.") from error


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_file() or (folder / f"{name}.gz").is_file()


def read_idx(folder: Path, name: str) -> NDArray[np.uint8]:
    """The uint8 array of an IDX file, or of its .gz: two zero bytes, type 8, the number of axes, their lengths as
    big-endian 32 bit, and the values."""
    plain, packed = folder / name, folder / f"{name}.gz"
    path = plain if plain.is_file() else packed
    try:
        data = plain.read_bytes() if path == plain else gzip.decompress(packed.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} cannot be read ({error}); fetch it again.") from error
    axes = data[3] if data[:3] == b"\0\0\x08" and len(data) > 3 else 0
    start = 4 + 4 * axes
    shape = tuple(np.frombuffer(data[4:start], ">u4").tolist()) if axes and len(data) >= start else ()
    if not shape or len(data) - start != int(np.prod(shape, dtype=object)):
        raise DatasetError(f"{path} is no whole IDX file of bytes ({len(data)} bytes); fetch it again.")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _dataset(arrays: list[NDArray[np.uint8]], path: Path) -> Dataset:
    train, train_labels, test, test_labels = arrays
    sound = train.ndim == test.ndim == 3 and train.shape[1:] == test.shape[1:]
    if not sound or train.dtype != np.uint8 or test.dtype != np.uint8:
        raise DatasetError(
            f"{path} has images of shape {train.shape} {train.dtype} and {test.shape} {test.dtype}; they must be "
            "(n, height, width) uint8 of one size."
        )
    return Dataset(
        "mnist",
        Images.in_memory(np.concatenate([train, test])[..., None]),
        np.concatenate([train_labels, test_labels]).astype(np.int64),
        CLASSES,
        np.arange(len(train), len(train) + len(test)),
        "MNIST: LeCun, Bottou, Bengio & Haffner 1998.",
    )
