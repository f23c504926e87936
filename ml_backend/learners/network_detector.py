"""What the detectors share: settings, what is learned from and measured on, where training begins, and the answer."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml_backend.learners.average_precision import precision
from ml_backend.learners.boxes import checked_boxes, inside
from ml_backend.learners.contract import Images
from ml_backend.learners.detector import (
    DETECTIONS,
    Detector,
    DetectorFit,
    EpochObserver,
    Found,
    LabeledBoxes,
    Progress,
)
from ml_backend.learners.held_out import split
from ml_backend.learners.shown import sizes
from plugins.contract import IntArray, PluginConfig

Arrays = dict[str, NDArray[Any]]
PREFIX = "network."
Since = Literal["scratch", "published", "earlier"]


class DetectorConfig(PluginConfig):
    """Settings of every detector; the learners set their own defaults."""

    weights: str = Field(
        "auto",
        min_length=1,
        description="Where the first training begins: auto (published weights from torch's cache or the network, else "
        "random ones with a note), scratch (random ones), or the path of a local file.",
    )
    epochs: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Passes over the labels; by default fewer the more labels there are, most when training begins at "
        "random weights and fewest when it goes on from the last cycle's.",
    )
    batch: int = Field(16, ge=1, le=1024, description="Images per step; more needs more memory.")
    rate: float = Field(0.002, gt=0, le=1, description="Learning rate at the start, per step.")
    flip: bool = Field(
        True,
        description="Mirrors half of the training images; switch it off where left and right differ (text, signs).",
    )
    low_score: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="Score above which a box is kept. Far below the working threshold, since scorers read weak boxes.",
    )
    max_boxes: int = Field(100, ge=1, le=1000, description="Boxes kept of an image, the best by score.")
    overlap: float = Field(
        0.6, gt=0, lt=1, description="IoU above which the weaker of two boxes of one class counts as its double."
    )


DetectorConfigT = TypeVar("DetectorConfigT", bound=DetectorConfig)


@dataclass(frozen=True, eq=False)
class Lesson:
    """One training. boxes: inside the L images; sizes: (height, width) of each; learned, held: positions among them."""

    images: Images
    boxes: LabeledBoxes
    sizes: list[tuple[int, int]]
    learned: IntArray
    held: IntArray
    classes: tuple[str, ...]
    folder: Path
    seed: int
    observer: EpochObserver | None
    progress: Progress | None


@dataclass(frozen=True, eq=False)
class Start:
    """Where a training begins. model: an earlier model, None for published or random weights."""

    model: Arrays | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Trained:
    """What a detector's own training gives: its arrays, how it came about ('from ...'), metrics and notes."""

    arrays: Arrays
    origin: str
    since: Since
    epochs: int
    metrics: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def sized_epochs(images: int, since: Since, passes: dict[Since, int], bounds: dict[Since, tuple[int, int]]) -> int:
    """Epochs in which about `passes` images are seen, within bounds (least, most) of epochs.

    >>> sized_epochs(400, "scratch", {"scratch": 20000}, {"scratch": (20, 200)})
    50
    """
    least, most = bounds[since]
    return int(np.clip(-(-passes[since] // images), least, most))


class NetworkDetector(Detector[DetectorConfigT]):
    """Trains on what is learned from, looks at everything, and measures on what was held out."""

    provides = DETECTIONS | {"detection_probabilities"}
    what: ClassVar[str]  # the kind of network, for people

    @abstractmethod
    def train(self, lesson: Lesson, model: Arrays | None) -> Trained:
        """Trains on lesson.learned, from an earlier model that `unusable` accepts, or from where the settings say."""

    @abstractmethod
    def unusable(self, model: Arrays) -> str | None:
        """Why training cannot go on from such arrays under these settings, or None. Never raises for wrong arrays."""

    @abstractmethod
    def look(self, model: Arrays, parts: list[Images], progress: Progress | None) -> list[Found]:
        """What the model sees on each of several sets of images; ValueError where the arrays are no such model."""

    def fit(
        self,
        labeled: Images,
        boxes: LabeledBoxes,
        groups: NDArray[Any] | None,
        pool: Images,
        classes: tuple[str, ...],
        *,
        folder: Path,
        start: Arrays | None = None,
        seed: int,
        observer: EpochObserver | None = None,
        progress: Progress | None = None,
    ) -> DetectorFit:
        """See Detector.fit."""
        shapes = list(sizes(labeled))
        drawn = inside(checked_boxes(boxes, labeled, classes), shapes)
        if not len(drawn.item):
            raise ValueError("No box lies inside its image; check that boxes are in px of the image as it is shown.")
        parts = split(labeled.contents, groups, set(drawn.item.tolist()))
        begin = self._begin(start, [labeled.contents[i] for i in parts.held])
        lesson = Lesson(labeled, drawn, shapes, parts.learned, parts.held, classes, folder, seed, observer, progress)
        trained = self.train(lesson, begin.model)
        model = {
            **trained.arrays,
            "classes": np.array(classes),
            "learned": _known(begin.model, [labeled.contents[i] for i in parts.learned]),
        }
        seen, ahead = self.look(model, [labeled, pool], progress)
        measured = None
        if len(parts.held):
            measured = precision(seen.of(parts.held), drawn.of(parts.held), len(parts.held), classes, seed=seed)
        return DetectorFit(
            pool=ahead,
            labeled=seen,
            model=model,
            features=f"{self.what}, trained for {trained.epochs} epochs on {len(parts.learned)} labeled images, "
            f"{trained.origin}",
            precision=measured,
            held=parts.held.astype(np.int64),
            metrics={**trained.metrics, "epochs": float(trained.epochs), "held_out": float(len(parts.held))},
            notes=(*begin.notes, *trained.notes, *parts.notes, *_classes_notes(begin.model, classes)),
        )

    def detect(self, model: Arrays, images: Images, *, progress: Progress | None = None) -> Found:
        """See Detector.detect."""
        return self.look(model, [images], progress)[0]

    def _begin(self, start: Arrays | None, held: list[str]) -> Start:
        """The earlier model where training can go on from it."""
        if start is None:
            return Start(None)
        why = self.unusable(start)
        if why is None and not set(marks(held).tolist()).isdisjoint(start["learned"].tolist()):
            why = "it has learned from images that are now held out, which would flatter mAP"
        if why is not None:
            return Start(None, (f"Training began anew and not from the last model: {why}.",))
        return Start(start)


def marks(contents: list[str]) -> NDArray[np.uint64]:
    """(n,) the first 8 bytes of each SHA-256, by which a model knows what it has learned from.

    >>> marks(["00000000000000ff" + 48 * "0"])
    array([255], dtype=uint64)
    """
    return np.array([int(content[:16], 16) for content in contents], dtype=np.uint64)


def _known(model: Arrays | None, contents: list[str]) -> NDArray[np.uint64]:
    before = np.zeros(0, dtype=np.uint64) if model is None else model["learned"]
    return np.asarray(np.union1d(before, marks(contents)))


def _classes_notes(model: Arrays | None, classes: tuple[str, ...]) -> list[str]:
    if model is None:
        return []
    before = {str(name).casefold(): str(name) for name in model["classes"]}
    now = {name.casefold() for name in classes}
    new = [name for name in classes if name.casefold() not in before]
    gone = [name for folded, name in before.items() if folded not in now]
    notes = []
    if new:
        notes.append(f"New to the model, and begun at random weights: {', '.join(new)}.")
    if gone:
        notes.append(f"No class any more, and forgotten: {', '.join(gone)}.")
    return notes


def network_arrays(model: Arrays) -> Arrays:
    """The network's own arrays in a model."""
    return {name.removeprefix(PREFIX): array for name, array in model.items() if name.startswith(PREFIX)}


def check_arrays(model: Arrays, needed: set[str]) -> None:
    """ValueError names the first array that a model lacks of those needed beside the network's."""
    missing = sorted((needed | {"classes", "learned"}) - set(model))
    if missing:
        raise ValueError(f"it has no array '{missing[0]}'")


def counted(progress: Progress | None, parts: list[Images]) -> list[Any]:
    """For each of several sets of images a function that tells how many images are done of all."""
    total, before, tellers = sum(map(len, parts)), 0, []
    for part in parts:

        def tell(done: int, before: int = before) -> None:
            if progress is not None:
                progress("detecting", before + done, total)

        tellers.append(tell)
        before += len(part)
    return tellers
