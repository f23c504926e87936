"""VAAL: its four objectives against their formulas, and a game whose winner is known."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plugins.contract import PluginError, Scores
from plugins.evidence import Column, Evidence
from plugins.registry import make
from plugins.uncertainty.vaal_networks import deceit, discernment, divergence, fitted, reconstruction

Images = NDArray[np.uint8]
QUICK = {"steps": 3, "batch": 4, "latent": 4}


def known(pool: Images, labeled: Images, seed: int = 0, order: NDArray[np.int64] | None = None) -> Evidence:
    order = np.arange(len(pool)) if order is None else order
    columns: dict[str, Column] = {"task_id": order + 10, "images": pool[order], "labeled_images": labeled}
    return Evidence(columns, classes=("a", "b"), seed=seed)


def noise(n: int, side: int = 28, channels: int = 1, seed: int = 0) -> Images:
    return np.random.default_rng(seed).integers(256, size=(n, side, side, channels), dtype=np.uint8)


def scored(evidence: Evidence, **config: Any) -> Scores:
    scores: Scores = make("scorer", "vaal", QUICK | config).score(evidence)
    return scores


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_objectives_equal_their_formulas(n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand(n, 2, 3, 3, generator=generator), torch.rand(n, 2, 3, 3, generator=generator)
    mean, log_variance = torch.randn(n, 3, generator=generator), torch.randn(n, 3, generator=generator)
    a, b = torch.randn(n, 1, generator=generator), torch.randn(n, 1, generator=generator)

    squares = sum((p - q) ** 2 for p, q in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True))
    moments = zip(mean.flatten().tolist(), log_variance.flatten().tolist(), strict=True)
    kl = sum((m**2 + math.exp(v) - 1 - v) / 2 for m, v in moments)
    labeled, unlabeled = ([1 / (1 + math.exp(-z)) for z in logits.flatten().tolist()] for logits in (a, b))
    passing = -sum(math.log(d) for d in labeled) - sum(math.log(d) for d in unlabeled)
    telling = -sum(math.log(d) for d in labeled) - sum(math.log(1 - d) for d in unlabeled)

    assert float(reconstruction(x, y)) == pytest.approx(squares / 2 / n, rel=1e-4)
    assert float(divergence(mean, log_variance)) == pytest.approx(kl / n, rel=1e-4, abs=1e-5)
    assert float(deceit(a, b)) == pytest.approx(passing / n, rel=1e-4)
    assert float(discernment(a, b)) == pytest.approx(telling / n, rel=1e-4)


def test_divergence_is_that_of_two_normals() -> None:
    mean, log_variance = torch.tensor([[0.7, -1.2]]), torch.tensor([[0.3, -2.0]])
    own = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros(1, 2), torch.ones(1, 2))
    expected = torch.distributions.kl_divergence(own, prior).sum()
    assert float(divergence(mean, log_variance)) == pytest.approx(float(expected), rel=1e-5)


def test_pictures_unlike_the_labeled_ones_come_first() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(60, size=(160, 28, 28, 1), dtype=np.uint8)
    bright = np.arange(160) % 4 == 0
    pictures[bright, 8:20, 8:20] += 180
    pool, labeled = pictures[:120], pictures[120:][~bright[120:]]
    values = scored(known(pool, labeled), steps=60, batch=16).values
    assert ((values > 0) & (values < 1)).all()
    assert set(np.argsort(-values)[: bright[:120].sum()]) == set(np.flatnonzero(bright[:120]))


def test_the_pool_order_and_the_label_order_do_not_matter_and_the_seed_does() -> None:
    pool, labeled = noise(30), noise(6, seed=1)
    values = scored(known(pool, labeled)).values
    order = np.random.default_rng(2).permutation(30)
    assert np.array_equal(scored(known(pool, labeled, order=order)).values, values[order])
    assert np.array_equal(scored(known(pool, labeled[::-1])).values, values)
    assert not np.array_equal(scored(known(pool, labeled, seed=1)).values, values)


def test_torchs_generator_stays_as_it_was() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    scored(known(noise(5), noise(2)))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (24, 1), (32, 3), (50, 3), (28, 2)])
def test_any_size_and_colour_is_read(side: int, channels: int) -> None:
    values = scored(known(noise(3, side, channels), noise(2, side, channels))).values
    assert np.isfinite(values).all()


def test_pictures_keep_their_pixels_where_they_fit() -> None:
    images = torch.rand(2, 1, 28, 25)
    bordered = fitted(images)
    assert bordered.shape == (2, 1, 32, 32)
    assert torch.equal(bordered[:, :, 2:30, 3:28], images)
    assert float(bordered.sum()) == pytest.approx(float(images.sum()), rel=1e-5)
    assert fitted(torch.full((1, 3, 64, 48), 0.25)).allclose(torch.full((1, 3, 32, 32), 0.25))


def test_without_labels_all_items_are_equal_and_an_empty_pool_is_empty() -> None:
    scores = scored(known(noise(3), noise(0)))
    assert scores.values.tolist() == [1.0, 1.0, 1.0]
    assert "needs a labeled picture" in scores.notes[0]
    assert scored(known(noise(0), noise(3))).values.shape == (0,)
    assert 0 < scored(known(noise(1), noise(1))).values[0] < 1


def test_pictures_must_be_of_one_kind() -> None:
    with pytest.raises(PluginError, match=r"labeled pictures of shape \(3, 28, 28\)"):
        scored(known(noise(3), noise(3)[..., 0]))
    with pytest.raises(PluginError, match="type float64"):
        scored(known(noise(3) / 255, noise(3)))  # type: ignore[arg-type]  # that is the point
    with pytest.raises(PluginError, match="1 channels and labeled ones of 3"):
        scored(known(noise(3), noise(3, channels=3)))


def test_looking_at_the_plugin_does_not_import_torch() -> None:
    code = "import sys; import plugins.uncertainty.vaal; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
