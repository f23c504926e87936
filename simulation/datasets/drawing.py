"""Which images are asked about, which are tested on, and which come labeled: each draw a function of its seed alone.

The draws of one seed are independent of each other: every kind of draw has a stream of its own.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from plugins.contract import IntArray
from simulation.datasets.contract import Dataset, DatasetConfig, DatasetError, Ints, Parts

TEST, POOL, INITIAL, TAIL = 1, 2, 3, 4  # streams of random numbers
FIXED = 0  # the seed of what must not depend on the run


def generator_of(stream: int, seed: int) -> np.random.Generator:
    if seed < 0:
        raise DatasetError(f"The seed is {seed}; give 0 or more.")
    return np.random.default_rng([stream, seed])


def split(dataset: Dataset, config: DatasetConfig, seed: int) -> Parts:
    """Pool and test part of one run; `long_tail` cuts the pool further.

    Test: the official part, of which `config.test` images are drawn in proportion to the classes, the same ones for
    every seed; without one, `config.test` images or `config.test_share` of all, in proportion to the classes, by seed
    (a class of one image stays in the pool). Pool: all that is in neither the official part nor the held-out one, or
    `config.pool` of it, drawn uniformly by seed.
    """
    if dataset.test is not None:
        test, others = dataset.test, _without(len(dataset.labels), dataset.test)
        if config.test is not None:
            _check(dataset.name, "test", config.test, len(test))
            test = test[stratified(dataset.labels[test], config.test, generator_of(TEST, FIXED))]
    else:
        test = _held_out(dataset, config, seed)
        others = _without(len(dataset.labels), test)
    if config.pool is not None:
        _check(dataset.name, "pool", config.pool, len(others))
        others = np.sort(generator_of(POOL, seed).permutation(others)[: config.pool])
    return Parts(pool=others, test=test)


def _held_out(dataset: Dataset, config: DatasetConfig, seed: int) -> Ints:
    n = len(dataset.labels)
    most = n - len(np.unique(dataset.labels))  # each class keeps an image that can be labeled
    if config.test is not None:
        _check(dataset.name, "test", config.test, most)
    count = config.test if config.test is not None else min(most, max(1, math.floor(n * config.test_share + 0.5)))
    if count < 1:
        raise DatasetError(f"'{dataset.name}' has one image of each class, so none can be tested on; give it more.")
    return stratified(dataset.labels, count, generator_of(TEST, seed), spare=1)


def _check(name: str, option: str, wanted: int, available: int) -> None:
    if wanted > available:
        raise DatasetError(f"'{name}' has {available} images for `{option}` = {wanted}; lower it or leave it out.")


def _without(n: int, taken: Ints) -> Ints:
    left = np.ones(n, dtype=bool)
    left[taken] = False
    return np.flatnonzero(left).astype(np.int64)


def stratified(labels: IntArray, count: int, generator: np.random.Generator, *, spare: int = 0) -> Ints:
    """(count,) ascending positions in labels (n,): each class by its share, which items of it at random.

    Shares are rounded by largest remainders (Hamilton's method; ties go to the lower class), and `spare` items of each
    class are never drawn.

    >>> drawn = stratified(np.array([0] * 6 + [1] * 3), 3, np.random.default_rng(0))
    >>> np.array([0] * 6 + [1] * 3)[drawn].tolist()
    [0, 0, 1]
    """
    classes, sizes = np.unique(labels, return_counts=True)
    wanted = apportion(sizes, count, np.maximum(0, sizes - spare))
    drawn = [
        generator.permutation(np.flatnonzero(labels == kind))[:take] for kind, take in zip(classes, wanted, strict=True)
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def apportion(sizes: IntArray, count: int, limits: IntArray) -> Ints:
    """(C,) seats that add up to `count`, in proportion to (C,) sizes, none above its limit (C,).

    >>> apportion(np.array([50, 30, 20]), 7, np.array([50, 30, 20])).tolist()
    [4, 2, 1]
    """
    if not 0 <= count <= int(limits.sum()):
        raise DatasetError(f"{count} images were asked of {int(limits.sum())}; ask for fewer.")
    exact = count * sizes / sizes.sum()
    seats: Ints = np.minimum(np.floor(exact), limits).astype(np.int64)
    order = np.argsort(-(exact - np.floor(exact)), kind="stable")
    while (left := count - int(seats.sum())) > 0:
        seats[order[seats[order] < limits[order]][:left]] += 1
    return seats


def draw_initial(labels: IntArray, count: int, how: Literal["random", "balanced"], seed: int) -> Ints:
    """(count,) ascending positions in the pool, whose true classes are labels (n,), that come labeled.

    random: uniformly, without replacement. balanced: equal counts for each class that the pool holds. Classes take
    turns in an order drawn by the seed, one random item a turn, and one that has none left is passed over: so counts
    differ by one at most, except where a class has run out.

    >>> np.array([0, 0, 0, 0, 0, 1, 2, 2, 2])[draw_initial([0, 0, 0, 0, 0, 1, 2, 2, 2], 5, "balanced", 0)].tolist()
    [0, 0, 1, 2, 2]
    """
    truth = np.asarray(labels)
    if not 1 <= count <= len(truth):
        raise DatasetError(f"{count} initial labels were asked of a pool of {len(truth)}; give 1 to {len(truth)}.")
    generator = generator_of(INITIAL, seed)
    shuffled = generator.permutation(len(truth))
    if how == "random":
        return np.sort(shuffled[:count]).astype(np.int64)
    if how != "balanced":
        raise DatasetError(f"Initial labels cannot be drawn as '{how}'; choose random or balanced.")
    present, kind = np.unique(truth[shuffled], return_inverse=True)
    turn = generator.permutation(len(present))[kind]
    grouped = np.argsort(kind, kind="stable")
    starts = np.searchsorted(kind[grouped], np.arange(len(present)))
    round_ = np.empty(len(truth), dtype=np.int64)
    round_[grouped] = np.arange(len(truth)) - starts[kind[grouped]]  # how many of its class stand before it
    return np.sort(shuffled[np.lexsort((turn, round_))[:count]]).astype(np.int64)


def long_tail(labels: IntArray, parts: Parts, initial: IntArray, factor: float, seed: int) -> Parts:
    """The long-tailed set of thesis ch. 4: the first labels are balanced, and of the rest half of the classes keep the
    fraction IF (`factor`) of their items.

    labels: (n,) of the data set. initial: positions in the data set, within the pool, drawn (balanced) from the whole
    pool before it is cut. The floor(C / 2) rare ones of the C classes in the pool are drawn by seed, and so is what
    they keep of their m items that are not initial: floor(IF m + 1/2). The test part stays as it is.

    >>> pool = Parts(pool=np.arange(20), test=np.arange(20, 24))
    >>> cut = long_tail(np.arange(24) % 2, pool, np.array([0, 1, 2, 3]), 0.25, seed=0)
    >>> sorted(np.bincount(cut.pool % 2).tolist()), bool(np.isin([0, 1, 2, 3], cut.pool).all())
    ([4, 10], True)
    """
    if not 0 < factor <= 1:
        raise DatasetError(f"The imbalance factor is {factor}; give more than 0 and at most 1.")
    if not np.isin(initial, parts.pool).all():
        raise DatasetError("Some initial labels do not lie in the pool; draw them from it.")
    truth, generator = np.asarray(labels), generator_of(TAIL, seed)
    present = np.unique(truth[parts.pool])
    rest = np.setdiff1d(parts.pool, initial)
    dropped = [np.zeros(0, dtype=np.int64)]
    for rare in generator.permutation(present)[: len(present) // 2]:
        own = generator.permutation(rest[truth[rest] == rare])
        dropped.append(own[math.floor(factor * len(own) + 0.5) :])
    return Parts(pool=np.setdiff1d(parts.pool, np.concatenate(dropped)).astype(np.int64), test=parts.test)
