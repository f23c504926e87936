"""A few boxes followed at once by SiamFC, to the frames before and after their own. Imports torch: import it late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plugins.contract import FloatArray, IntArray
from plugins.video.box_tracker import Read, chains
from plugins.video.clip import Clip
from plugins.video.siamfc_network import EXEMPLAR, SEARCH, STRIDE, Network
from plugins.video.siamfc_search import context_side, cropped, mean_colour, moved_box, peak, scale_factors

if TYPE_CHECKING:
    from plugins.video.siamfc import SiamFCConfig


@dataclass
class Way:
    """A box on its way through the frames before or after its own.

    row: which box. box: (4,) where it is now. left: (slot, position) of the frames ahead, the nearest first.
    """

    row: int
    box: FloatArray
    left: list[tuple[int, int]]


class Following:
    """Boxes `rows` of a clip. The object's picture is that of its own frame throughout."""

    def __init__(self, network: Network, config: SiamFCConfig, clip: Clip, rows: IntArray, read: Read) -> None:
        self._network, self._config, self._clip, self._rows, self._read = network, config, clip, rows, read
        self._device = next(network.parameters()).device
        self._factors = scale_factors(config.scale_step, config.scales)

    def boxes(self) -> FloatArray:
        """(n, 2k, 4) the boxes in the neighbours of their frames, NaN where there is none."""
        found = np.full((len(self._rows), 2 * self._clip.k, 4), np.nan)
        with torch.inference_mode():
            kernels = self._kernels()
            ways = [
                Way(i, self._clip.box[row].astype(np.float64), left)
                for i, row in enumerate(self._rows.tolist())
                for left in chains(self._clip, int(self._clip.frame[row]))
            ]
            while ways := [way for way in ways if way.left]:
                steps = [way.left.pop(0) for way in ways]
                self._step(kernels, ways, [at for _, at in steps])
                for way, (slot, _) in zip(ways, steps, strict=True):
                    found[way.row, slot] = way.box
        return found

    def _kernels(self) -> Tensor:
        """(n, C, 6, 6) features of what the boxes hold."""
        box = self._clip.box[self._rows]
        sides = context_side(box[:, 2:] - box[:, :2])
        pictures = []
        for one, at, side in zip(box, self._clip.frame[self._rows].tolist(), sides.tolist(), strict=True):
            image = self._read(at)
            pictures.append(cropped(image, (one[:2] + one[2:]) / 2, side, EXEMPLAR, mean_colour(image)))
        return self._features(np.stack(pictures))

    def _features(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Of (n, H, W, 3); channels last is how a CPU convolves few channels fastest."""
        images = pixels(pictures).to(self._device, memory_format=torch.channels_last)
        found: Tensor = self._network.backbone(images)
        return found

    def _step(self, kernels: Tensor, ways: list[Way], places: list[int]) -> None:
        """Moves every way's box to the frame at its place."""
        box = np.stack([way.box for way in ways])
        sides = context_side(box[:, 2:] - box[:, :2]) * SEARCH / EXEMPLAR
        pictures = np.empty((len(ways), len(self._factors), SEARCH, SEARCH, 3), dtype=np.uint8)
        for i, at in enumerate(places):
            image = self._read(at)
            centre, colour = (box[i, :2] + box[i, 2:]) / 2, mean_colour(image)
            for j, factor in enumerate(self._factors.tolist()):
                pictures[i, j] = cropped(image, centre, sides[i] * factor, SEARCH, colour)
        rows = torch.tensor([way.row for way in ways], device=self._device)
        features = self._features(pictures.reshape(-1, SEARCH, SEARCH, 3))
        features = features.reshape(*pictures.shape[:2], *features.shape[1:])
        responses = self._network.response(kernels[rows], features).cpu().numpy()
        rate = self._config.scale_rate
        for way, response, side in zip(ways, responses, sides.tolist(), strict=True):
            best, shift = peak(response, self._config.scale_penalty, self._config.window)
            factor = float(self._factors[best])
            way.box = moved_box(way.box, shift * STRIDE * side * factor / SEARCH, 1 - rate + rate * factor)


def pixels(pictures: NDArray[np.uint8]) -> Tensor:
    """(..., 3, H, W) red, green, blue, 0 to 255, of (..., H, W, 3) blue, green, red."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures[..., ::-1], -1, -3))).float()
