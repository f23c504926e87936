"""ResNet-18's penultimate features (512 wide) from published weights; torch is imported with this file, by need."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ml_backend.learners.pixels import Bytes
from ml_backend.learners.weights import WeightsError

if TYPE_CHECKING:
    import torch

MEAN = (0.485, 0.456, 0.406)  # of ImageNet, as torchvision publishes them
STD = (0.229, 0.224, 0.225)
BATCH = 64


def load(file: bytes) -> dict[str, torch.Tensor]:
    """The state in a weights file, less `fc`, without unpickling code; WeightsError if it is no ResNet-18."""
    import torch

    try:
        state = torch.load(io.BytesIO(file), map_location="cpu", weights_only=True)
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    except Exception as error:  # torch raises pickle, zip, key and runtime errors for a wrong file
        raise WeightsError(f"The ResNet-18 weights are unreadable ({error}); name torchvision's file.") from error
    if shapes.get("layer4.1.conv2.weight") != (512, 512, 3, 3) or "layer1.2.conv1.weight" in shapes:
        raise WeightsError("The named weights hold no ResNet-18; name torchvision's resnet18-f37072fd.pth.")
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


@lru_cache(maxsize=1)
def _model(fingerprint: str) -> list[torch.nn.Module]:  # noqa: ARG001  # the key of the cache
    return []


def network(fingerprint: str, file: Callable[[], bytes]) -> Callable[[Bytes], NDArray[np.float32]]:
    """(n, side, side, 3) uint8 -> (n, 512) float32; the network of a fingerprint is built once per process."""
    import torch
    from torchvision.models import resnet18

    from plugins.processors import device

    cell = _model(fingerprint)
    if not cell:
        model = resnet18(weights=None)
        model.fc = torch.nn.Identity()
        model.load_state_dict(load(file()))
        cell.append(model.eval())
    model, place = cell[0].to(device()), device()
    mean, std = torch.tensor(MEAN, device=place), torch.tensor(STD, device=place)

    def encode(images: Bytes) -> NDArray[np.float32]:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                batch = torch.from_numpy(images[start : start + BATCH]).to(place).float() / 255
                parts.append(model(((batch - mean) / std).permute(0, 3, 1, 2)).float().cpu().numpy())
        return np.concatenate(parts)

    return encode
