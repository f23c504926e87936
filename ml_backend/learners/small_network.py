"""Small network: two convolutions and a hidden layer for images of about 28 to 32 px, in seconds on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ml_backend.learners.contract import Images
from ml_backend.learners.network_learner import NetworkConfig, NetworkLearner
from ml_backend.learners.pixels import Mode, survey

if TYPE_CHECKING:
    from ml_backend.learners.network import Network
    from ml_backend.learners.pictures import Pictures

LARGEST = 32  # px
STEPS, LEAST = 16, 8  # steps that an epoch has at least, while a batch holds as many images as this


class SmallNetworkConfig(NetworkConfig):
    """Defaults chosen on MNIST, 100 to 1 000 labels; `features` only serve the batches before the first training."""

    epochs: int = Field(
        15, ge=1, le=10_000, description="Passes over the labels; the rate falls to a fifth at 60 % and 80 % of them."
    )
    batch: int = Field(
        32,
        ge=2,
        le=4096,
        description="Images per step; few labels come in smaller batches (down to 8), so that an epoch has 16 steps. "
        "More is faster, and takes fewer steps.",
    )
    rate: float = Field(0.003, gt=0, le=10, description="Learning rate of Adam at the start, per step.")
    momentum: float = Field(
        0.9, ge=0, lt=1, description="Share of the mean gradient that a step keeps (Adam's first beta)."
    )
    decay: float = Field(0.01, ge=0, le=1, description="Weight decay, apart from Adam; more keeps weights smaller.")
    crop: int = Field(2, ge=0, le=64, description="Largest random shift of a training image, in px; 0 switches it off.")
    flip: bool = Field(
        False,
        description="Mirrors half of the training images; right where left and right do not matter (objects, animals), "
        "wrong for digits and text.",
    )
    dropout: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="Share of the features that a training step leaves out, before the hidden layer and after it; "
        "scorers that read dropout passes (BALD) need it above 0. More follows single labels less and learns slower.",
    )
    side: int | None = Field(
        None,
        ge=8,
        le=128,
        description="Side in px that images are resized to; by default their own up to 32 px, else 32. Time and "
        "weights grow with its square.",
    )


class SmallNetwork(NetworkLearner[SmallNetworkConfig]):
    """Adam on two convolutions, a hidden layer (128, the embedding) and a head; grey where no label has colour."""

    name, title = "small_network", "Small convolutional network"
    summary = "Trains from scratch in seconds on a CPU; for small, plain images such as digits and symbols."
    reference = "LeCun et al. 1998; Srivastava et al. 2014 (dropout); Loshchilov & Hutter 2019 (AdamW)"
    what = "a small convolutional network"
    adaptive = True

    def look(self, images: Images) -> tuple[int, Mode]:
        """The largest side of the images up to 32 px (at least 8), and whether any has colour."""
        seen = survey(images)
        return self.config.side or max(8, min(seen.largest, LARGEST)), "RGB" if seen.colour else "L"

    def batch(self, n: int) -> int:
        """Smaller ones where labels are few."""
        return min(self.config.batch, max(LEAST, n // STEPS))

    def build(self, classes: int, side: int, mode: Mode) -> Network:
        from ml_backend.learners.architectures import small
        from ml_backend.learners.pictures import CHANNELS

        return small(classes, side, CHANNELS[mode], self.config.dropout)

    def start(self, network: Network, pictures: Pictures) -> str:
        """Grey levels or colours are centred and scaled as the labeled pictures have them."""
        mean, std = pictures.moments()
        network.mean.copy_(mean)
        network.std.copy_(std)
        return "from scratch"
