"""ResNet-18 for images of any size, and its training by the schedule of thesis ch. 3. Imports torch: import it late."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torchvision.models import resnet18

from ml_backend.learners.contract import Images
from ml_backend.learners.pixels import Bytes, read_all
from plugins.contract import IntArray

SMALL = 64  # px: up to here the first layers keep the resolution, as He et al. 2016 do on CIFAR
KEPT = 1 << 30  # bytes of decoded images kept in memory, the rest is decoded again each epoch
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Schedule:
    """SGD with momentum; the rate falls to a fifth at 60 % and 80 % of the epochs (thesis ch. 3)."""

    epochs: int
    batch: int
    rate: float
    momentum: float
    decay: float
    crop: int
    flip: bool


class Pictures:
    """n images as (side, side, 3) uint8, kept decoded while they fit into memory."""

    def __init__(self, images: Images, side: int) -> None:
        self._images, self._side = images, side
        small = len(images) * side * side * 3 <= KEPT
        self._all = read_all(images, (side, side), "RGB") if small and len(images) else None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, items: IntArray) -> Bytes:
        if self._all is not None:
            return np.asarray(self._all[items])
        return read_all(self._images.take(items), (self._side, self._side), "RGB")


def build(classes: int, side: int) -> nn.Module:
    """ResNet-18 over `classes`, with a 3 x 3 first layer and no pooling after it for images up to 64 px."""
    model: nn.Module = resnet18(weights=None, num_classes=classes)
    if side <= SMALL:
        model.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
        model.maxpool = nn.Identity()
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    return model


def start_from(model: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Copies published weights wherever names and shapes agree; a small-image stem keeps its own first layer."""
    own = model.state_dict()
    fitting = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
    model.load_state_dict({**own, **fitting})


def to_arrays(model: nn.Module) -> Arrays:
    return {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}


def from_arrays(arrays: Arrays, classes: int, side: int) -> nn.Module:
    model = build(classes, side)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(np.array(arrays[name])).reshape(shapes[name]) for name in shapes})
    return model


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generators under a seed, put back afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _autocast() -> contextlib.AbstractContextManager[Any]:
    on_gpu = device().type == "cuda"
    return torch.autocast("cuda", dtype=torch.bfloat16) if on_gpu else contextlib.nullcontext()


def _tensor(images: Bytes) -> torch.Tensor:
    """(n, 3, side, side), normalised, channels last in memory."""
    where = device()
    batch = torch.from_numpy(np.ascontiguousarray(images)).to(where).float() / 255
    return ((batch - torch.tensor(MEAN, device=where)) / torch.tensor(STD, device=where)).permute(0, 3, 1, 2)


def augmented(images: Bytes, crop: int, flip: bool, rng: np.random.Generator) -> Bytes:
    """Each of (n, side, side, 3) moved by up to `crop` px, edges filled with black, and mirrored half of the time."""
    side = images.shape[1]
    padded = np.pad(images, ((0, 0), (crop, crop), (crop, crop), (0, 0)))
    moves = rng.integers(0, 2 * crop + 1, size=(len(images), 2))
    mirror = rng.random(len(images)) < 0.5
    out = np.empty_like(images)
    for i, (down, right) in enumerate(moves):
        part = padded[i, down : down + side, right : right + side]
        out[i] = part[:, ::-1] if flip and mirror[i] else part
    return out


def train(
    model: nn.Module,
    pictures: Pictures,
    labels: IntArray,
    schedule: Schedule,
    seed: int,
    after_epoch: Callable[[int], None],
) -> float:
    """Trains in place on all n > 1 pictures; returns the mean loss of the last epoch."""
    rng = np.random.default_rng(seed)
    model.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    optimizer = torch.optim.SGD(
        model.parameters(), lr=schedule.rate, momentum=schedule.momentum, weight_decay=schedule.decay
    )
    falls = [max(1, round(schedule.epochs * part)) for part in (0.6, 0.8)]
    falling = torch.optim.lr_scheduler.MultiStepLR(optimizer, falls, gamma=0.2)
    mean_loss = float("nan")
    for epoch in range(schedule.epochs):
        model.train()
        losses = []
        for items in _batches(rng.permutation(len(pictures)), schedule.batch):
            images = augmented(pictures[items], schedule.crop, schedule.flip, rng)
            with _autocast():
                loss = functional.cross_entropy(model(_tensor(images)), torch.from_numpy(labels[items]).to(device()))
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


def _batches(order: IntArray, size: int) -> list[IntArray]:
    """Batches of `size`; a last one of a single item joins the one before, since it has no variance to normalise by."""
    cuts = list(range(size, len(order), size))
    if cuts and len(order) - cuts[-1] == 1:
        cuts.pop()
    return list(np.split(order, cuts))


def infer(model: nn.Module, pictures: Pictures, batch: int = 256) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits (n, C) and penultimate features (n, 512)."""
    head = model.fc
    assert isinstance(head, nn.Linear)  # build() made it
    model.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    model.eval()
    features = np.empty((len(pictures), head.in_features), dtype=np.float32)
    logits = np.empty((len(pictures), head.out_features), dtype=np.float32)
    model.fc = nn.Identity()
    try:
        with torch.inference_mode(), _autocast():
            for start in range(0, len(pictures), batch):
                items = np.arange(start, min(start + batch, len(pictures)))
                vectors = model(_tensor(pictures[items])).float()
                features[items], logits[items] = vectors.cpu().numpy(), head(vectors).float().cpu().numpy()
    finally:
        model.fc = head
    return logits, features
