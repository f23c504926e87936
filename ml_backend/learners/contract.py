"""What a learner is: it fits on the labels and tells an observer what it predicts for the pool at every epoch."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from plugins.contract import ConfigT, FloatArray, IntArray, Plugin

Answers = Literal["classes", "boxes"]  # what a learner says of an image: one class (Learner), or boxes (Detector)


@dataclass(frozen=True)
class Images:
    """n images: `contents` are SHA-256 sums (the cache key) of files at `paths`, or of rows of `pixels` in memory.

    pixels: (n, height, width, channels) uint8, 1 or 3 channels; `paths` is empty then.
    """

    contents: Sequence[str]
    paths: Sequence[Path]
    pixels: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        if self.pixels is None:
            if len(self.paths) != len(self.contents):
                raise ValueError(f"{len(self.contents)} contents came with {len(self.paths)} paths; give one of each.")
            return
        shape, kind = self.pixels.shape, self.pixels.dtype
        if len(shape) != 4 or shape[3] not in (1, 3) or kind != np.uint8:
            raise ValueError(
                f"Images in memory came as an array of shape {shape} and type {kind}; give (n, height, width, "
                "channels) uint8 with 1 or 3 channels."
            )
        if shape[0] != len(self.contents) or len(self.paths):
            raise ValueError(
                f"{shape[0]} images in memory came with {len(self.contents)} contents and {len(self.paths)} paths; "
                "give one content for each and no path."
            )

    def __len__(self) -> int:
        return len(self.contents)

    @classmethod
    def in_memory(cls, pixels: NDArray[np.uint8]) -> Images:
        """Images that were decoded before, (n, height, width, channels): a benchmark's data set, say."""
        return cls([hashlib.sha256(picture.tobytes()).hexdigest() for picture in pixels], [], pixels)

    def take(self, items: IntArray) -> Images:
        """The images at positions `items`, in that order."""
        chosen = np.asarray(items).tolist()
        contents = [self.contents[i] for i in chosen]
        if self.pixels is not None:
            return Images(contents, [], self.pixels[np.asarray(items, dtype=np.int64)])
        return Images(contents, [self.paths[i] for i in chosen])

    def blocks(self, size: int) -> Iterator[Images]:
        """The same images, `size` at a time and in order; nothing in memory is copied."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            pixels = None if self.pixels is None else self.pixels[part]
            yield Images(self.contents[part], self.paths[part], pixels)

    def __add__(self, other: Images) -> Images:
        """These images, then the others; both on disk or both in memory, all of one size. None at all joins either."""
        if not len(self) or not len(other):
            return self if len(self) else other
        contents = [*self.contents, *other.contents]
        if self.pixels is None and other.pixels is None:
            return Images(contents, [*self.paths, *other.paths])
        if self.pixels is None or other.pixels is None:
            raise ValueError("Images in memory and images in files cannot be joined; read the files first.")
        if self.pixels.shape[1:] != other.pixels.shape[1:]:
            raise ValueError(
                f"Images in memory of shape {self.pixels.shape[1:]} and {other.pixels.shape[1:]} cannot be joined; "
                "bring them to one size first."
            )
        return Images(contents, [], np.concatenate([self.pixels, other.pixels]))


class Observer(Protocol):
    """Is told, at every epoch, the label predicted for each pool item: labels (N,) integers below C."""

    def __call__(self, epoch: int, labels: IntArray) -> None: ...


class FeatureStore(Protocol):
    """Embeddings on disk, by feature id and image content."""

    def lookup(self, feature_id: str, contents: Sequence[str]) -> tuple[NDArray[np.float32] | None, IntArray]:
        """(n, D) rows (arbitrary where missing; None while nothing is stored) and the positions that are missing."""

    def add(self, feature_id: str, contents: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keeps (n, D) vectors."""

    def load_state(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Arrays kept under a name (learned filters, say), or None."""

    def save_state(self, name: str, arrays: dict[str, NDArray[Any]]) -> None:
        """Keeps arrays under a name, atomically."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on labels that the measured model has not seen, with a 95 % Wilson interval; n labels measured."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def from_hits(cls, hits: int, n: int, z: float = 1.959964) -> Accuracy:
        """Wilson 1927 score interval.

        >>> Accuracy.from_hits(90, 100)
        Accuracy(value=0.9, low=0.825..., high=0.944..., n=100)
        """
        share = hits / n
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return cls(share, max(0.0, centre - half), min(1.0, centre + half), n)


@dataclass(frozen=True)
class Fit:
    """What one training gives: evidence on the pool, the model as named arrays, and what to tell people."""

    probabilities: FloatArray  # (N, C)
    embeddings: NDArray[np.float32]  # (N, D)
    labeled_embeddings: NDArray[np.float32]  # (L, D)
    model: dict[str, NDArray[Any]]
    features: str  # one sentence: which features this cycle used
    accuracy: Accuracy | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)  # further evidence on the pool, by column name


class Learner(Plugin[ConfigT]):
    """Trains and predicts. `provides` names the evidence columns it can compute; deterministic under a seed."""

    answers: ClassVar[Answers] = "classes"
    provides: ClassVar[frozenset[str]]
    scope: str = "default"  # whose learned features are used; the loop sets 'project-<id>'

    @abstractmethod
    def embed(self, images: Images, store: FeatureStore) -> tuple[NDArray[np.float32], str]:
        """(n, D) embeddings without any label, from the store where it has them, and a sentence naming them."""

    @abstractmethod
    def fit(
        self,
        labeled: Images,
        labels: IntArray,
        pool: Images,
        classes: tuple[str, ...],
        *,
        store: FeatureStore,
        seed: int,
        observer: Observer | None = None,
        wanted: Collection[str] = (),
    ) -> Fit:
        """Trains on L labeled images with labels (L,) below C, at least two classes present.

        wanted: evidence columns that will be read. Those that cost extra are computed only if named here, and come in
        `Fit.columns`; names that this learner does not provide are left to others.
        """

    @abstractmethod
    def predict(self, model: dict[str, NDArray[Any]], images: Images, store: FeatureStore) -> FloatArray:
        """(n, C) probabilities from the arrays of an earlier `Fit.model`."""
