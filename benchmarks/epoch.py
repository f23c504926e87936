"""`python -m benchmarks epoch`: seconds of a ResNet-18 epoch on 50 000 images of 32 px, beside a textbook loop."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ml_backend.learners import architectures, backbone
from ml_backend.learners import network as net
from ml_backend.learners.contract import Images
from ml_backend.learners.pictures import Augmentation, Pictures
from ml_backend.learners.training import Schedule, train
from plugins.processors import device

TITLE = "ResNet-18 on 50 000 images of 32 px: seconds per epoch at batch 256, beside a textbook PyTorch loop"
CLASSES, SIDE, CROP = 10, 32, 4
RATE, MOMENTUM, DECAY = 0.02, 0.9, 5e-4  # thesis ch. 3


class Textbook(Dataset[tuple[torch.Tensor, int]]):
    """Crop, flip and normalisation image by image, as tutorials write them."""

    def __init__(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self._pixels, self._labels = pixels, labels
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(SIDE, padding=CROP),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(backbone.MEAN, backbone.STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[item])), int(self._labels[item])


def run(n: int = 50_000, batch: int = 256, epochs: int = 5) -> dict[str, Any]:
    """rows: per way of training the seconds of its first epoch (compiling and warming up) and the median of the others,
    images per second, and how many times as fast as the textbook loop it is."""
    if not torch.cuda.is_available():
        return {"skipped": "PyTorch sees no GPU on this machine, and an epoch on a CPU says nothing about one"}
    rows = compare(n, batch, epochs, workers=min(16, os.cpu_count() or 1))
    return {"rows": rows, "images": n, "batch": batch, "epochs": epochs, "device": torch.cuda.get_device_name()}


def compare(n: int, batch: int, epochs: int, workers: int) -> list[dict[str, Any]]:
    """The rows of `run` on n random images; workers: processes of the textbook loop's DataLoader."""
    if epochs < 2:
        raise ValueError(f"{epochs} epoch leaves nothing beside the first one, which warms up; time at least 2.")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, size=(n, SIDE, SIDE, 3), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, size=n)
    ways: dict[str, Callable[[], list[float]]] = {
        "textbook loop, float32": lambda: textbook(pixels, labels, batch, epochs, workers, bfloat16=False),
        "textbook loop, bfloat16": lambda: textbook(pixels, labels, batch, epochs, workers, bfloat16=True),
        "ours": lambda: ours(pixels, labels, batch, epochs, compiled=False),
        "ours, compiled": lambda: ours(pixels, labels, batch, epochs, compiled=True),
    }
    rows: list[dict[str, Any]] = []
    for name, way in ways.items():
        first, *others = way()
        seconds = float(np.median(others))
        rows.append({"way": name, "first_epoch": round(first, 3), "epoch_seconds": round(seconds, 3)})
        rows[-1] |= {"images_per_second": round(n / seconds), "times_textbook": round(_first(rows) / seconds, 2)}
    return rows


def _first(rows: list[dict[str, Any]]) -> float:
    return float(rows[0]["epoch_seconds"])


def ours(
    pixels: NDArray[np.uint8], labels: NDArray[np.int64], batch: int, epochs: int, *, compiled: bool
) -> list[float]:
    """Seconds of each epoch of the learner's own training; the pictures' way to the device is in the first."""
    ends: list[float] = []
    with net.seeded(0):
        network = architectures.resnet18(CLASSES, SIDE, 0.0)
        augmentation = Augmentation(CROP, flip=True)
        schedule = Schedule(epochs, batch, RATE, MOMENTUM, DECAY, augmentation, compile_from=0 if compiled else None)
        began = time.perf_counter()
        pictures = Pictures(Images.in_memory(pixels), SIDE, "RGB")
        train(network, pictures, labels, np.arange(len(labels)), schedule, 0, lambda _: ends.append(_now()))
    return [end - start for start, end in itertools.pairwise([began, *ends])]


def textbook(
    pixels: NDArray[np.uint8], labels: NDArray[np.int64], batch: int, epochs: int, workers: int, *, bfloat16: bool
) -> list[float]:
    """Seconds of each epoch of a loop over a DataLoader, with the same model, optimizer and augmentation."""
    torch.manual_seed(0)
    network = architectures.resnet18(CLASSES, SIDE, 0.0).to(device()).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    loader = DataLoader(
        Textbook(pixels, labels),
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        pin_memory=device().type == "cuda",
        persistent_workers=workers > 0,
    )
    seconds = []
    for _ in range(epochs):
        began = time.perf_counter()
        for images, answers in loader:
            inputs, targets = images.to(device(), non_blocking=True), answers.to(device(), non_blocking=True)
            with torch.autocast(device().type, dtype=torch.bfloat16, enabled=bfloat16):
                loss = functional.cross_entropy(network.tail(network.body(inputs))[1], targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        seconds.append(_now() - began)
    return seconds


def _now() -> float:
    """The time once the device has done what was asked of it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    from rich.console import Console

    from benchmarks.record import run as record

    record("epoch", Console())
