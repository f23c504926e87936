"""Features that need no label: raw pixels, k-means patches or ResNet-18; computed once per image content."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.learners import patches
from ml_backend.learners.contract import FeatureStore, Images
from ml_backend.learners.pixels import Mode, cores, one_blas_thread, read_all
from ml_backend.learners.weights import WeightsError

Arrays = dict[str, NDArray[Any]]
Vectors = NDArray[np.float32]
SHARD = 4096  # images between two writes to the store, so that a killed worker loses seconds
BATCH = 128  # images a core works on at a time: about 50 MB of patches


def count(n: int) -> str:
    """A number for people.

    >>> count(1797)
    '1 797'
    """
    return f"{n:,}".replace(",", " ")


class Features(ABC):
    """A fixed map from images to (n, width) vectors; `id` changes whenever the map does."""

    id: str
    title: str

    @abstractmethod
    def encode(self, images: Images) -> Vectors:
        """(n, width) float32 of n > 0 images; UnreadableImageError names a file that cannot be decoded."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """All that `restore` needs."""


@dataclass(frozen=True)
class Pixels(Features):
    """Grey levels or colours themselves, 0 to 1."""

    height: int
    width: int
    mode: Mode

    @property
    def id(self) -> str:  # type: ignore[override]  # computed from the fields
        return f"pixels-{self.height}x{self.width}-{self.mode}"

    @property
    def title(self) -> str:  # type: ignore[override]
        channels = 1 if self.mode == "L" else 3
        return f"raw pixels ({self.height * self.width * channels})"

    def encode(self, images: Images) -> Vectors:
        pixels = read_all(images, (self.height, self.width), self.mode)
        return pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)

    def arrays(self) -> Arrays:
        return {
            "kind": np.array(["pixels"]),
            "size": np.array([self.height, self.width]),
            "mode": np.array([self.mode]),
        }


@dataclass(frozen=True)
class Patches(Features):
    """k-means patch features; `learned_from` of the project's `known` images taught the filters."""

    side: int
    mode: Mode
    filters: patches.Filters
    learned_from: int
    known: int

    @property
    def id(self) -> str:  # type: ignore[override]
        digest = hashlib.sha256(f"{self.side} {self.mode} {self.filters.side} {patches.CONTRAST}".encode())
        for array in (self.filters.mean, self.filters.whiten, self.filters.centres):
            digest.update(np.ascontiguousarray(array).tobytes())
        return f"patches-{digest.hexdigest()[:16]}"

    @property
    def title(self) -> str:  # type: ignore[override]
        learned = count(self.learned_from)
        return f"k-means patch features ({self.filters.width}), learned from {learned} of this project's images"

    def encode(self, images: Images) -> Vectors:
        def one(block: Images) -> Vectors:
            return patches.encode(read_all(block, (self.side, self.side), self.mode, workers=1), self.filters)

        with one_blas_thread(), ThreadPoolExecutor(cores()) as pool:
            return np.concatenate(list(pool.map(one, images.blocks(BATCH))))

    def arrays(self) -> Arrays:
        return {
            "kind": np.array(["patches"]),
            "size": np.array([self.side, self.filters.side, self.learned_from, self.known]),
            "mode": np.array([self.mode]),
            "mean": self.filters.mean,
            "whiten": self.filters.whiten,
            "centres": self.filters.centres,
        }


@dataclass(frozen=True)
class Backbone(Features):
    """ResNet-18's penultimate features of images resized to side x side px; `file` gives the weights file's bytes."""

    side: int
    fingerprint: str
    file: Callable[[], bytes]

    @property
    def id(self) -> str:  # type: ignore[override]
        return f"resnet18-{self.fingerprint}-{self.side}"

    @property
    def title(self) -> str:  # type: ignore[override]
        return f"ResNet-18 features (512) at {self.side} px"

    def encode(self, images: Images) -> Vectors:
        from ml_backend.learners.backbone import network  # seconds of import, only where it is used

        model = network(self.fingerprint, self.file)
        return np.concatenate([model(read_all(b, (self.side, self.side), "RGB")) for b in images.blocks(256)])

    def arrays(self) -> Arrays:
        return {
            "kind": np.array(["resnet18"]),
            "size": np.array([self.side]),
            "fingerprint": np.array([self.fingerprint]),
        }


def weights_state(fingerprint: str) -> str:
    """The name under which a store keeps a weights file, so that every machine has the one a project uses."""
    return f"resnet18-{fingerprint}"


def restore(arrays: Arrays, store: FeatureStore) -> Features:
    """The features behind `Features.arrays()`."""
    kind, size = str(arrays["kind"][0]), [int(number) for number in arrays["size"]]
    if kind == "resnet18":
        fingerprint = str(arrays["fingerprint"][0])

        def file() -> bytes:
            kept = store.load_state(weights_state(fingerprint))
            if kept is None:
                raise WeightsError(f"The store has lost the ResNet-18 weights {fingerprint}; train once more.")
            return kept["file"].tobytes()

        return Backbone(size[0], fingerprint, file)
    mode: Mode = "RGB" if str(arrays["mode"][0]) == "RGB" else "L"
    if kind == "pixels":
        return Pixels(size[0], size[1], mode)
    if kind == "patches":
        filters = patches.Filters(size[1], arrays["mean"], arrays["whiten"], arrays["centres"])
        return Patches(size[0], mode, filters, size[2], size[3])
    raise ValueError(f"Unknown features '{kind}' in a stored model; train once more with this version.")


def embed(features: Features, images: Images, store: FeatureStore) -> Vectors:
    """(n, width) of n images: what the store has, the rest computed and kept."""
    if not len(images):
        return np.empty((0, 0), dtype=np.float32)
    kept, missing = store.lookup(features.id, images.contents)
    if kept is not None and not len(missing):
        return np.asarray(kept, dtype=np.float32)
    first = {images.contents[i]: int(i) for i in reversed(missing)}  # a content that occurs twice is encoded once
    wanted = list(first.items())
    row = {content: place for place, (content, _) in enumerate(wanted)}
    fresh: list[Vectors] = []
    for start in range(0, len(wanted), SHARD):
        block = wanted[start : start + SHARD]
        fresh.append(features.encode(images.take(np.array([i for _, i in block]))))
        store.add(features.id, [content for content, _ in block], fresh[-1])
    new = np.concatenate(fresh)
    if len(missing) == len(images):
        return new[[row[content] for content in images.contents]]
    out = np.array(kept, dtype=np.float32)
    out[missing] = new[[row[images.contents[i]] for i in missing]]
    return out
