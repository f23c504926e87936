"""Training by the schedule of thesis ch. 3, everything on the device. Imports torch: import it late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ml_backend.learners.network import Network, autocast, on_device
from ml_backend.learners.pictures import Augmentation, Pictures, augmented
from plugins.contract import IntArray
from plugins.processors import device


@dataclass(frozen=True)
class Schedule:
    """The rate falls to a fifth at 60 % and 80 % of the epochs (thesis ch. 3).

    adaptive: AdamW (Loshchilov & Hutter 2019) with `momentum` as its first beta, else SGD with momentum.
    compile_from: steps from which a training on a GPU is worth compiling; None: never.
    """

    epochs: int
    batch: int
    rate: float
    momentum: float
    decay: float
    augmentation: Augmentation
    adaptive: bool = False
    compile_from: int | None = None

    def optimizer(self, network: Network) -> torch.optim.Optimizer:
        weights = list(network.parameters())
        if self.adaptive:
            betas = (self.momentum, 0.999)
            return torch.optim.AdamW(weights, self.rate, betas=betas, weight_decay=self.decay, fused=True)
        return torch.optim.SGD(weights, self.rate, self.momentum, weight_decay=self.decay, fused=True)


@torch.backends.cudnn.flags(enabled=True, deterministic=True)  # sums in one order, so that a seed fixes the result
def train(
    network: Network,
    pictures: Pictures,
    labels: IntArray,
    items: IntArray,
    schedule: Schedule,
    seed: int,
    after_epoch: Callable[[int], None],
) -> float:
    """Trains in place on the n > 1 pictures at `items`; returns the mean loss of the last epoch.

    labels: (L,) of all pictures. The order of an epoch, its shifts and mirrors are drawn on the host and sent at once.
    """
    rng = np.random.default_rng(seed)
    target = torch.tensor(labels, device=device())
    on_device(network)
    optimizer = schedule.optimizer(network)
    falling = torch.optim.lr_scheduler.MultiStepLR(optimizer, falls(schedule.epochs), gamma=0.2)
    parts, augmentation = batches(len(items), schedule.batch), schedule.augmentation
    compiled = _compiled(network, schedule, len(items))
    mean_loss = float("nan")
    for epoch in range(schedule.epochs):
        network.train()
        order = torch.tensor(rng.permutation(items), device=device())
        moves = augmentation.draw(len(items), rng)
        losses = []
        for part in parts:
            forward = compiled if part.stop - part.start == schedule.batch else network  # each size compiles anew
            images = augmented(pictures[order[part]], moves[part], augmentation.crop)
            with autocast():
                loss = functional.cross_entropy(forward(images), target[order[part]])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            losses.append(loss.detach())
        falling.step()
        mean_loss = float(torch.stack(losses).mean())
        if not np.isfinite(mean_loss):
            raise ValueError(f"Training diverged in epoch {epoch} (loss {mean_loss}); lower the learning rate.")
        after_epoch(epoch)
    return mean_loss


def falls(epochs: int) -> list[int]:
    """After how many epochs the rate falls.

    >>> falls(100), falls(2)
    ([60, 80], [1, 2])
    """
    return [max(1, round(epochs * part)) for part in (0.6, 0.8)]


def batches(n: int, size: int) -> list[slice]:
    """Batches of `size`; a last one of a single item joins the one before, since it has no variance to normalise by.

    >>> [part.stop - part.start for part in batches(33, 16)], [part.stop - part.start for part in batches(34, 16)]
    ([16, 17], [16, 16, 2])
    """
    cuts = list(range(size, n, size))
    if cuts and n - cuts[-1] == 1:
        cuts.pop()
    return [slice(start, stop) for start, stop in zip([0, *cuts], [*cuts, n], strict=True)]


def _compiled(network: Network, schedule: Schedule, n: int) -> Callable[[torch.Tensor], torch.Tensor]:
    worth = schedule.compile_from is not None and schedule.epochs * (n // schedule.batch) >= schedule.compile_from
    if worth and device().type == "cuda":
        compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(network, dynamic=False)
        return compiled
    return network
