"""k-means patch features: a dictionary of whitened patches learned from the images themselves, numpy alone.

Coates, Ng & Lee 2011, "An analysis of single-layer networks in unsupervised feature learning": contrast
normalisation, ZCA whitening, k-means, "triangle" activation, means over a 2 x 2 grid. Ours: a third of the image as
the patch's side, and the square root of the means (a linear head gains half a point on MNIST from each).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ml_backend.learners.pixels import Bytes

Floats = NDArray[np.float32]
CONTRAST = 10.0  # grey levels squared, added to a patch's variance so that flat patches stay flat
FLOOR = 1.0  # added to the eigenvalues before whitening; 0.1 costs a point on MNIST, where most of a patch is flat
GRID = 2  # pooling cells a side


@dataclass(frozen=True)
class Filters:
    """A learned dictionary. mean (d,), whiten (d, d), centres (k, d) for patches of d = side * side * channels."""

    side: int
    mean: Floats
    whiten: Floats
    centres: Floats

    @property
    def width(self) -> int:
        """Features per image."""
        return GRID * GRID * len(self.centres)


def patches_of(images: Bytes, side: int) -> Floats:
    """(n, rows, columns, d) every patch of (n, height, width, channels), contrast-normalised."""
    windows = sliding_window_view(images, (side, side), axis=(1, 2))
    flat = windows.reshape(*windows.shape[:3], -1).astype(np.float32)
    return contrast(flat)


def contrast(patches: Floats) -> Floats:
    """Each patch (..., d) less its mean, over its standard deviation (variance + 10 grey levels squared); in place."""
    patches -= patches.mean(axis=-1, keepdims=True)
    variance = np.einsum("...d,...d->...", patches, patches) / patches.shape[-1]
    patches /= np.sqrt(variance + CONTRAST)[..., None]
    return patches


def whitening(patches: Floats) -> tuple[Floats, Floats]:
    """Mean (d,) and ZCA matrix (d, d) = V (E + floor)^-1/2 V^T of (n, d) patches."""
    mean = patches.mean(axis=0, dtype=np.float64)
    covariance = np.cov(patches.T.astype(np.float64), bias=True).reshape(len(mean), len(mean))
    values, vectors = np.linalg.eigh(covariance)
    zca = (vectors / np.sqrt(np.maximum(values, 0) + FLOOR)) @ vectors.T
    return mean.astype(np.float32), zca.astype(np.float32)


def kmeans(points: Floats, k: int, rounds: int, rng: np.random.Generator) -> Floats:
    """(k, d) centres by Lloyd's rounds from random points; an empty cluster restarts at a random point."""
    centres = points[rng.choice(len(points), size=k, replace=len(points) < k)].copy()
    for _ in range(rounds):
        nearest = np.concatenate([(_half_squares(centres) - block @ centres.T).argmin(1) for block in _blocks(points)])
        order = np.argsort(nearest, kind="stable")
        counts = np.bincount(nearest, minlength=k)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        full = counts > 0
        sums = np.add.reduceat(points[order], starts[full], axis=0)
        centres[full] = sums / counts[full, None]
        centres[~full] = points[rng.integers(len(points), size=int((~full).sum()))]
    return centres


def _half_squares(rows: Floats) -> Floats:
    return np.asarray(np.einsum("kd,kd->k", rows, rows) / 2, dtype=np.float32)


def _blocks(rows: Floats, size: int = 16_384) -> Iterator[Floats]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def patch_side(image_side: int) -> int:
    """A third of the image: 9 px of 28, 10 px of 32."""
    return max(2, image_side // 3)


def learn(images: Bytes, *, k: int = 64, samples: int = 60_000, rounds: int = 15, seed: int = 0) -> Filters:
    """Filters from (n, height, width, channels) images, deterministic in the images and the seed."""
    rng = np.random.default_rng(seed)
    n, height, width, _ = images.shape
    side = patch_side(min(height, width))
    item = rng.integers(n, size=samples)
    row, column = rng.integers(height - side + 1, size=samples), rng.integers(width - side + 1, size=samples)
    windows = sliding_window_view(images, (side, side), axis=(1, 2))
    sample = contrast(windows[item, row, column].reshape(samples, -1).astype(np.float32))
    mean, zca = whitening(sample)
    sample -= mean
    return Filters(side, mean, zca, kmeans(sample @ zca, k, rounds, rng))


def triangle(distances: Floats) -> Floats:
    """max(0, mean distance - distance) over the k centres: about half are zero. distances: (..., k); in place.

    >>> triangle(np.array([[1.0, 2.0, 6.0]])).tolist()
    [[2.0, 1.0, 0.0]]
    """
    np.subtract(distances.mean(axis=-1, keepdims=True), distances, out=distances)
    return np.maximum(distances, 0, out=distances)


def encode(images: Bytes, filters: Filters) -> Floats:
    """(n, 4 k) features of (n, height, width, channels): square roots of the mean activations in four quarters."""
    patches = patches_of(images, filters.side)
    n, rows, columns, d = patches.shape
    flat = patches.reshape(-1, d)
    flat -= filters.mean
    flat = flat @ filters.whiten
    distances = flat @ (-2 * filters.centres.T)
    distances += 2 * _half_squares(filters.centres)
    distances += np.einsum("nd,nd->n", flat, flat)[:, None]
    np.maximum(distances, 0, out=distances)  # rounding can leave a small negative square
    active = triangle(np.sqrt(distances, out=distances)).reshape(n, rows, columns, -1)
    cells = [active[:, r, c].mean(axis=(1, 2)) for r in _halves(rows) for c in _halves(columns)]
    return np.asarray(np.sqrt(np.concatenate(cells, axis=1)), dtype=np.float32)


def _halves(length: int) -> tuple[slice, slice]:
    """Both share the middle of an odd length."""
    return slice(0, (length + 1) // 2), slice(length // 2, length)
