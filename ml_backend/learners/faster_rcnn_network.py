"""Faster R-CNN as a network: built, filled, and looking at images. Imports torch: import it late."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models.detection import FasterRCNN, FasterRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d, nms

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import Found
from ml_backend.learners.gathering import Gathering
from ml_backend.learners.shown import in_batches, one_size, picture, sizes
from ml_backend.learners.state_arrays import fill
from ml_backend.learners.weights import WeightsError
from plugins.contract import IntArray
from plugins.processors import device

Arrays = dict[str, NDArray[Any]]
Backbone = Literal["resnet50", "mobilenet_v3"]
Norm = Literal["frozen", "group"]
LARGEST = 4  # times the shorter side: a longer image is scaled by its longer side
PROPOSALS = 300  # of an image that are decided on (Ren et al. 2015; torchvision takes 1000, at thrice the time)
SAMPLED = 128  # of them that training takes its loss over (Girshick 2015; torchvision takes 512)
FITTING = 0.9  # share of the body's tensors that a weights file must fill
COCO = tuple(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][1:])  # 'N/A' where COCO skips a number
HEAD = "roi_heads.box_predictor."  # layers with rows for each class, background first


def build(backbone: Backbone, norm: Norm, classes: int, short_side: int) -> FasterRCNN:
    """torchvision's fasterrcnn_resnet50_fpn or fasterrcnn_mobilenet_v3_large_320_fpn with random weights.

    norm: 'frozen' keeps published statistics of batches; 'group' normalises groups of channels, for training from
    random weights, where batches of a few images have no statistics (Wu & He 2018; He, Girshick & Dollar 2019).
    """
    layer: Callable[[int], nn.Module] = FrozenBatchNorm2d if norm == "frozen" else _groups
    trained = 3 if norm == "frozen" else 5
    given: dict[str, Any] = {
        "min_size": short_side,
        "max_size": LARGEST * short_side,
        "rpn_post_nms_top_n_train": 4 * SAMPLED,
        "rpn_post_nms_top_n_test": PROPOSALS,
        "box_batch_size_per_image": SAMPLED,
    }
    if backbone == "resnet50":
        body = resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=layer, trainable_layers=trained)
        return FasterRCNN(body, classes + 1, **given)
    body = mobilenet_backbone(
        backbone_name="mobilenet_v3_large", weights=None, fpn=True, norm_layer=layer, trainable_layers=trained + 1
    )
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3)
    return FasterRCNN(body, classes + 1, rpn_anchor_generator=anchors, rpn_pre_nms_top_n_test=150, **given)


def _groups(channels: int) -> nn.GroupNorm:
    """32 groups, or as many as divide the channels."""
    return nn.GroupNorm(math.gcd(32, channels), channels)


def published(path: Path) -> dict[str, torch.Tensor]:
    """The state in a weights file, without unpickling code."""
    try:
        state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
            raise TypeError("it holds other things than tensors")
    except Exception as error:  # torch raises pickle, zip, key and type errors for a wrong file
        said = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} is no weights file of torchvision ({said}); name one of its detectors.") from error
    return state


def take_over(network: nn.Module, state: dict[str, torch.Tensor], names: list[str], classes: tuple[str, ...]) -> float:
    """Copies what fits: layers of equal shape, and of the last ones the rows of background and of classes of the same
    name. names: what the rows of `state` stand for after the background. Returns the share of the body that fitted."""
    own = network.state_dict()
    known = {name.casefold(): row for row, name in reversed(list(enumerate(names, start=1)))}
    pairs = [(0, 0), *((i, known[name.casefold()]) for i, name in enumerate(classes, 1) if name.casefold() in known)]
    filled = {}
    for name, tensor in state.items():
        if name not in own:
            continue
        if name.startswith(HEAD):
            mine = own[name].reshape(len(classes) + 1, -1, *own[name].shape[1:]).clone()
            theirs = tensor.reshape(len(names) + 1, -1, *tensor.shape[1:]) if len(names) else mine
            for row, other in pairs if len(names) else []:
                mine[row] = theirs[other]
            filled[name] = mine.reshape(own[name].shape)
        elif own[name].shape == tensor.shape:
            filled[name] = tensor
    network.load_state_dict({**own, **filled})
    body = [name for name in own if name.startswith("backbone.body.")]
    return sum(name in filled for name in body) / len(body)


def take_published(network: nn.Module, path: Path, classes: tuple[str, ...]) -> None:
    """Fills a network from torchvision's file of a detector, whose COCO classes are matched by name, or of a backbone.

    WeightsError where the file is of another network.
    """
    state = published(path)
    if not any(name.startswith("backbone.") for name in state):
        state = {f"backbone.body.{name.removeprefix('features.')}": tensor for name, tensor in state.items()}
    detector = f"{HEAD}cls_score.bias" in state
    names = list(COCO) if detector and len(state[f"{HEAD}cls_score.bias"]) == len(COCO) + 1 else []
    if take_over(network, state, names, classes) < FITTING:
        raise WeightsError(f"{path} holds another network than the learner's `backbone`; name a file of that one.")


def restored(arrays: Arrays, backbone: Backbone, norm: Norm, classes: int, short_side: int) -> FasterRCNN:
    """The network behind `to_arrays`; ValueError says why arrays are no such network."""
    network = build(backbone, norm, classes, short_side)
    fill(network, arrays)
    return network


@torch.inference_mode()
def found(
    network: FasterRCNN,
    images: Images,
    *,
    low: float,
    overlap: float,
    most: int,
    batch: int,
    progress: Callable[[int], None] | None = None,
) -> Found:
    """What the network sees on n images: each proposal's likeliest class, doubles removed class by class.

    low: score above which a box is kept; overlap: IoU of doubles; most: boxes of an image; batch: images at a time.
    """
    network.to(device()).eval()
    shapes = list(sizes(images))
    batches = one_size(shapes, batch)
    decoded = in_batches(partial(picture, images), batches, overlap=device().type == "cuda")
    classes = network.roi_heads.box_predictor.cls_score.out_features - 1
    gathering, done = Gathering(len(images), classes), 0
    for group, pictures in zip(batches, decoded, strict=True):
        tensors = [as_tensor(pixels) for pixels in pictures]
        for item, (box, logits) in zip(group, _proposed(network, tensors), strict=True):
            gathering.put(item, *_boxes(box, logits, shapes[item], low, overlap, most))
        done += len(group)
        if progress is not None:
            progress(done)
    return gathering.found()


def as_tensor(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """(height, width, 3) uint8 -> (3, height, width) in [0, 1] on the device."""
    return torch.tensor(pixels, device=device()).permute(2, 0, 1).float() / 255


def _proposed(network: FasterRCNN, tensors: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """For each image its proposals as every class would correct them, (n, C + 1, 4) in px of the image, and their
    logits (n, C + 1): torchvision's own steps, which drop the logits at the end."""
    batch, _ = network.transform(tensors, None)
    features = network.backbone(batch.tensors)
    proposals, _ = network.rpn(batch, features, None)
    heads = network.roi_heads
    pooled = heads.box_head(heads.box_roi_pool(features, proposals, batch.image_sizes))
    logits, corrections = heads.box_predictor(pooled)
    boxes = heads.box_coder.decode(corrections, proposals)
    counts = [len(one) for one in proposals]
    scaled = []
    for tensor, inner, box, logit in zip(
        tensors, batch.image_sizes, boxes.split(counts), logits.split(counts), strict=True
    ):
        scale = torch.tensor([tensor.shape[2] / inner[1], tensor.shape[1] / inner[0]] * 2, device=box.device)
        scaled.append((box * scale, logit))
    return scaled


def _boxes(
    box: torch.Tensor, logits: torch.Tensor, shape: tuple[int, int], low: float, overlap: float, most: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], IntArray, NDArray[np.float32]]:
    """Corners, score, label and the distribution over the C classes (background left out) of the boxes kept."""
    probabilities = logits.float().softmax(dim=1)[:, 1:]
    score, label = probabilities.max(dim=1)
    own = box[torch.arange(len(label), device=box.device), label + 1]
    limits = torch.tensor([shape[1], shape[0]] * 2, device=box.device, dtype=own.dtype)
    own = torch.minimum(own.clamp(min=0), limits)
    kept = torch.nonzero((score > low) & ((own[:, 2:] - own[:, :2]) > 1e-2).all(dim=1)).flatten()
    own, score, label, probabilities = own[kept], score[kept], label[kept], probabilities[kept]
    apart = label[:, None] * (max(shape) + 1.0)  # classes do not meet
    first = nms(own + apart, score, overlap)[:most]
    chosen = probabilities[first]
    return (
        own[first].cpu().numpy(),
        score[first].cpu().numpy(),
        label[first].cpu().numpy(),
        (chosen / chosen.sum(dim=1, keepdim=True)).cpu().numpy(),
    )
