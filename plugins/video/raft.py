"""RAFT (Teed & Deng 2020), a network that estimates flow, from torchvision. Imports torch: import it late."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models import optical_flow

from plugins.contract import FloatArray
from plugins.processors import device
from plugins.video.flow_fields import GRID, HEIGHT, shrunk
from plugins.video.frame_source import Image

Size = Literal["small", "large"]
SMALLEST, MULTIPLE = 128, 8  # px that the network needs of each side, and what it divides by


class RAFT:
    """A method of flow. weights: a file with a state_dict of torchvision's model; its published ones if None.

    updates: refinements of each flow. Raises ValueError where the weights cannot be had.
    """

    def __init__(self, size: Size = "small", weights: str | None = None, height: int = HEIGHT, updates: int = 12):
        state, name = _state(size, weights)
        build = optical_flow.raft_small if size == "small" else optical_flow.raft_large
        self._model = build(weights=None)
        try:
            self._model.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise ValueError(
                f"The weights {weights or 'of torchvision'} do not fit raft_{size}; give a state_dict of that model."
            ) from error
        self._device = device()
        self._model.eval().to(self._device)
        self.height, self._updates = height, updates
        self.key = f"raft_{size} forward {name} height={height} updates={updates} grid={GRID}"

    def prepared(self, image: Image) -> Image:
        if image.ndim == 2:
            image = np.repeat(image[:, :, None], 3, axis=2)
        return shrunk(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8), self.height)

    def between(self, a: Image, b: Image) -> FloatArray:
        height, width = a.shape[:2]
        pair = padded(torch.from_numpy(np.stack([a, b])).permute(0, 3, 1, 2).float() / 127.5 - 1).to(self._device)
        with torch.inference_mode():
            flow = self._model(pair[:1], pair[1:], num_flow_updates=self._updates)[-1]
        return np.asarray(flow[0, :, :height, :width].permute(1, 2, 0).cpu().numpy())


def padded(images: Tensor) -> Tensor:
    """(n, c, H', W') with the border repeated to the right and below, until both sides suit the network.

    >>> tuple(padded(torch.zeros(1, 3, 100, 130)).shape)
    (1, 3, 128, 136)
    """
    height, width = (max(SMALLEST, -(-side // MULTIPLE) * MULTIPLE) for side in images.shape[2:])
    return functional.pad(images, (0, width - images.shape[3], 0, height - images.shape[2]), mode="replicate")


def _state(size: Size, weights: str | None) -> tuple[Any, str]:
    """The state_dict, and what names it."""
    if weights is None:
        published = {"small": optical_flow.Raft_Small_Weights, "large": optical_flow.Raft_Large_Weights}[size].DEFAULT
        try:
            return published.get_state_dict(progress=False, check_hash=True), str(published)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"The published weights of raft_{size} cannot be had from {published.url} ({error}); "
                "give a file as `weights`, or use the method 'dis'."
            ) from error
    path = Path(weights)
    try:
        name = hashlib.sha256(path.read_bytes()).hexdigest()
        return torch.load(path, map_location="cpu", weights_only=True), name
    except OSError as error:
        raise ValueError(
            f"The weights {path} cannot be read ({error.strerror}); give a file of raft_{size}."
        ) from error
    except Exception as error:  # a file that is no checkpoint fails in many ways
        raise ValueError(f"The file {path} holds no weights; give a state_dict of raft_{size}.") from error
