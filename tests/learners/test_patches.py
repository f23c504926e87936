"""Patch features against a slow, literal reading of the paper."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from ml_backend.learners import patches
from ml_backend.learners.pixels import Bytes


def some_images(n: int = 3, side: int = 11, channels: int = 1) -> Bytes:
    return np.random.default_rng(0).integers(0, 256, size=(n, side, side, channels), dtype=np.uint8)


def literal(image: Bytes, filters: patches.Filters) -> list[float]:
    side, steps = filters.side, image.shape[0] - filters.side + 1
    active = np.zeros((steps, steps, len(filters.centres)))
    for r in range(steps):
        for c in range(steps):
            window = image[r : r + side, c : c + side].astype(np.float64)
            patch = np.concatenate([window[:, :, k].ravel() for k in range(image.shape[2])])
            patch = (patch - patch.mean()) / np.sqrt(patch.var() + patches.CONTRAST)
            white = (patch - filters.mean) @ filters.whiten
            z = np.array([np.linalg.norm(white - centre) for centre in filters.centres])
            active[r, c] = np.maximum(0, z.mean() - z)
    near, far = slice(0, (steps + 1) // 2), slice(steps // 2, steps)
    return [
        float(v) for rows in (near, far) for columns in (near, far) for v in np.sqrt(active[rows, columns].mean((0, 1)))
    ]


def test_encoding_is_the_literal_formula() -> None:
    for channels in (1, 3):
        images = some_images(channels=channels)
        filters = patches.learn(images, k=7, samples=500)
        expected = [literal(image, filters) for image in images]
        assert np.allclose(patches.encode(images, filters), expected, atol=2e-3)


def test_whitening_removes_correlation() -> None:
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(5000, 4)) @ rng.normal(size=(4, 4)) * 20).astype(np.float32)
    mean, zca = patches.whitening(points)
    covariance = np.cov(((points - mean) @ zca).T, bias=True)
    assert np.allclose(covariance, np.eye(4), atol=0.05)
    assert np.allclose(zca, zca.T, atol=1e-4)


def test_kmeans_finds_separated_groups_and_survives_identical_points() -> None:
    rng = np.random.default_rng(0)
    groups = np.eye(3, dtype=np.float32)[rng.integers(3, size=600)] * 10
    centres = patches.kmeans(groups, 12, 10, rng)
    assert all(np.abs(centres - point).sum(axis=1).min() < 1e-5 for point in np.unique(groups, axis=0))
    same = patches.kmeans(np.ones((5, 2), dtype=np.float32), 8, 3, rng)
    assert np.allclose(same, 1)


def test_learning_is_deterministic_and_blank_images_are_harmless() -> None:
    first, again = patches.learn(some_images(), k=5, samples=300), patches.learn(some_images(), k=5, samples=300)
    assert np.array_equal(first.centres, again.centres)
    blank = np.full((2, 17, 17, 1), 255, dtype=np.uint8)
    assert np.isfinite(patches.encode(blank, patches.learn(blank, samples=200))).all()


def test_learners_import_torch_only_where_a_network_runs() -> None:
    code = (
        "import sys; from ml_backend.learners import finetune, frozen, small_network; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
