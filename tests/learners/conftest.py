"""scikit-learn's digits as PNG files, and a store on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from ml_backend.learners.contract import FeatureStore, Images
from ml_backend.store.arrays import ArrayStore, DiskFeatures

CLASSES = tuple("0123456789")


@dataclass(frozen=True)
class Digits:
    """Image files and their labels."""

    images: Images
    labels: NDArray[np.int64]

    def part(self, start: int, end: int) -> Images:
        return self.images.take(np.arange(start, end))


def images_of(paths: list[Path]) -> Images:
    return Images([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths], paths)


def written(folder: Path, n: int, scale: int) -> Digits:
    """n digits of 8 * scale px."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))[:n]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{item}.png" for item in order]
    for item, path in zip(order, paths, strict=True):
        grey = np.kron((pixels[item].reshape(8, 8) * 15).astype(np.uint8), np.ones((scale, scale), dtype=np.uint8))
        Image.fromarray(grey).save(path)
    return Digits(images_of(paths), labels[order].astype(np.int64))


def in_memory(images: Images) -> Images:
    """The same images, decoded, under the same contents."""
    pixels = np.stack([np.asarray(Image.open(path)) for path in images.paths])
    return Images(images.contents, [], pixels if pixels.ndim == 4 else pixels[..., None])


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    """600 digits of 8 x 8 px."""
    return written(tmp_path_factory.mktemp("digits"), 600, 1)


@pytest.fixture(scope="session")
def large_digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    """300 digits of 24 x 24 px, too large for raw pixels."""
    return written(tmp_path_factory.mktemp("large"), 300, 3)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return DiskFeatures(ArrayStore(str(tmp_path / "store")))


@pytest.fixture(autouse=True)
def _no_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty torch cache and an address where nothing answers."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("ml_backend.learners.weights.URL", "http://127.0.0.1:9/resnet18-f37072fd.pth")
