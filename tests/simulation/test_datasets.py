"""What a run may ask, test on and begin with: fixed by the seed, and equal to its literal description."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from ml_backend.learners.contract import Images
from simulation.datasets import Dataset, DatasetConfig, DatasetError, Parts, draw_initial, long_tail, split
from simulation.datasets.drawing import apportion, stratified

Ints = NDArray[np.int64]
ANY = DatasetConfig(name="digits")


def dataset(labels: Any, *, test: Any = None, classes: int | None = None) -> Dataset:
    truth = np.array(labels, dtype=np.int64)
    pixels = np.zeros((len(truth), 2, 2, 1), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(len(truth)) % 256
    pixels[:, 0, 1, 0] = np.arange(len(truth)) // 256
    names = tuple(f"c{number}" for number in range(classes or int(truth.max()) + 1))
    return Dataset("made", Images.in_memory(pixels), truth, names, None if test is None else np.array(test))


def some_labels(n: int, classes: int, seed: int = 0) -> Ints:
    return np.random.default_rng(seed).integers(0, classes, n)


LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=60).filter(lambda labels: len(set(labels)) > 1)


# the contract


def test_a_fingerprint_follows_contents_labels_classes_and_test_alone() -> None:
    given_ = dataset([0, 1, 0, 1], test=[3])
    same = Dataset("other", given_.images, given_.labels.copy(), given_.classes, np.array([3]), "another note")
    assert given_.fingerprint() == same.fingerprint()
    different = [
        dataset([0, 1, 0, 0], test=[3]),
        dataset([0, 1, 0, 1], test=[2]),
        dataset([0, 1, 0, 1]),
        dataset([0, 1, 0, 1], test=[3], classes=3),
        Dataset("made", given_.images.take(np.array([1, 0, 2, 3])), given_.labels, given_.classes, np.array([3])),
    ]
    assert len({each.fingerprint() for each in [given_, *different]}) == len(different) + 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"labels": [0, 1]}, "one label for each"),
        ({"labels": [0, 1, 2]}, "indices below 2"),
        ({"labels": [0, -1, 1]}, "indices below 2"),
        ({"classes": ("a",)}, "two different names"),
        ({"classes": ("a", "a")}, "two different names"),
        ({"classes": ("a", "")}, "two different names"),
        ({"test": [0, 1, 2]}, "not all of them"),
        ({"test": []}, "not none"),
        ({"test": [1, 0]}, "ascending"),
        ({"test": [3]}, "below 3"),
        ({"test": [-1]}, "below 3"),
    ],
)
def test_an_unsound_data_set_is_refused(fields: dict[str, Any], said: str) -> None:
    images = Images.in_memory(np.zeros((3, 1, 1, 1), dtype=np.uint8))
    whole: dict[str, Any] = {"labels": [0, 1, 0], "classes": ("a", "b"), "test": None, **fields}
    test = None if whole["test"] is None else np.array(whole["test"], dtype=np.int64)
    with pytest.raises(DatasetError, match=said):
        Dataset("made", images, np.array(whole["labels"]), whole["classes"], test)


def test_nobody_can_change_the_answers() -> None:
    with pytest.raises(ValueError, match="read-only"):
        dataset([0, 1]).labels[0] = 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "imagenet"}, "name"),
        ({"name": "digits", "colour": 1}, "colour"),
        ({"name": "digits", "path": "x"}, "no use for `path`"),
        ({"name": "mnist", "images": "x"}, "no use for `images`"),
        ({"name": "folder", "path": "x", "project": 3}, "no use for `project`"),
        ({"name": "folder"}, "needs `path`"),
        ({"name": "export"}, "needs `path`"),
        ({"name": "label_studio"}, "needs `project`"),
        ({"name": "cifar10", "download": True}, "needs `path`"),
        ({"name": "digits", "download": True}, "no use for `download`"),
        ({"name": "digits", "pool": 1}, "pool"),
        ({"name": "digits", "test_share": 1.0}, "test_share"),
        ({"name": "digits", "imbalance": 0.0}, "imbalance"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DatasetConfig.model_validate(fields)


def test_a_config_is_a_key_and_survives_json() -> None:
    config = DatasetConfig.model_validate({"name": "export", "path": "a.json", "images": "pictures"})
    assert DatasetConfig.model_validate_json(config.model_dump_json()) == config
    assert hash(config) == hash(DatasetConfig.model_validate(config.model_dump(mode="json")))


# the split


def test_the_official_test_part_is_the_same_for_every_seed() -> None:
    given_ = dataset(some_labels(200, 4), test=range(150, 200))
    parts = [split(given_, DatasetConfig(name="digits", pool=40, test=20), seed) for seed in (0, 1, 7)]
    assert all(np.array_equal(each.test, parts[0].test) for each in parts)
    assert len(parts[0].test) == 20
    assert parts[0].test.min() >= 150
    assert not np.array_equal(parts[0].pool, parts[1].pool)
    assert all(len(each.pool) == 40 and each.pool.max() < 150 for each in parts)
    whole = split(given_, ANY, 0)
    assert whole.pool.tolist() == list(range(150))
    assert whole.test.tolist() == list(range(150, 200))


@given(LABELS, st.integers(0, 5), st.one_of(st.none(), st.integers(1, 10)), st.floats(0.05, 0.95))
def test_a_held_out_part_is_stratified_and_leaves_something_of_each_class(
    labels: list[int], seed: int, test: int | None, share: float
) -> None:
    given_ = dataset(labels)
    n, most = len(labels), len(labels) - len(set(labels))
    config = DatasetConfig(name="digits", test=test, test_share=share)
    if most == 0 or (test or 0) > most:
        with pytest.raises(DatasetError):
            split(given_, config, seed)
        return
    parts = split(given_, config, seed)
    assert sorted([*parts.pool.tolist(), *parts.test.tolist()]) == list(range(n))
    assert parts.pool.tolist() == sorted(parts.pool.tolist())
    assert parts.test.tolist() == sorted(parts.test.tolist())
    assert set(given_.labels[parts.pool].tolist()) == set(labels)
    assert len(parts.test) == (test if test else min(most, max(1, math.floor(n * share + 0.5))))
    again = split(given_, config, seed)
    assert np.array_equal(again.pool, parts.pool)
    assert np.array_equal(again.test, parts.test)


def test_seeds_hold_out_different_images() -> None:
    given_ = dataset(some_labels(300, 3))
    a, b = (split(given_, ANY, seed).test for seed in (0, 1))
    assert len(a) == len(b) == 90
    assert not np.array_equal(a, b)


def test_more_than_there_is_cannot_be_drawn() -> None:
    given_ = dataset(some_labels(20, 2), test=range(15, 20))
    with pytest.raises(DatasetError, match="15 images for `pool` = 16"):
        split(given_, DatasetConfig(name="digits", pool=16), 0)
    with pytest.raises(DatasetError, match="5 images for `test` = 6"):
        split(given_, DatasetConfig(name="digits", test=6), 0)
    with pytest.raises(DatasetError, match="seed is -1"):
        split(given_, DatasetConfig(name="digits", pool=3), -1)


def hamilton(sizes: list[int], count: int, limits: list[int]) -> list[int]:
    """Largest remainders, seat by seat, in exact fractions."""
    exact = [Fraction(count * size, sum(sizes)) for size in sizes]
    seats = [min(int(share), limit) for share, limit in zip(exact, limits, strict=True)]
    order = sorted(range(len(sizes)), key=lambda i: (-(exact[i] - int(exact[i])), i))
    while sum(seats) < count:
        for i in order:
            if sum(seats) < count and seats[i] < limits[i]:
                seats[i] += 1
    return seats


@given(st.lists(st.tuples(st.integers(1, 16), st.integers(0, 3)), min_size=1, max_size=8), st.data())
def test_shares_are_rounded_by_largest_remainders(classes: list[tuple[int, int]], data: st.DataObject) -> None:
    sizes = [2 ** (size % 5) for size, _ in classes]
    while sum(sizes) & (sum(sizes) - 1):  # a power of two: shares are exact in floating point, so ties are ties
        sizes[-1] += 1
    limits = [max(0, size - spare) for size, (_, spare) in zip(sizes, classes, strict=True)]
    count = data.draw(st.integers(0, sum(limits)))
    assert apportion(np.array(sizes), count, np.array(limits)).tolist() == hamilton(sizes, count, limits)


def test_a_stratified_draw_keeps_the_shares() -> None:
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    drawn = stratified(labels, 100, np.random.default_rng(0))
    assert np.bincount(labels[drawn]).tolist() == [50, 30, 20]
    assert len(set(drawn.tolist())) == 100


# the first labels


@given(LABELS, st.data(), st.integers(0, 20))
def test_balanced_labels_are_dealt_in_turns(labels: list[int], data: st.DataObject, seed: int) -> None:
    truth = np.array(labels)
    count = data.draw(st.integers(1, len(labels)))
    drawn = draw_initial(truth, count, "balanced", seed)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert len(drawn) == count
    sizes, counts = Counter(labels), Counter(truth[drawn].tolist())
    # literally: so many whole rounds as fit, in each of which every class that has items left gives one
    left, rounds = count, 0
    while left >= (givers := sum(size > rounds for size in sizes.values())) > 0:
        left, rounds = left - givers, rounds + 1
    for kind, size in sizes.items():
        assert min(size, rounds) <= counts[kind] <= min(size, rounds + 1)
    assert sum(counts[kind] > rounds for kind in sizes) == left


def test_who_is_dealt_the_remainder_depends_on_the_seed_alone() -> None:
    labels = some_labels(100, 5)
    extra = {tuple(np.bincount(labels[draw_initial(labels, 12, "balanced", seed)]).tolist()) for seed in range(30)}
    assert len(extra) > 5
    assert np.array_equal(draw_initial(labels, 12, "balanced", 3), draw_initial(labels, 12, "balanced", 3))
    assert not np.array_equal(draw_initial(labels, 10, "balanced", 3), draw_initial(labels, 10, "balanced", 4))


@pytest.mark.parametrize("how", ["random", "balanced"])
def test_every_item_may_be_drawn_and_a_larger_draw_holds_the_smaller(how: Any) -> None:
    labels = some_labels(12, 3)
    draws = [draw_initial(labels, 4, how, seed) for seed in range(200)]
    assert set(np.concatenate(draws).tolist()) == set(range(12))
    assert set(draws[5].tolist()) <= set(draw_initial(labels, 9, how, 5).tolist())


def test_initial_labels_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(DatasetError, match="pool of 3"):
        draw_initial(np.array([0, 1, 0]), 4, "random", 0)
    with pytest.raises(DatasetError, match="give 1 to 3"):
        draw_initial(np.array([0, 1, 0]), 0, "random", 0)
    with pytest.raises(DatasetError, match="random or balanced"):
        draw_initial(np.array([0, 1, 0]), 1, "coverage", 0)  # type: ignore[arg-type]  # as a caller without types might


# the long tail


@given(LABELS, st.sampled_from([0.1, 0.3, 0.5, 1.0]), st.integers(0, 9), st.data())
def test_half_of_the_classes_keep_their_share(labels: list[int], factor: float, seed: int, data: st.DataObject) -> None:
    truth = np.array([*labels, 0, 1])
    parts = Parts(pool=np.arange(len(labels)), test=np.array([len(labels), len(labels) + 1]))
    initial = draw_initial(truth[parts.pool], data.draw(st.integers(1, len(labels))), "balanced", seed)
    cut = long_tail(truth, parts, initial, factor, seed)
    assert np.array_equal(cut.test, parts.test)
    assert cut.pool.tolist() == sorted(cut.pool.tolist())
    assert set(initial.tolist()) <= set(cut.pool.tolist()) <= set(parts.pool.tolist())
    before = Counter(truth[np.setdiff1d(parts.pool, initial)].tolist())
    after = Counter(truth[np.setdiff1d(cut.pool, initial)].tolist())
    share = Fraction(str(factor))
    kept = {kind: math.floor(share * count + Fraction(1, 2)) for kind, count in before.items()}
    uncut = {kind for kind in set(labels) if after[kind] == before[kind]}
    rare = {kind for kind in set(labels) if kind not in uncut}
    assert all(after[kind] == kept[kind] for kind in rare)
    assert len(rare) <= len(set(labels)) // 2
    same = {kind for kind in uncut if kept.get(kind, 0) == before[kind]}  # cut or not, they look the same
    assert len(rare) + len(same) >= len(set(labels)) // 2


def test_rare_classes_and_their_items_are_drawn_by_the_seed() -> None:
    labels = np.arange(700) % 7
    parts = Parts(pool=np.arange(650), test=np.arange(650, 700))
    initial = draw_initial(labels[:650], 70, "balanced", 0)
    cuts = [long_tail(labels, parts, initial, 0.1, seed) for seed in range(20)]
    rare = {tuple(np.flatnonzero(np.bincount(labels[cut.pool]) < 40).tolist()) for cut in cuts}
    assert {len(each) for each in rare} == {3}
    assert len(rare) > 5
    assert np.array_equal(long_tail(labels, parts, initial, 0.1, 3).pool, cuts[3].pool)
    assert np.array_equal(long_tail(labels, parts, initial, 1.0, 3).pool, parts.pool)


def test_an_impossible_tail_is_refused() -> None:
    parts = Parts(pool=np.array([0, 1, 2]), test=np.array([3]))
    with pytest.raises(DatasetError, match="factor is 0"):
        long_tail(np.array([0, 1, 0, 1]), parts, np.array([0]), 0, 0)
    with pytest.raises(DatasetError, match="do not lie in the pool"):
        long_tail(np.array([0, 1, 0, 1]), parts, np.array([3]), 0.5, 0)
