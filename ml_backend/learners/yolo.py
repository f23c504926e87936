"""YOLO: one look at the whole image; fast enough for a CPU. Needs ultralytics (AGPL-3.0, the extra `yolo`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from ml_backend.learners import box_dataset, detector_weights
from ml_backend.learners.contract import Images
from ml_backend.learners.detector import Found, Progress
from ml_backend.learners.network_detector import (
    PREFIX,
    Arrays,
    DetectorConfig,
    Lesson,
    NetworkDetector,
    Since,
    Trained,
    check_arrays,
    counted,
    network_arrays,
    sized_epochs,
)
from ml_backend.learners.ultralytics_quiet import ultralytics

if TYPE_CHECKING:
    from torch import nn

ASSETS = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
PASSES: dict[Since, int] = {"scratch": 12_000, "published": 4_000, "earlier": 2_000}  # images seen in one training
BOUNDS: dict[Since, tuple[int, int]] = {"scratch": (25, 150), "published": (8, 80), "earlier": (4, 30)}
LARGEST = 640  # px
BATCH = 16  # images looked at together
SETTLED = 256  # images on which the statistics of normalisation are taken


class YOLOConfig(DetectorConfig):
    """Ultralytics' defaults of YOLO11, at a size and length that a CPU can do."""

    size: Literal["n", "s", "m", "l", "x"] = Field(
        "n", description="Of YOLO11: nano (2.6 million weights), small, medium, large, extra; larger sees more, slower."
    )
    image_side: int | None = Field(
        None,
        ge=64,
        le=1920,
        multiple_of=32,
        description="Side in px that the larger side of an image is resized to; by default their own up to 640 px. "
        "Larger finds smaller objects, at a cost in its square.",
    )
    frozen: int = Field(
        0,
        ge=0,
        le=22,
        description="First layers that keep their weights; 10 are the backbone. More trains faster and adapts less: "
        "only for good weights.",
    )
    mosaic: bool = Field(
        True, description="Trains on four images in one for the first two thirds; off where context matters."
    )


class YOLO(NetworkDetector[YOLOConfig]):
    """YOLO11 (Ultralytics): sigmoid scores by class, doubles removed class by class, the best class of each box.

    probabilities: the sigmoids of a box, normalised to sum 1.
    """

    name, title = "yolo", "YOLO11"
    summary = "Draws boxes in one look at the image: trains and looks fast, on a CPU too. Needs ultralytics (AGPL-3.0)."
    reference = "Redmon et al. 2016; Jocher & Qiu 2024 (Ultralytics YOLO11)"
    what = "YOLO11"

    def train(self, lesson: Lesson, model: Arrays | None) -> Trained:
        """See NetworkDetector.train."""
        ultralytics()  # says at once if it is not installed
        from ml_backend.learners import state_arrays, yolo_network, yolo_training
        from ml_backend.learners.ultralytics_quiet import seeded

        config, names = self.config, lesson.classes
        side = config.image_side or _side(lesson)
        with seeded(lesson.seed):
            network = yolo_network.build(config.size, len(names))
        origin, since, notes = self._fill(network, names, model)
        epochs = config.epochs or sized_epochs(len(lesson.learned), since, PASSES, BOUNDS)
        dataset = box_dataset.write(
            lesson.folder / "dataset", lesson.images, lesson.boxes, lesson.sizes, names, lesson.held
        )
        progress = lesson.progress
        network, losses = yolo_training.train(
            network,
            dataset,
            names,
            yolo_training.Course(epochs, config.batch, side, config.rate, config.frozen, config.flip, config.mosaic),
            lesson.folder,
            lesson.seed,
            lesson.observer,
            None if progress is None else lambda done, total: progress("training", done, total),
        )
        yolo_network.settle(network, _sample(lesson), side, config.batch)
        arrays = {PREFIX + name: array for name, array in state_arrays.to_arrays(network).items()}
        arrays |= {"side": np.array([side]), "size": np.array([config.size])}
        return Trained(arrays, origin, since, epochs, losses, notes)

    def _fill(
        self, network: nn.Module, classes: tuple[str, ...], model: Arrays | None
    ) -> tuple[str, Since, tuple[str, ...]]:
        """Puts the weights in that training begins at: where from, since when, and notes."""
        from ml_backend.learners import state_arrays, yolo_network

        if model is not None:
            before = [str(name) for name in model["classes"]]
            yolo_network.take_over(network, state_arrays.to_state(network_arrays(model)), before, classes)
            return "from the last model", "earlier", ()
        name = f"yolo11{self.config.size}"
        source = detector_weights.Published(f"{name} trained on COCO", f"{ASSETS}/{name}.pt", hashed=False)
        begin = detector_weights.beginning(self.config.weights, [source])
        if begin.path is None:
            return begin.what, "scratch", begin.notes
        state, known = yolo_network.published(begin.path)
        yolo_network.fits(network, state, begin.path)
        yolo_network.take_over(network, state, known, classes)
        return begin.what, "published", begin.notes

    def unusable(self, model: Arrays) -> str | None:
        """See NetworkDetector.unusable."""
        try:
            _restored(model)
        except ValueError as error:
            return str(error)
        size = str(model["size"][0])
        return None if size == self.config.size else f"it is a YOLO11{size}, and a YOLO11{self.config.size} is set"

    def look(self, model: Arrays, parts: list[Images], progress: Progress | None) -> list[Found]:
        """See NetworkDetector.look."""
        try:
            network = _restored(model)
        except ValueError as error:
            raise ValueError(f"The stored model is none of the learner 'yolo' ({error}); train once more.") from None
        from ml_backend.learners import yolo_network

        config, network = self.config, yolo_network.ready(network)
        looking = yolo_network.Looking(config.low_score, config.overlap, config.max_boxes, BATCH)
        return [
            yolo_network.found(network, part, int(model["side"][0]), looking, tell)
            for part, tell in zip(parts, counted(progress, parts), strict=True)
        ]


def _restored(model: Arrays) -> nn.Module:
    """The network of a stored model; ValueError says why it is none."""
    ultralytics()
    from ml_backend.learners import yolo_network

    check_arrays(model, {"side", "size"})
    return yolo_network.restored(network_arrays(model), str(model["size"][0]), len(model["classes"]))


def _sample(lesson: Lesson) -> Images:
    """At most SETTLED of the images that were learned from, in the order of their contents."""
    order = sorted(lesson.learned.tolist(), key=lambda i: lesson.images.contents[i])
    return lesson.images.take(np.array(order[:: max(1, len(order) // SETTLED)][:SETTLED]))


def _side(lesson: Lesson) -> int:
    """The largest side of the labeled images, as a multiple of 32 px, at most LARGEST."""
    largest = max(max(size) for size in lesson.sizes)
    return int(min(LARGEST, max(64, -(-largest // 32) * 32)))
