"""Trains YOLO by ultralytics' own trainer, less all of it that writes, draws or calls out. Import it late."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from ml_backend.learners.box_dataset import Dataset
from ml_backend.learners.detector import EpochObserver
from ml_backend.learners.pixels import cores
from ml_backend.learners.ultralytics_quiet import seeded, ultralytics
from plugins.processors import device

LOSSES = {"box_loss": "box_loss", "cls_loss": "class_loss", "dfl_loss": "edge_loss"}  # ultralytics' names: ours


@dataclass(frozen=True)
class Course:
    """How a network is trained. rate: at the start, of AdamW; frozen: first layers that keep their weights."""

    epochs: int
    batch: int
    side: int
    rate: float
    frozen: int
    flip: bool
    mosaic: bool


class SinglePrecision:
    """A loss of what the network says, in single precision whatever the network computes in: in the bfloat16 of a GPU
    the place of an edge is known to a sixteenth of a cell, and small boxes have few cells."""

    def __init__(self, criterion: Callable[..., Any]) -> None:
        self._criterion = criterion

    def __call__(self, said: dict[str, Any], batch: dict[str, Any]) -> Any:
        """said: (n, ., cells) of boxes and scores, and the features of each level as a list."""
        exact = {
            name: [one.float() for one in value] if isinstance(value, list | tuple) else value.float()
            for name, value in said.items()
        }
        with torch.autocast(device().type, enabled=False):
            return self._criterion(exact, batch)


class Trainer(ultralytics().trainer):  # type: ignore[misc]  # ultralytics is untyped
    """Ultralytics' loop, augmentation, losses and averaged weights; validation, checkpoints and curves are ours."""

    def __init__(
        self, network: nn.Module, dataset: Dataset, classes: tuple[str, ...], settings: dict[str, Any]
    ) -> None:
        self._dataset, self._classes = dataset, classes
        super().__init__(overrides=settings)
        self.model = network

    def _setup_train(self) -> None:
        super()._setup_train()
        network: Any = self.model
        network.criterion = SinglePrecision(network.init_criterion())

    def get_dataset(self) -> dict[str, Any]:
        """As it would read data.yaml, without fetching a font for the names. What is held out stays out of it."""
        files = str(self._dataset.learned)
        names = dict(enumerate(self._classes))
        return {"path": str(self._dataset.description.parent), "train": files, "val": files, "names": names} | {
            "nc": len(names),
            "channels": 3,
        }

    def get_dataloader(self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
        """The training images; the loop asks for a second loader that it never reads."""
        return self.train_loader if mode == "val" else super().get_dataloader(dataset_path, batch_size, rank, mode)

    def get_validator(self) -> Any:
        return SimpleNamespace(metrics=SimpleNamespace(keys=[]), dataloader=None)

    def validate(self) -> tuple[dict[str, float], None]:
        return {}, None

    def _handle_nan_recovery(self, epoch: int) -> bool:
        if not bool(torch.as_tensor(self.loss).isfinite().all()):
            raise ValueError(f"Training diverged in epoch {epoch} (loss {float(self.loss)}); lower the learning rate.")
        return False

    def save_model(self) -> bool:
        return False

    def save_metrics(self, metrics: dict[str, float]) -> None:
        """Nothing: the ledger keeps the losses."""

    def final_eval(self) -> None:
        """Nothing: COCO's measure is taken on what was held out."""


def train(
    network: nn.Module,
    dataset: Dataset,
    classes: tuple[str, ...],
    course: Course,
    folder: Path,
    seed: int,
    observer: EpochObserver | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[nn.Module, dict[str, float]]:
    """The averaged network after the last epoch, and its losses. progress: (batches done, all of them)."""
    losses: dict[str, float] = {}
    done = 0

    def after_batch(trainer: Any) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, course.epochs * len(trainer.train_loader))

    def after_epoch(trainer: Any) -> None:
        losses.clear()
        losses.update({LOSSES.get(name, name): round(float(value), 6) for name, value in trainer.tloss.items()})
        losses["loss"] = round(math.fsum(losses.values()), 6)
        if observer is not None:
            observer(trainer.epoch, dict(losses))

    with seeded(seed):
        threads = torch.get_num_threads()
        trainer = Trainer(network, dataset, classes, _settings(course, folder, seed))
        torch.set_num_threads(threads)  # it has set all cores but one, and 8 at most
        trainer.add_callback("on_train_batch_end", after_batch)
        trainer.add_callback("on_fit_epoch_end", after_epoch)
        trainer.train()
    trained: nn.Module = trainer.ema.ema
    return trained, losses


def _settings(course: Course, folder: Path, seed: int) -> dict[str, Any]:
    """Ultralytics' own defaults, but for what a few dozen images need: a step for every batch, a short warm-up, and a
    last third of the epochs on whole images in place of mosaics."""
    on_gpu = device().type == "cuda"
    return {
        "task": "detect",
        "mode": "train",
        "model": "yolo11n.yaml",  # only its ending is read: the network is given
        "data": "data.yaml",
        "save_dir": str(folder / "training"),
        "device": "0" if on_gpu else "cpu",
        "amp": "bf16" if on_gpu else False,  # half precision would be tried out on weights that it fetches
        "workers": min(8, cores() - 1) if on_gpu else 0,
        "epochs": course.epochs,
        "batch": course.batch,
        "nbs": course.batch,
        "imgsz": course.side,
        "optimizer": "AdamW",
        "lr0": course.rate,
        "momentum": 0.9,
        "warmup_bias_lr": 0.0,
        "warmup_epochs": min(3.0, course.epochs / 10),
        "freeze": course.frozen or None,
        "fliplr": 0.5 if course.flip else 0.0,
        "mosaic": 1.0 if course.mosaic else 0.0,
        "close_mosaic": max(1, course.epochs // 3),
        "seed": seed % 2**31,
        "deterministic": True,
        "val": False,
        "save": False,
        "plots": False,
        "verbose": False,
        "exist_ok": True,
    }
