"""A network's state as named arrays, and back. Imports torch: import it late."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Arrays = dict[str, NDArray[Any]]


def to_arrays(network: nn.Module) -> Arrays:
    """The state: filters in half precision, and what is small or sums many things (biases, statistics) in single."""
    arrays = {}
    for name, tensor in network.state_dict().items():
        array = tensor.detach().float().cpu().numpy() if tensor.is_floating_point() else tensor.cpu().numpy()
        arrays[name] = array.astype(np.float16) if array.ndim > 1 else array
    return arrays


def to_state(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(a.astype(np.float32) if a.dtype == np.float16 else a) for name, a in arrays.items()}


def fill(network: nn.Module, arrays: Arrays) -> None:
    """Puts a kept state into a network; ValueError names the first layer that is missing, misshapen or not finite."""
    for name, tensor in network.state_dict().items():
        if name not in arrays:
            raise ValueError(f"layer '{name}' is missing")
        if tuple(arrays[name].shape) != tuple(tensor.shape):
            raise ValueError(f"layer '{name}' has shape {arrays[name].shape} in place of {tuple(tensor.shape)}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"layer '{name}' is not finite")
    network.load_state_dict(to_state(arrays))
