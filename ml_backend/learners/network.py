"""A network as every learner here has it, ResNet-18 or small: what it is, and how it predicts. Imports torch late."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ml_backend.learners import dropout
from ml_backend.learners.pictures import Pictures
from plugins.contract import IntArray
from plugins.processors import device

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[np.float32]
BLOCKS = {"cpu": 256, "cuda": 1024}  # images predicted at a time


class Network(nn.Module):
    """Pixels -> body -> (dropout -> hidden -> ReLU) -> features -> dropout -> head -> logits.

    body: (n, channels, side, side) normalised -> (n, W); it holds no dropout. hidden: a linear layer, or None where
    the body's vectors are the features. mean, std: of each channel, on the scale 0 to 1. rate: of both dropouts.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        body: nn.Module,
        hidden: nn.Linear | None,
        head: nn.Linear,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        rate: float,
    ) -> None:
        super().__init__()
        self.body, self.hidden, self.head, self.rate = body, hidden, head, rate
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    @property
    def widths(self) -> list[int]:
        """Of the vectors that dropout acts on, in order."""
        return [*([] if self.hidden is None else [self.hidden.in_features]), self.head.in_features]

    def trunk(self, images: torch.Tensor) -> torch.Tensor:
        """(n, side, side, channels) uint8 -> (n, W): all that comes before the first dropout."""
        vectors: torch.Tensor = self.body(((images.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2))
        return vectors

    def tail(self, vectors: torch.Tensor, masks: Sequence[torch.Tensor] = ()) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (n, D) and logits (n, C) of the trunk's vectors; masks (width,) stand in for the dropouts."""
        acting = iter(masks)

        def drop(x: torch.Tensor) -> torch.Tensor:
            return x * next(acting) if masks else functional.dropout(x, self.rate, self.training)

        features = vectors if self.hidden is None else functional.relu(self.hidden(drop(vectors)))
        return features, self.head(drop(features))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, side, side, channels) uint8 -> logits (n, C)."""
        return self.tail(self.trunk(images))[1]


def to_arrays(network: Network) -> Arrays:
    return {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}


def load_arrays(network: Network, arrays: Arrays) -> None:
    """Puts `to_arrays` of a network of the same shape into this one."""
    own = network.state_dict()
    if set(own) != set(arrays):
        raise ValueError("The stored network has other layers than this version's; train once more.")
    network.load_state_dict({k: torch.tensor(arrays[k]).reshape(v.shape) for k, v in own.items()})


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generators under a seed, put back afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def on_device(network: Network) -> Network:
    """The network where `device` says, its filters channels last."""
    return network.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # torch's stub lacks it


def autocast() -> contextlib.AbstractContextManager[Any]:
    """bfloat16 on a GPU, single precision on a CPU."""
    on_gpu = device().type == "cuda"
    return torch.autocast("cuda", dtype=torch.bfloat16) if on_gpu else contextlib.nullcontext()


def _vectors(network: Network, pictures: Pictures) -> Iterator[tuple[slice, torch.Tensor]]:
    """The trunk's vectors of all pictures, block by block, everything in evaluation mode."""
    on_device(network).eval()
    for rows in pictures.blocks(BLOCKS[device().type]):
        with autocast():
            vectors = network.trunk(pictures[rows])
        yield rows, vectors.float()


@torch.inference_mode()
def infer(network: Network, pictures: Pictures) -> tuple[Floats, Floats]:
    """Logits (n, C) and penultimate features (n, D)."""
    logits = np.empty((len(pictures), network.head.out_features), dtype=np.float32)
    features = np.empty((len(pictures), network.head.in_features), dtype=np.float32)
    for rows, vectors in _vectors(network, pictures):
        seen, scores = network.tail(vectors)
        features[rows], logits[rows] = seen.cpu().numpy(), scores.cpu().numpy()
    return logits, features


@torch.inference_mode()
def labels(network: Network, pictures: Pictures) -> IntArray:
    """(n,) the likeliest class of each picture; they leave the device once, all together."""
    found = [network.tail(vectors)[1].argmax(dim=1) for _, vectors in _vectors(network, pictures)]
    return np.asarray(torch.cat(found).cpu().numpy()) if found else np.empty(0, dtype=np.int64)


@torch.inference_mode()
def expected(network: Network, pictures: Pictures, masks: Sequence[Floats]) -> dropout.Columns:
    """Means over M dropout passes; masks: (M, width) of each dropout. Only the tail is computed M times."""
    drawn = [torch.tensor(mask, device=device()) for mask in masks]
    passes = len(masks[0])
    means = dropout.Means(len(pictures), network.head.out_features, passes)
    for rows, vectors in _vectors(network, pictures):

        def each(vectors: torch.Tensor = vectors) -> Iterator[NDArray[np.float64]]:
            for number in range(passes):
                logits = network.tail(vectors, [mask[number] for mask in drawn])[1]
                yield torch.softmax(logits.double(), dim=1).cpu().numpy()

        means.add(rows, each())
    return means.columns()
