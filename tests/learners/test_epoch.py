"""The benchmark of an epoch, at a size that a CPU can do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import epoch
from benchmarks.record import available


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    torch.set_num_threads(1)


def test_every_way_of_training_is_timed() -> None:
    rows = epoch.compare(n=12, batch=8, epochs=2, workers=0)
    assert [row["way"] for row in rows][0::3] == ["textbook loop, float32", "ours, compiled"]
    assert all(row["epoch_seconds"] > 0 and row["images_per_second"] > 0 for row in rows)
    assert rows[0]["times_textbook"] == 1
    with pytest.raises(ValueError, match="time at least 2"):
        epoch.compare(n=12, batch=8, epochs=1, workers=0)


def test_both_loops_see_the_same_kind_of_images() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(3, 32, 32, 3), dtype=np.uint8)
    image, label = epoch.Textbook(pixels, np.array([4, 5, 6]))[1]
    assert image.shape == (3, 32, 32)
    assert label == 5


def test_without_a_gpu_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert set(epoch.run()) == {"skipped"}
    assert "epoch" in available()
