"""Fine-tune: a whole ResNet-18 trained on the labels, from scratch or from published weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ml_backend.learners import weights
from ml_backend.learners.contract import Images
from ml_backend.learners.network_learner import NetworkConfig, NetworkLearner
from ml_backend.learners.pixels import Mode, survey

if TYPE_CHECKING:
    from ml_backend.learners.network import Network
    from ml_backend.learners.pictures import Pictures


class FineTuneConfig(NetworkConfig):
    """The schedule of thesis ch. 3; `features` only serve the batches before the first training."""

    side: int | None = Field(
        None,
        ge=8,
        le=1024,
        description="Side in px that images are resized to; by default their own up to 64 px, else 128.",
    )


class FineTune(NetworkLearner[FineTuneConfig]):
    """ResNet-18, in colour; its penultimate features are 512 wide."""

    name, title = "finetune", "Whole ResNet-18"
    summary = "Trains every layer: slower, and better than a frozen backbone once there are a few thousand labels."
    reference = "He et al. 2016; thesis ch. 3, setup"
    what = "a ResNet-18"

    def look(self, images: Images) -> tuple[int, Mode]:
        """The largest side of the images up to 64 px (at least 8), else 128 px."""
        if self.config.side:
            return self.config.side, "RGB"
        largest = survey(images).largest
        return 128 if largest > 64 else max(8, largest), "RGB"

    def build(self, classes: int, side: int, mode: Mode) -> Network:  # noqa: ARG002  # always in colour
        from ml_backend.learners.architectures import resnet18

        return resnet18(classes, side, self.config.dropout)

    def start(self, network: Network, pictures: Pictures) -> str:  # noqa: ARG002  # published weights know their scale
        from ml_backend.learners import architectures, backbone

        if self.config.weights is None:
            return "from scratch"
        architectures.start_from(network, backbone.load(weights.named(self.config.weights).read_bytes()))
        return f"from the weights in {self.config.weights}"
