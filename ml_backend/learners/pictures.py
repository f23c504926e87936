"""Images as one uint8 tensor on the device, and their augmentation there. Imports torch: import it late."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ml_backend.learners.contract import Images
from ml_backend.learners.pixels import Mode, read_all
from plugins.processors import device

KEPT = 1 << 30  # bytes of decoded images kept on the device, of larger sets each batch is decoded when it is needed
CHANNELS: dict[Mode, int] = {"L": 1, "RGB": 3}


class Pictures:
    """n images of side x side px, channels last."""

    def __init__(self, images: Images, side: int, mode: Mode) -> None:
        self._images, self._size, self._mode = images, (side, side), mode
        fits = 0 < len(images) * side * side * CHANNELS[mode] <= KEPT
        self._kept = self._read(images) if fits else None

    def _read(self, images: Images) -> torch.Tensor:
        return torch.tensor(read_all(images, self._size, self._mode), device=device())

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, items: slice | torch.Tensor) -> torch.Tensor:
        """(k, side, side, channels) uint8 on the device; items: a slice, or (k,) positions on the device."""
        if self._kept is not None:
            return self._kept[items]
        wanted = np.arange(len(self))[items] if isinstance(items, slice) else items.cpu().numpy()
        return self._read(self._images.take(wanted))

    def blocks(self, size: int) -> list[slice]:
        """All of them in order, `size` at a time."""
        return [slice(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (channels,) of n > 0 pictures, on the scale 0 to 1; at least 1 / 255."""
        total = square = torch.zeros(CHANNELS[self._mode], dtype=torch.float64, device=device())
        for rows in self.blocks(1024):
            pixels = self[rows].double() / 255
            total, square = total + pixels.sum(dim=(0, 1, 2)), square + pixels.square().sum(dim=(0, 1, 2))
        mean = total / (len(self) * self._size[0] * self._size[1])
        spread = square / (len(self) * self._size[0] * self._size[1]) - mean.square()
        return mean.float().cpu(), spread.clamp(min=255.0**-2).sqrt().float().cpu()


@dataclass(frozen=True)
class Augmentation:
    """crop: largest shift in px, edges filled with black. flip: whether half of the images are mirrored."""

    crop: int
    flip: bool

    def draw(self, n: int, rng: np.random.Generator) -> Moves:
        """Of n images, on the host, so that every device sees the same ones."""
        moves = rng.integers(0, 2 * self.crop + 1, size=(n, 2))
        mirrored = (rng.random(n) < 0.5) & self.flip
        return Moves(torch.from_numpy(moves).to(device()), torch.from_numpy(mirrored).to(device()))


@dataclass(frozen=True)
class Moves:
    """For n images: how far down and right (n, 2) each is cut out of its padded self, and whether it is mirrored."""

    offsets: torch.Tensor
    mirrored: torch.Tensor

    def __getitem__(self, part: slice) -> Moves:
        return Moves(self.offsets[part], self.mirrored[part])


def augmented(images: torch.Tensor, moves: Moves, crop: int) -> torch.Tensor:
    """(n, side, side, channels) images cut at offsets 0 .. 2 crop from themselves with `crop` px of black around."""
    n, side = images.shape[:2]
    steps = torch.arange(side, device=images.device)
    rows = moves.offsets[:, :1] + steps
    columns = moves.offsets[:, 1:] + torch.where(moves.mirrored[:, None], side - 1 - steps, steps)
    padded = functional.pad(images, (0, 0, crop, crop, crop, crop)) if crop else images
    each = torch.arange(n, device=images.device)
    return padded[each[:, None, None], rows[:, :, None], columns[:, None, :]]
