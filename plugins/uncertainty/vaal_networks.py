"""VAAL's autoencoder and discriminator, and how they play against each other. Imports torch: import it late."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no stubs
from torch import Tensor, nn
from torch.nn import functional

from plugins.contract import FloatArray, IntArray
from plugins.evidence import Array
from plugins.processors import device

if TYPE_CHECKING:
    from plugins.uncertainty.vaal import VAALConfig

SIDE = 32  # px
PADDED = 24  # px; pictures from here to 32 px get a black border, others are resized
WIDTHS = (8, 16, 32)  # channels at 16, 8 and 4 px
HIDDEN = 256
SCORED = 1_024  # pictures at once


class Pictures:
    """n pictures (n, H, W, channels) uint8 in a given order, read a batch at a time."""

    def __init__(self, images: Array, order: IntArray) -> None:
        self._images, self._order = images, order

    def __len__(self) -> int:
        return len(self._order)

    @property
    def channels(self) -> int:
        return int(self._images.shape[3])

    def batch(self, rows: IntArray) -> Tensor:
        """(n, channels, 32, 32) in [0, 1], on the device."""
        pixels = torch.from_numpy(np.ascontiguousarray(self._images[self._order[rows]])).to(device())
        return fitted(pixels.permute(0, 3, 1, 2).float() / 255)


def fitted(images: Tensor) -> Tensor:
    """(n, channels, 32, 32) of (n, channels, H, W): a black border from 24 px on, resized otherwise."""
    height, width = images.shape[2:]
    if min(height, width) < PADDED or max(height, width) > SIDE:
        return functional.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    return functional.pad(images, (left, SIDE - width - left, top, SIDE - height - top))


class Autoencoder(nn.Module):
    """A variational autoencoder (Kingma & Welling 2014) of 32 px pictures."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        a, b, c = WIDTHS
        down = [nn.Conv2d(i, o, kernel_size=4, stride=2, padding=1) for i, o in ((channels, a), (a, b), (b, c))]
        up = [nn.ConvTranspose2d(i, o, kernel_size=4, stride=2, padding=1) for i, o in ((c, b), (b, a), (a, channels))]
        self.encoder = nn.Sequential(*(layer for conv in down for layer in (conv, nn.ReLU())), nn.Flatten())
        self.moments = nn.Linear(16 * c, 2 * latent)
        self.spread = nn.Sequential(nn.Linear(latent, 16 * c), nn.ReLU(), nn.Unflatten(1, (c, 4, 4)))
        self.decoder = nn.Sequential(up[0], nn.ReLU(), up[1], nn.ReLU(), up[2], nn.Sigmoid())

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (n, latent) each."""
        mean, log_variance = self.moments(self.encoder(images)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, codes: Tensor) -> Tensor:
        return torch.as_tensor(self.decoder(self.spread(codes)))


def discriminator(latent: int) -> nn.Module:
    """(n, latent) codes to (n, 1) logits of being labeled."""
    return nn.Sequential(
        nn.Linear(latent, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
    )


def reconstruction(images: Tensor, decoded: Tensor) -> Tensor:
    """Half the squared error of a picture, mean over pictures: -log p(x | z) of unit variance, in nats (Eq. 1)."""
    return (images - decoded).square().sum(dim=(1, 2, 3)).mean() / 2


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z | x) || N(0, 1)) of a picture in nats, mean over pictures (Eq. 1)."""
    return (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1).mean() / 2


def deceit(labeled: Tensor, unlabeled: Tensor) -> Tensor:
    """-E log D(labeled) - E log D(unlabeled), of logits: low when both pass as labeled (Eq. 2)."""
    return functional.softplus(-labeled).mean() + functional.softplus(-unlabeled).mean()


def discernment(labeled: Tensor, unlabeled: Tensor) -> Tensor:
    """-E log D(labeled) - E log(1 - D(unlabeled)), of logits: low when both are told apart (Eq. 4)."""
    return functional.softplus(-labeled).mean() + functional.softplus(unlabeled).mean()


def unlabeled_certainty(pool: Pictures, labeled: Pictures, config: VAALConfig, seed: int) -> FloatArray:
    """(N,) float64 certainty 1 - D of each picture in the pool that it is unlabeled (thesis Eq. 4.9).

    pool: N > 0, labeled: L > 0 pictures. The same for the same order, seed and machine; torch's generators stay as
    they were.
    """
    with _seeded(seed):
        autoencoder, judge = _play(pool, labeled, config, np.random.default_rng(seed % 2**64))
        logits = np.empty(len(pool))
        with torch.no_grad():
            for start in range(0, len(pool), SCORED):
                rows = np.arange(start, min(start + SCORED, len(pool)))
                logits[rows] = judge(autoencoder.encode(pool.batch(rows))[0]).squeeze(1).cpu().numpy()
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(logits, -700.0, 700.0))))


def _play(
    pool: Pictures, labeled: Pictures, config: VAALConfig, rng: np.random.Generator
) -> tuple[Autoencoder, nn.Module]:
    """Trains both in turns: the autoencoder on Eq. 3, then the discriminator on Eq. 4."""
    autoencoder = Autoencoder(pool.channels, config.latent).to(device())
    judge = discriminator(config.latent).to(device())
    encoding = torch.optim.Adam(autoencoder.parameters(), lr=config.rate)
    judging = torch.optim.Adam(judge.parameters(), lr=config.rate)
    for _ in range(config.steps):
        known = labeled.batch(rng.integers(len(labeled), size=config.batch))
        images = torch.cat([known, pool.batch(rng.integers(len(pool), size=config.batch))])

        mean, log_variance = autoencoder.encode(images)
        decoded = autoencoder.decode(mean + torch.randn_like(mean) * (log_variance / 2).exp())
        fooled = deceit(*judge(mean).split(config.batch))
        loss = reconstruction(images, decoded) + config.beta * divergence(mean, log_variance)
        encoding.zero_grad()
        (loss + config.adversary * fooled).backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        encoding.step()

        with torch.no_grad():
            mean, _ = autoencoder.encode(images)
        for _ in range(config.judgements):
            judging.zero_grad()  # what `fooled` left there as well
            discernment(*judge(mean).split(config.batch)).backward()  # type: ignore[no-untyped-call]  # as above
            judging.step()
    return autoencoder, judge


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's generators under a seed and convolutions in a fixed order of sums, both put back afterwards.

    One thread: the steps are small, and on a busy machine threads that wait for each other cost 10 times.
    """
    with (
        threadpool_limits(1),
        torch.random.fork_rng(devices=range(torch.cuda.device_count())),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed % 2**64)
        yield
