"""Trains Faster R-CNN by torchvision's reference schedule. Imports torch: import it late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.detection import FasterRCNN

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import EpochObserver, LabeledBoxes
from ml_backend.learners.faster_rcnn_network import as_tensor
from ml_backend.learners.network import autocast
from ml_backend.learners.shown import ahead, picture
from ml_backend.learners.training import batches
from plugins.processors import device

LOSSES = {
    "loss_classifier": "class_loss",
    "loss_box_reg": "box_loss",
    "loss_objectness": "object_loss",
    "loss_rpn_box_reg": "proposal_loss",
}
FALLS = (16 / 26, 22 / 26)  # of all epochs, after which the rate falls to a tenth
WARM_UP = 1000  # steps of the first epoch over which the rate rises from a thousandth
KEPT = 1 << 30  # bytes of decoded images kept in memory from epoch to epoch


@dataclass(frozen=True)
class Course:
    """torchvision's references/detection/train.py: SGD with momentum .9 and weight decay 1e-4, the rate given for a
    batch of 16 and scaled with the batch."""

    epochs: int
    batch: int
    rate: float
    flip: bool


class Pictures:
    """The images to learn from, decoded ahead of the network and kept where they fit."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._free = KEPT

    def _read(self, item: int) -> NDArray[np.uint8]:
        kept = self._kept.get(item)
        if kept is None:
            kept = picture(self._images, item)
            if kept.nbytes <= self._free:
                self._free -= kept.nbytes
                self._kept[item] = kept
        return kept

    def each(self, order: list[int], window: int) -> Iterator[NDArray[np.uint8]]:
        return ahead(self._read, order, window)


@torch.backends.cudnn.flags(enabled=True, deterministic=True)  # sums in one order, so that a seed fixes the result
def train(
    network: FasterRCNN,
    images: Images,
    boxes: LabeledBoxes,
    course: Course,
    seed: int,
    observer: EpochObserver | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Trains in place on n images with their boxes; returns the losses of the last epoch, means over its steps.

    progress: (steps done, all of them). The order of an epoch and its mirrors are drawn on the host.
    """
    rng = np.random.default_rng(seed)
    network.to(device()).train()
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    rate = course.rate * course.batch / 16
    optimizer = torch.optim.SGD(weights, rate, momentum=0.9, weight_decay=1e-4)
    parts, pictures, losses = batches(len(images), course.batch), Pictures(images), {}
    step, steps = 0, course.epochs * len(parts)
    for epoch in range(course.epochs):
        order, mirrored = rng.permutation(len(images)), rng.random(len(images)) < 0.5 * course.flip
        decoded = pictures.each(order.tolist(), 2 * course.batch)
        sums: dict[str, float] = {}
        for part in parts:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor(step, len(parts), course.epochs)
            pairs = [example(next(decoded), boxes, int(i), bool(mirrored[i])) for i in order[part]]
            with autocast():
                found: dict[str, torch.Tensor] = network([one for one, _ in pairs], [target for _, target in pairs])
                total = torch.stack(list(found.values())).sum()
            optimizer.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            torch.nn.utils.clip_grad_norm_(weights, 10.0)
            optimizer.step()
            if not bool(total.isfinite()):
                raise ValueError(
                    f"Training diverged in epoch {epoch} (loss {float(total.detach())}); lower the learning rate."
                )
            for name, value in found.items():
                sums[LOSSES[name]] = sums.get(LOSSES[name], 0.0) + float(value.detach())
            step += 1
            if progress is not None:
                progress(step, steps)
        losses = {name: round(value / len(parts), 6) for name, value in sums.items()}
        losses["loss"] = round(sum(losses.values()), 6)
        if observer is not None:
            observer(epoch, dict(losses))
    return losses


def factor(step: int, of_epoch: int, epochs: int) -> float:
    """What the rate is multiplied by at a step.

    >>> [round(factor(step, 10, 26), 4) for step in (0, 9, 10, 159, 160, 220)]
    [0.001, 1.0, 1.0, 1.0, 0.1, 0.01]
    """
    warm = min(WARM_UP, of_epoch - 1)
    if step < warm:
        return 0.001 + 0.999 * step / warm
    return 0.1 ** sum(step // of_epoch >= round(epochs * fall) for fall in FALLS if epochs > 2)


def example(
    pixels: NDArray[np.uint8], boxes: LabeledBoxes, item: int, mirrored: bool
) -> tuple[torch.Tensor, dict[str, Any]]:
    """One image and its boxes as torchvision takes them; class 0 is the background."""
    rows = np.flatnonzero(boxes.item == item)
    box = torch.tensor(boxes.box[rows], dtype=torch.float32, device=device()).reshape(-1, 4)
    label = torch.tensor(boxes.label[rows] + 1, dtype=torch.int64, device=device())
    tensor = as_tensor(pixels)
    if mirrored:
        tensor, width = tensor.flip(2), tensor.shape[2]
        box = torch.stack([width - box[:, 2], box[:, 1], width - box[:, 0], box[:, 3]], dim=1)
    return tensor, {"boxes": box, "labels": label}
