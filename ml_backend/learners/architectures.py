"""The two networks: ResNet-18 for any size, and a small one for up to 32 px. Imports torch: import it late."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import resnet18 as published

from ml_backend.learners.backbone import MEAN, STD
from ml_backend.learners.network import Network

SMALL = 64  # px: up to here the first layers of ResNet-18 keep the resolution, as He et al. 2016 do on CIFAR
FIRST, SECOND, HIDDEN = 16, 32, 128  # filters of the small network's two layers, width of its hidden layer


def resnet18(classes: int, side: int, rate: float) -> Network:
    """ResNet-18, with a 3 x 3 first layer and no pooling after it for images up to 64 px; dropout before `fc`."""
    body = published(weights=None, num_classes=classes)
    if side <= SMALL:
        body.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
        body.maxpool = nn.Identity()
        nn.init.kaiming_normal_(body.conv1.weight, mode="fan_out", nonlinearity="relu")
    head, body.fc = body.fc, nn.Identity()
    return Network(body, None, head, mean=MEAN, std=STD, rate=rate)


def start_from(network: Network, weights: dict[str, torch.Tensor]) -> None:
    """Copies published weights wherever names and shapes agree; a small-image stem keeps its own first layer."""
    own = network.body.state_dict()
    fitting = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
    network.body.load_state_dict({**own, **fitting})


def small(classes: int, side: int, channels: int, rate: float) -> Network:
    """Two convolutions, a hidden layer and a head: 0.2 million weights at 28 px.

    The first convolution strides, and pooling comes before the ReLU (the same result): both save a third of the time.
    """
    body = nn.Sequential(
        nn.Conv2d(channels, FIRST, kernel_size=5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(FIRST, SECOND, kernel_size=3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
    )
    cells = ((side + 1) // 2 // 2) ** 2
    hidden = nn.Linear(SECOND * cells, HIDDEN)
    centred = {"mean": (0.5,) * channels, "std": (0.25,) * channels}  # until it has seen the images
    return Network(body, hidden, nn.Linear(HIDDEN, classes), rate=rate, **centred)
