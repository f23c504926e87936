"""YOLO11 as a network: built, filled from arrays or weights, looking at images. Imports torch: import it late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.ops import nms

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import Found
from ml_backend.learners.gathering import Gathering
from ml_backend.learners.shown import empty, in_batches, one_size, picture, sizes
from ml_backend.learners.state_arrays import fill
from ml_backend.learners.ultralytics_quiet import ultralytics
from ml_backend.learners.weights import WeightsError
from plugins.contract import IntArray
from plugins.processors import device

Arrays = dict[str, NDArray[Any]]
STRIDE = 32  # px: the coarsest cells of YOLO's head; sides are multiples of it
CANDIDATES = 3000  # best cells of an image among which doubles are looked for


@dataclass(frozen=True)
class Looking:
    """low: score above which a box is kept; overlap: IoU above which the weaker of two boxes of a class is a double;
    most: boxes of an image; batch: images at a time."""

    low: float
    overlap: float
    most: int
    batch: int


def build(size: str, classes: int) -> nn.Module:
    """YOLO11 of a size (n, s, m, l, x) with random weights."""
    network: nn.Module = ultralytics().model(f"yolo11{size}.yaml", ch=3, nc=classes, verbose=False)
    return network


def published(path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    """State and class names of a weights file of ultralytics', of which only known classes are unpickled."""
    try:
        checkpoint, _ = ultralytics().load(str(path.absolute()), safe_only=True)
        model = checkpoint.get("ema") or checkpoint["model"]
        names = model.names
        return model.float().state_dict(), [str(names[number]) for number in sorted(names)]
    except Exception as error:  # torch raises pickle, zip, key and type errors for a wrong file
        said = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} holds no YOLO weights ({said}); name a detection model of ultralytics'.") from error


def take_over(network: nn.Module, state: dict[str, torch.Tensor], names: list[str], classes: tuple[str, ...]) -> int:
    """Copies what fits: all layers of equal shape, and of the last ones the rows of classes of the same name.

    names: what the rows of `state` stand for. Returns how many of the C classes were known.
    """
    own = network.state_dict()
    known = {name.casefold(): row for row, name in reversed(list(enumerate(names)))}
    pairs = [(mine, known[name.casefold()]) for mine, name in enumerate(classes) if name.casefold() in known]
    filled = {}
    for name, tensor in state.items():
        if name not in own:
            continue
        if _is_last(name):
            rows = own[name].clone()
            if rows.shape[1:] == tensor.shape[1:]:
                for mine, theirs in pairs:
                    rows[mine] = tensor[theirs]
            filled[name] = rows
        elif own[name].shape == tensor.shape:
            filled[name] = tensor
    network.load_state_dict({**own, **filled})
    return len(pairs)


def fits(network: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """WeightsError unless the backbone of a weights file is this network's."""
    own = network.state_dict()
    wrong = [name for name in own if name.startswith(("model.0.", "model.9."))]
    if any(name not in state or state[name].shape != own[name].shape for name in wrong):
        raise WeightsError(f"{path} holds another network than the learner's `size` says; set its `size` to match.")


def restored(arrays: Arrays, size: str, classes: int) -> nn.Module:
    """The network behind `to_arrays`; ValueError says why arrays are no YOLO11 of a size and number of classes."""
    if size not in ("n", "s", "m", "l", "x"):
        raise ValueError(f"'{size}' is no size of YOLO11")
    network = build(size, classes)
    fill(network, arrays)
    return network


def _is_last(name: str) -> bool:
    """Whether a tensor has a row for each class: the convolution that ends each of the head's class branches."""
    parts = name.split(".")
    return "cv3" in parts and parts[-2] == "2" and len(parts) == 6


@torch.no_grad()
def settle(network: nn.Module, images: Images, side: int, batch: int) -> None:
    """Takes the statistics of normalisation anew, on images as it will see them (Wu & Johnson 2021, "precise BN").

    Running means forget their first values only after hundreds of steps; before that, a network that has learned well
    finds nothing when it looks.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    network.to(device()).eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches
        layer.train()
    fits = [Fitting.into(shape, side) for shape in sizes(images)]
    for group in one_size([fit.outer for fit in fits], batch):
        stacked = np.stack([fits[i].put(picture(images, i)) for i in group])
        network(torch.from_numpy(stacked).to(device()).permute(0, 3, 1, 2).float().div_(255))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def ready(network: nn.Module) -> nn.Module:
    """For looking alone: normalisation folded into the filters, channels last, in half precision on a GPU."""
    fusing: Any = network.eval()
    fused: nn.Module = fusing.fuse(verbose=False)
    fused = fused.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    return fused.half() if device().type == "cuda" else fused


@dataclass(frozen=True)
class Fitting:
    """How an image of `shape` goes into the network: scaled to `inner`, and grey around it up to `outer`; rows and
    columns first. left, top: px of grey before it; scale: network px of an image px, in x and y."""

    shape: tuple[int, int]
    inner: tuple[int, int]
    outer: tuple[int, int]
    top: int
    left: int

    @classmethod
    def into(cls, shape: tuple[int, int], side: int) -> Fitting:
        """The larger side becomes `side` px, and both are filled up to the next multiple of STRIDE.

        >>> Fitting.into((270, 480), 320)
        Fitting(shape=(270, 480), inner=(180, 320), outer=(192, 320), top=6, left=0)
        """
        scale = side / max(shape)
        inner = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
        outer = -inner[0] % STRIDE + inner[0], -inner[1] % STRIDE + inner[1]
        return cls(shape, inner, outer, (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2)

    def put(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        canvas = empty(self.outer)
        if pixels.shape[:2] != self.inner:
            pixels = cv2.resize(pixels, self.inner[::-1], interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        canvas[self.top : self.top + self.inner[0], self.left : self.left + self.inner[1]] = pixels
        return canvas

    def back(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """Corners (k, 4) in network px -> px of the image, inside it."""
        scale = np.array([self.inner[1] / self.shape[1], self.inner[0] / self.shape[0]] * 2, dtype=np.float32)
        moved = (box - np.array([self.left, self.top] * 2, dtype=np.float32)) / scale
        limits = np.array(self.shape[::-1] * 2, dtype=np.float32)
        return np.asarray(np.clip(moved, 0, limits), dtype=np.float32)


@torch.inference_mode()
def found(
    network: nn.Module, images: Images, side: int, looking: Looking, progress: Callable[[int], None] | None = None
) -> Found:
    """What a network that is `ready` sees on n images, batch by batch of one shape, decoded on all cores.

    progress: is told how many images are done.
    """
    whole: Any = network
    fits = [Fitting.into(shape, side) for shape in sizes(images)]
    batches = one_size([fit.outer for fit in fits], looking.batch)
    on_gpu = device().type == "cuda"
    decoded = in_batches(lambda i: fits[i].put(picture(images, i)), batches, overlap=on_gpu)
    gathering, done = Gathering(len(images), whole.model[-1].nc), 0
    for batch, canvases in zip(batches, decoded, strict=True):
        stacked = torch.from_numpy(np.stack(canvases)).to(device())
        pixels = stacked.permute(0, 3, 1, 2).to(next(network.parameters()).dtype).div_(255)
        output = network(pixels)
        cells = output[0] if isinstance(output, tuple) else output
        for item, image in zip(batch, cells, strict=True):
            corners, score, label, distribution = _boxes(image, looking)
            gathering.put(item, fits[item].back(corners), score, label, distribution)
        done += len(batch)
        if progress is not None:
            progress(done)
    return gathering.found()


def _boxes(cells: torch.Tensor, looking: Looking) -> tuple[NDArray[np.float32], Any, IntArray, Any]:
    """Boxes of one image by falling score. cells: (4 + C, A): centre x, centre y, width, height, sigmoids by class."""
    best, label = cells[4:].max(dim=0)
    kept = torch.nonzero(best > looking.low).flatten()
    if len(kept) > CANDIDATES:
        kept = kept[best[kept].topk(CANDIDATES).indices]
    chosen, score, label = cells[:, kept].float(), best[kept].float(), label[kept]
    half = chosen[2:4] / 2
    box = torch.cat([chosen[:2] - half, chosen[:2] + half]).T
    apart = label[:, None] * (box.max() - box.min() + 1) if len(kept) else 0  # classes do not meet
    first = nms(box + apart, score, looking.overlap)[: looking.most]
    sigmoids = chosen[4:, first].T.cpu().numpy()
    return (
        box[first].cpu().numpy(),
        score[first].cpu().numpy(),
        label[first].cpu().numpy(),
        sigmoids / sigmoids.sum(axis=1, keepdims=True),
    )
