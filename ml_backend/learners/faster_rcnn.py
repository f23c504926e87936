"""Faster R-CNN: proposes places and decides on each; the detector of thesis ch. 2, slow without a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from ml_backend.learners import detector_weights
from ml_backend.learners.contract import Images
from ml_backend.learners.detector import Found, Progress
from ml_backend.learners.detector_weights import Published
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

if TYPE_CHECKING:
    from torchvision.models.detection import FasterRCNN as Network

HOST = "https://download.pytorch.org/models"
BACKBONES = ("resnet50", "mobilenet_v3")
PUBLISHED = {
    "resnet50": (
        Published("Faster R-CNN trained on COCO", f"{HOST}/fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"),
        Published("a ResNet-50 trained on ImageNet", f"{HOST}/resnet50-0676ba61.pth"),
    ),
    "mobilenet_v3": (
        Published("Faster R-CNN trained on COCO", f"{HOST}/fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth"),
        Published("a MobileNetV3 trained on ImageNet", f"{HOST}/mobilenet_v3_large-8738ca79.pth"),
    ),
}
PASSES: dict[Since, int] = {"scratch": 12_000, "published": 2_000, "earlier": 1_000}  # images seen in one training
BOUNDS: dict[Since, tuple[int, int]] = {"scratch": (26, 200), "published": (8, 52), "earlier": (4, 26)}
BATCH = 4  # images looked at together
NEEDED = {"backbone", "norm", "short_side"}


class FasterRCNNConfig(DetectorConfig):
    """Thesis ch. 2: height 300 px, from COCO's weights, then from the last cycle's. It names no learning rate, so rate,
    momentum, decay and falls are those of torchvision's reference training."""

    backbone: Literal["resnet50", "mobilenet_v3"] = Field(
        "resnet50", description="resnet50 is the thesis'; mobilenet_v3 sees less and is five times faster on a CPU."
    )
    image_side: int = Field(
        300,
        ge=64,
        le=1600,
        description="Px that the shorter side of an image is resized to (thesis: 300, the height of its frames). "
        "Larger finds smaller objects, at a cost in its square.",
    )
    batch: int = Field(4, ge=1, le=256, description="Images per step; more needs more memory, and raises the step.")
    rate: float = Field(
        0.02,
        gt=0,
        le=1,
        description="Learning rate at the start, per step, for a batch of 16; scaled in proportion to the batch.",
    )
    overlap: float = Field(
        0.5, gt=0, lt=1, description="IoU above which the weaker of two boxes of one class counts as its double."
    )


class FasterRCNN(NetworkDetector[FasterRCNNConfig]):
    """Region proposals, then a softmax over classes and background and a corrected box for each (Ren et al. 2015).

    A proposal becomes one box, of its likeliest class. probabilities: its softmax without the background, normalised
    to sum 1.
    """

    name, title = "faster_rcnn", "Faster R-CNN"
    summary = "Draws boxes in two steps: the thesis' detector; slow without a GPU unless its backbone is mobilenet_v3."
    reference = "Ren et al. 2015; Lin et al. 2017 (FPN); thesis ch. 2, setup"
    what = "Faster R-CNN"

    def train(self, lesson: Lesson, model: Arrays | None) -> Trained:
        """See NetworkDetector.train."""
        from ml_backend.learners import faster_rcnn_training, state_arrays
        from ml_backend.learners.network import seeded

        config, progress = self.config, lesson.progress
        order = np.array(sorted(lesson.learned.tolist(), key=lambda i: lesson.images.contents[i]))
        with seeded(lesson.seed):
            network, norm, origin, since, notes = self._begun(lesson.classes, model)
            epochs = config.epochs or sized_epochs(len(order), since, PASSES, BOUNDS)
            losses = faster_rcnn_training.train(
                network,
                lesson.images.take(order),
                lesson.boxes.of(order),
                faster_rcnn_training.Course(epochs, config.batch, config.rate, config.flip),
                lesson.seed,
                lesson.observer,
                None if progress is None else lambda done, total: progress("training", done, total),
            )
        arrays = {PREFIX + name: array for name, array in state_arrays.to_arrays(network).items()}
        arrays |= {
            "backbone": np.array([config.backbone]),
            "norm": np.array([norm]),
            "short_side": np.array([config.image_side]),
        }
        return Trained(arrays, origin, since, epochs, losses, notes)

    def _begun(
        self, classes: tuple[str, ...], model: Arrays | None
    ) -> tuple[Network, str, str, Since, tuple[str, ...]]:
        """A network with the weights in that training begins at, its kind of normalisation, where from, and notes."""
        from ml_backend.learners import faster_rcnn_network as net
        from ml_backend.learners import state_arrays

        config = self.config
        if model is not None:
            norm: net.Norm = "frozen" if str(model["norm"][0]) == "frozen" else "group"
            network = net.build(config.backbone, norm, len(classes), config.image_side)
            before = [str(name) for name in model["classes"]]
            net.take_over(network, state_arrays.to_state(network_arrays(model)), before, classes)
            return network, norm, "from the last model", "earlier", ()
        begin = detector_weights.beginning(config.weights, PUBLISHED[config.backbone])
        if begin.path is None:
            network = net.build(config.backbone, "group", len(classes), config.image_side)
            return network, "group", begin.what, "scratch", begin.notes
        network = net.build(config.backbone, "frozen", len(classes), config.image_side)
        net.take_published(network, begin.path, classes)
        return network, "frozen", begin.what, "published", begin.notes

    def unusable(self, model: Arrays) -> str | None:
        """See NetworkDetector.unusable."""
        try:
            _restored(model)
        except ValueError as error:
            return str(error)
        backbone = str(model["backbone"][0])
        other = backbone != self.config.backbone
        return f"its backbone is {backbone}, and {self.config.backbone} is set" if other else None

    def look(self, model: Arrays, parts: list[Images], progress: Progress | None) -> list[Found]:
        """See NetworkDetector.look."""
        from ml_backend.learners import faster_rcnn_network

        try:
            network = _restored(model)
        except ValueError as error:
            fault = f"The stored model is none of the learner 'faster_rcnn' ({error}); train once more."
            raise ValueError(fault) from None
        config = self.config
        return [
            faster_rcnn_network.found(
                network,
                part,
                low=config.low_score,
                overlap=config.overlap,
                most=config.max_boxes,
                batch=BATCH,
                progress=tell,
            )
            for part, tell in zip(parts, counted(progress, parts), strict=True)
        ]


def _restored(model: Arrays) -> Network:
    """The network of a stored model; ValueError says why it is none."""
    from ml_backend.learners import faster_rcnn_network

    check_arrays(model, NEEDED)
    backbone, norm = str(model["backbone"][0]), str(model["norm"][0])
    if backbone not in BACKBONES or norm not in ("frozen", "group"):
        raise ValueError(f"'{backbone}' with '{norm}' is no backbone")
    return faster_rcnn_network.restored(
        network_arrays(model),
        backbone,  # type: ignore[arg-type]  # one of the two
        norm,  # type: ignore[arg-type]
        len(model["classes"]),
        int(model["short_side"][0]),
    )
