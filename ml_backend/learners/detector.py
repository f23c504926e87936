"""What a detector is: a learner of boxes on images, and what it finds, in flat columns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ml_backend.learners.contract import Answers, Images
from plugins.contract import ConfigT, FloatArray, IntArray, Plugin

Progress = Callable[[str, int, int], None]  # (what is done: 'training' or 'detecting', done, total)
EpochObserver = Callable[[int, dict[str, float]], None]  # (epoch from 0, losses and, where it was measured, map50)

FOUND = ("item", "box", "score", "label", "shown")
DETECTIONS = frozenset({f"{side}detection_{name}" for side in ("", "labeled_") for name in FOUND} | {"labeled_held"})


@dataclass(frozen=True, eq=False)
class LabeledBoxes:
    """What people drew on L images. item: (B,) image of each box; box: (B, 4) xyxy px; label: (B,) below C.

    An image without a box belongs here too: people saw that nothing is there.
    """

    item: IntArray
    box: FloatArray
    label: IntArray

    def of(self, items: IntArray) -> LabeledBoxes:
        """The boxes of the images at positions `items`, renumbered in that order."""
        place = np.full(int(max(self.item.max(initial=-1), np.max(items, initial=-1))) + 1, -1, dtype=np.int64)
        place[items] = np.arange(len(items))
        rows = np.flatnonzero(place[self.item] >= 0)
        rows = rows[np.argsort(place[self.item[rows]], kind="stable")]
        return LabeledBoxes(place[self.item[rows]], self.box[rows], self.label[rows])


@dataclass(frozen=True, eq=False)
class Found:
    """What a detector sees on n images, down to a low score, sorted by image and then by falling score.

    item: (K,) image of each box; box: (K, 4) float32 xyxy px of the image as it is shown, inside it; score: (K,)
    float32 in [0, 1]; label: (K,) below C. probabilities: (K, C) float32, rows sum to 1, where the detector gives them.
    """

    item: NDArray[np.int64]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    label: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.item)

    def of(self, items: IntArray) -> Found:
        """What was found on the images at positions `items`, renumbered in that order."""
        place = np.full(int(max(self.item.max(initial=-1), np.max(items, initial=-1))) + 1, -1, dtype=np.int64)
        place[items] = np.arange(len(items))
        rows = np.flatnonzero(place[self.item] >= 0)
        rows = rows[np.argsort(place[self.item[rows]], kind="stable")]
        distributions = None if self.probabilities is None else self.probabilities[rows]
        return Found(place[self.item[rows]], self.box[rows], self.score[rows], self.label[rows], distributions)

    @classmethod
    def nothing(cls) -> Found:
        return cls(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Precision:
    """Mean average precision on held-out images, COCO's definition (101 recall points, classes with boxes only).

    map50: at IoU .5, with a 95 % bootstrap interval over images (low, high); map50_95: mean over IoU .5, .55, ..., .95.
    per_class: class name -> AP at IoU .5. images, boxes: how many were measured.
    """

    map50: float
    low: float
    high: float
    map50_95: float
    per_class: dict[str, float]
    images: int
    boxes: int


@dataclass(frozen=True, eq=False)
class DetectorFit:
    """What one training gives: detections on the pool and on the labeled images, the model as named arrays.

    held: positions of the labeled images that this model and those it came from never learned from.
    """

    pool: Found
    labeled: Found
    model: dict[str, NDArray[Any]]
    features: str  # one sentence: which network and which weights this cycle used
    precision: Precision | None = None
    held: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    metrics: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Detector(Plugin[ConfigT]):
    """Draws boxes. `provides` names the evidence columns it gives; deterministic under a seed on one machine."""

    answers: ClassVar[Answers] = "boxes"
    provides: ClassVar[frozenset[str]] = DETECTIONS
    shown_from: float = 0.25  # working threshold of the score; the plan may set another

    @abstractmethod
    def fit(
        self,
        labeled: Images,
        boxes: LabeledBoxes,
        groups: NDArray[Any] | None,
        pool: Images,
        classes: tuple[str, ...],
        *,
        folder: Path,
        start: dict[str, NDArray[Any]] | None = None,
        seed: int,
        observer: EpochObserver | None = None,
        progress: Progress | None = None,
    ) -> DetectorFit:
        """Trains on L > 0 labeled images with at least one box among them, and looks at the pool of N.

        groups: (L,) video of each image, None where each stands alone; frames of one video are never split between
        training and held-out images while there are enough videos. folder: the detector's own, kept between cycles:
        what is unchanged there is not written again. start: the arrays of an earlier `DetectorFit.model`, to go on
        from; where its classes differ, what still fits is taken and a note says so.
        """

    @abstractmethod
    def detect(self, model: dict[str, NDArray[Any]], images: Images, *, progress: Progress | None = None) -> Found:
        """What the model sees on n images, from the arrays of an earlier `DetectorFit.model`."""
