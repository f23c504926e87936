"""Which frames may be asked about, which are tested on, and which come labeled. Whole videos stay on one side."""

from __future__ import annotations

import numpy as np

from simulation.datasets.boxes import BoxDataset
from simulation.datasets.contract import DatasetConfig, DatasetError, Ints, Parts
from simulation.datasets.drawing import INITIAL, POOL, TEST, generator_of


def split_boxes(dataset: BoxDataset, config: DatasetConfig, seed: int) -> Parts:
    """Pool and test part of one run.

    Test: the official part, else whole videos (single images where there are none), drawn by seed until they hold
    `config.test` frames or `config.test_share` of all. Of more than `config.test` frames so many are taken, evenly
    spaced, so that every video is seen. Pool: the rest, or as many whole videos of it, drawn by seed, as it takes for
    `config.pool` frames; the last one is cut at its end.
    """
    n = len(dataset.images)
    if dataset.test is not None:
        test = dataset.test
    else:
        wanted = config.test if config.test is not None else max(1, round(n * config.test_share))
        test = _whole_videos(dataset, np.arange(n), wanted, (TEST, seed), spare=True)
    rest = np.setdiff1d(np.arange(n), test)
    if config.test is not None:
        _check(dataset, "test", config.test, len(test))
        test = test[np.linspace(0, len(test) - 1, config.test).round().astype(np.int64)]
    if config.pool is not None:
        _check(dataset, "pool", config.pool, len(rest))
        drawn = _whole_videos(dataset, rest, config.pool, (POOL, seed))
        rest = np.sort(drawn[: config.pool])
    if not dataset.counts(test).any():
        raise DatasetError(f"'{dataset.name}' has no box on its {len(test)} test images; test on more of them.")
    return Parts(pool=rest.astype(np.int64), test=np.sort(test).astype(np.int64))


def _check(dataset: BoxDataset, name: str, wanted: int, available: int) -> None:
    if wanted > available:
        raise DatasetError(
            f"'{dataset.name}' has {available} frames for `{name}` = {wanted}; lower it or leave it out."
        )


def _whole_videos(
    dataset: BoxDataset, items: Ints, wanted: int, stream: tuple[int, int], *, spare: bool = False
) -> Ints:
    """Positions of whole videos in a drawn order until these are `wanted`; spare: one video at least is left."""
    video = dataset.frames.video[items]
    names = np.unique(video)
    if spare and len(names) < 2:
        raise DatasetError(f"'{dataset.name}' has frames of one video alone; give it a second one, to test on.")
    order = generator_of(*stream).permutation(names)
    taken: list[Ints] = []
    for name in order[: len(order) - spare]:
        if sum(map(len, taken)) >= wanted:
            break
        taken.append(items[video == name])
    found = np.concatenate(taken)
    return np.sort(found) if spare else found


def draw_frames(pool: Ints, count: int, seed: int) -> Ints:
    """(count,) ascending members of the pool that come labeled, uniformly by seed."""
    return np.sort(generator_of(INITIAL, seed).permutation(pool)[:count]).astype(np.int64)
