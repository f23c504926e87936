"""The network of SiamFC (Bertinetto et al. 2016): one backbone for object and surroundings, compared by correlation.

Parameters are called as in the checkpoints of the PyTorch port that most people use (`siamfc_alexnet_e50.pth`:
`backbone.conv1.0.weight`, ...). Imports torch: import it late.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

EXEMPLAR, SEARCH = 127, 255  # px of the object's picture and of the one in which it is looked for
STRIDE = 8  # px of the search picture between two places of the response
SIDE = 17  # places of the response in each direction
PUBLISHED = (96, 256, 384, 384, 256)  # channels of the five convolutions
BIAS = ("head.corr_bias", "corr_bias")  # what some ports add to the response
SCALE = 0.001  # of the response, at 256 channels


class Backbone(nn.Module):
    """AlexNet without padding, so that features move as pixels do. groups: of the second, fourth and fifth layer."""

    def __init__(self, channels: tuple[int, ...] = PUBLISHED, groups: int = 2) -> None:
        super().__init__()
        a, b, c, d, e = channels
        self.conv1 = nn.Sequential(nn.Conv2d(3, a, 11, 2), _norm(a), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2))
        self.conv2 = nn.Sequential(
            nn.Conv2d(a, b, 5, groups=groups), _norm(b), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)
        )
        self.conv3 = nn.Sequential(nn.Conv2d(b, c, 3), _norm(c), nn.ReLU(inplace=True))
        self.conv4 = nn.Sequential(nn.Conv2d(c, d, 3, groups=groups), _norm(d), nn.ReLU(inplace=True))
        self.conv5 = nn.Sequential(nn.Conv2d(d, e, 3, groups=groups))

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, h, w) of (n, 3, H, W) red, green, blue, 0 to 255: 6 x 6 of an exemplar, 22 x 22 of a search."""
        found: Tensor = self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(images)))))
        return found


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-6, momentum=0.05)


def cross_correlation(kernels: Tensor, features: Tensor) -> Tensor:
    """(n, m, h, w) of kernels (n, C, a, b) and features (n, m, C, h + a - 1, w + b - 1) (Bertinetto et al., Eq. 1).

    response[n, m, y, x] = sum over c, i, j of kernels[n, c, i, j] * features[n, m, c, y + i, x + j].
    """
    n, m, c, height, width = features.shape
    stacked = features.transpose(0, 1).reshape(m, n * c, height, width)
    return functional.conv2d(stacked, kernels, groups=n).transpose(0, 1)


class Network(nn.Module):
    """Backbone and correlation. corr_bias: what the response is shifted by, if the checkpoint has it."""

    corr_bias: Tensor | None

    def __init__(self, channels: tuple[int, ...] = PUBLISHED, groups: int = 2, bias: bool = False) -> None:
        super().__init__()
        self.backbone = Backbone(channels, groups)
        self.register_parameter("corr_bias", nn.Parameter(torch.zeros(1)) if bias else None)
        self.scale = SCALE * PUBLISHED[-1] / channels[-1]

    def forward(self, kernels: Tensor, searched: Tensor) -> Tensor:
        """(n, m, 17, 17) response of kernels (n, C, 6, 6), as `backbone` gives them, in (n, m, 3, 255, 255)."""
        return self.response(kernels, self.backbone(searched.flatten(0, 1)).unflatten(0, searched.shape[:2]))

    def response(self, kernels: Tensor, features: Tensor) -> Tensor:
        """(n, m, 17, 17) of kernels (n, C, 6, 6) in features (n, m, C, 22, 22), both as `backbone` gives them."""
        response = self.scale * cross_correlation(kernels, features)
        return response if self.corr_bias is None else response + self.corr_bias


def load(weights: str) -> tuple[Network, str]:
    """The network of a checkpoint and the SHA-256 of its file; channels are what the checkpoint has.

    A `module.` before every name, and a dictionary with the `state_dict` inside, are taken off. Raises ValueError.
    """
    path = Path(weights)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"The SiamFC checkpoint {path} cannot be read ({error.strerror}); give the path of a file."
        ) from error
    try:
        given: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a file that is no checkpoint fails in many ways
        raise ValueError(f"The file {path} holds no weights; give a SiamFC checkpoint.") from error
    try:
        network = _built(_plain(given))
    except (RuntimeError, KeyError, TypeError, AttributeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise ValueError(
            f"The checkpoint {path} is not one of SiamFC with AlexNet; "
            "give a state_dict with `backbone.conv1.0.weight` to `backbone.conv5.0.bias`."
        ) from error
    return network.eval(), hashlib.sha256(content).hexdigest()


def _plain(given: Mapping[str, Any]) -> dict[str, Tensor]:
    state = given.get("state_dict", given)
    return {name.removeprefix("module."): value for name, value in state.items()}


def _built(state: dict[str, Tensor]) -> Network:
    first, second = (state[f"backbone.conv{i}.0.weight"] for i in (1, 2))
    channels = tuple(int(state[f"backbone.conv{i}.0.weight"].shape[0]) for i in range(1, 6))
    biases = [state.pop(name) for name in BIAS if name in state]
    network = Network(channels, groups=len(first) // second.shape[1], bias=bool(biases))
    if biases:
        state["corr_bias"] = biases[0].reshape(1)
    network.load_state_dict(state)
    return network
