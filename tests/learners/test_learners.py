"""The learners keep the promises of the contract, on real images and a real store."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import scipy.special
from numpy.typing import NDArray

from ml_backend.learners import dropout
from ml_backend.learners.contract import FeatureStore, Fit, Images, Learner
from ml_backend.learners.head import Scaling, Solver, fit_head
from ml_backend.learners.pixels import UnreadableImageError
from ml_backend.learners.small_network import SmallNetwork
from ml_backend.store.arrays import ArrayStore, DiskFeatures
from plugins.contract import PluginError
from plugins.registry import make
from tests.learners.conftest import CLASSES, Digits, images_of, in_memory

QUICK: dict[str, dict[str, Any]] = {
    "frozen": {},
    "small_network": {"epochs": 3, "crop": 0},
    "finetune": {"epochs": 2, "batch": 32, "flip": False, "crop": 1, "side": 8},
}
every = pytest.mark.parametrize("name", list(QUICK))


@pytest.fixture(scope="module", autouse=True)
def _one_torch_thread() -> None:
    """Such small networks only lose by sharing work among threads."""
    import torch

    torch.set_num_threads(1)


@dataclass
class Diary:
    """What an observer heard."""

    epochs: list[int] = field(default_factory=list)
    labels: list[NDArray[Any]] = field(default_factory=list)

    def __call__(self, epoch: int, labels: NDArray[Any]) -> None:
        self.epochs.append(epoch)
        self.labels.append(labels)


def fitted(
    name: str,
    digits: Digits,
    store: FeatureStore,
    *,
    n: int = 80,
    seed: int = 0,
    wanted: Collection[str] = (),
    **config: Any,
) -> tuple[Fit, Diary]:
    learner: Learner[Any] = make("learner", name, QUICK[name] | config)
    diary = Diary()
    end = len(digits.images) if name == "frozen" else n + 20
    labeled, pool = digits.part(0, n), digits.part(n, end)
    fit = learner.fit(labeled, digits.labels[:n], pool, CLASSES, store=store, seed=seed, observer=diary, wanted=wanted)
    return fit, diary


@every
def test_fit_has_the_promised_shapes(name: str, digits: Digits, store: FeatureStore) -> None:
    fit, diary = fitted(name, digits, store)
    n = len(fit.probabilities)
    assert fit.probabilities.shape == (n, 10)
    assert np.allclose(fit.probabilities.sum(axis=1), 1)
    assert fit.embeddings.shape[0] == n
    assert fit.labeled_embeddings.shape == (80, fit.embeddings.shape[1])
    assert fit.embeddings.dtype == fit.labeled_embeddings.dtype == np.float32
    assert fit.features
    assert fit.accuracy is not None
    assert 0 <= fit.accuracy.low <= fit.accuracy.value <= fit.accuracy.high <= 1
    assert diary.epochs == list(range(len(diary.epochs)))
    for labels in diary.labels:
        assert labels.shape == (n,)
        assert labels.dtype.kind == "i"
        assert labels.min() >= 0
        assert labels.max() < 10


@every
def test_same_seed_same_fit(name: str, digits: Digits, store: FeatureStore) -> None:
    (first, heard), (again, heard_again) = fitted(name, digits, store), fitted(name, digits, store)
    assert np.array_equal(first.probabilities, again.probabilities)
    assert first.accuracy == again.accuracy
    assert np.array_equal(heard.labels, heard_again.labels)
    for key, array in first.model.items():
        assert np.array_equal(array, again.model[key]), key


@every
def test_label_order_does_not_matter(name: str, digits: Digits, store: FeatureStore) -> None:
    order = np.random.default_rng(0).permutation(80)
    first, _ = fitted(name, digits, store)
    images = Images(
        [*(digits.images.contents[i] for i in order), *digits.images.contents[80:]],
        [*(digits.images.paths[i] for i in order), *digits.images.paths[80:]],
    )
    shuffled = Digits(images, np.concatenate([digits.labels[:80][order], digits.labels[80:]]))
    other, _ = fitted(name, shuffled, store)
    assert np.array_equal(first.probabilities, other.probabilities)
    assert np.array_equal(first.labeled_embeddings[order], other.labeled_embeddings)
    assert first.accuracy == other.accuracy


@every
def test_predict_gives_the_fits_probabilities_even_elsewhere(
    name: str, digits: Digits, store: FeatureStore, tmp_path: Any
) -> None:
    fit, _ = fitted(name, digits, store)
    other = DiskFeatures(ArrayStore(str(tmp_path / "another machine")))
    other.save_state("model", fit.model)
    model = other.load_state("model") or {}
    learner: Learner[Any] = make("learner", name)
    images = digits.part(80, 80 + len(fit.probabilities))
    assert np.allclose(learner.predict(model, images, other), fit.probabilities, atol=1e-5)
    assert learner.predict(model, Images([], []), other).shape == (0, 10)


@every
def test_an_empty_pool_still_trains(name: str, digits: Digits, store: FeatureStore) -> None:
    learner: Learner[Any] = make("learner", name, QUICK[name])
    nothing = Images([], [])
    fit = learner.fit(digits.part(0, 30), digits.labels[:30], nothing, CLASSES, store=store, seed=0, observer=Diary())
    assert fit.probabilities.shape == (0, 10)
    assert len(fit.embeddings) == 0


@every
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 1, 1], "two classes and got 1"),
        ([0, 1], "3 labeled images"),
        ([0, 1, 10], "Label 10"),
        ([0, 1, -1], "Label -1"),
    ],
)
def test_wrong_labels_are_refused(
    name: str, labels: list[int], message: str, digits: Digits, store: FeatureStore
) -> None:
    learner: Learner[Any] = make("learner", name, QUICK[name])
    with pytest.raises(ValueError, match=message):
        learner.fit(digits.part(0, 3), np.array(labels), digits.part(3, 5), CLASSES, store=store, seed=0)


@every
def test_a_truncated_file_is_named(name: str, digits: Digits, store: FeatureStore, tmp_path: Any) -> None:
    fit, _ = fitted(name, digits, store)
    cut = tmp_path / "cut.png"
    cut.write_bytes(digits.images.paths[0].read_bytes()[:60])
    with pytest.raises(UnreadableImageError, match=r"cut\.png"):
        make("learner", name).predict(fit.model, images_of([cut]), store)


@every
def test_images_in_memory_give_the_same_fit(name: str, digits: Digits, store: FeatureStore) -> None:
    decoded = Digits(in_memory(digits.images), digits.labels)
    (first, heard), (again, heard_again) = fitted(name, digits, store), fitted(name, decoded, store)
    assert np.array_equal(first.probabilities, again.probabilities)
    assert np.array_equal(first.embeddings, again.embeddings)
    assert np.array_equal(heard.labels, heard_again.labels)
    assert first.features == again.features
    learner: Learner[Any] = make("learner", name)
    images = digits.part(0, 9)
    files = learner.predict(first.model, images, store)
    assert np.array_equal(files, learner.predict(first.model, in_memory(images), store))


@every
def test_one_side_in_memory_may_be_empty(name: str, digits: Digits, store: FeatureStore) -> None:
    learner: Learner[Any] = make("learner", name, QUICK[name])
    labeled = in_memory(digits.part(0, 30))
    fit = learner.fit(labeled, digits.labels[:30], Images([], []), CLASSES, store=store, seed=0)
    assert fit.probabilities.shape == (0, 10)


@every
def test_embed_needs_no_label(name: str, digits: Digits, store: FeatureStore) -> None:
    vectors, sentence = make("learner", name).embed(digits.images, store)
    assert vectors.shape == (600, 64)
    assert sentence == "raw pixels (64); no image is larger than 16 px"


def test_frozen_learns_and_records_forty_iterations(digits: Digits, store: FeatureStore) -> None:
    fit, diary = fitted("frozen", digits, store, n=200)
    truth = digits.labels[200:]
    assert (fit.probabilities.argmax(axis=1) == truth).mean() > 0.87
    assert len(diary.labels) == 40
    assert (diary.labels[-1] == truth).mean() > (diary.labels[0] == truth).mean()
    short, heard = fitted("frozen", digits, store, n=200, history=5)
    assert len(heard.labels) == 5
    assert np.array_equal(short.probabilities, fit.probabilities)


def test_frozen_says_which_classes_have_no_label(digits: Digits, store: FeatureStore) -> None:
    low = np.flatnonzero(digits.labels < 3)[:30]
    images = Images([digits.images.contents[i] for i in low], [digits.images.paths[i] for i in low])
    fit = make("learner", "frozen").fit(images, digits.labels[low], digits.part(0, 20), CLASSES, store=store, seed=0)
    assert any(note.startswith("No label yet for 7 of 10 classes: 3, 4, 5") for note in fit.notes)
    assert np.allclose(fit.probabilities[:, 3:], 1 / 40)


def test_scopes_learn_their_own_filters(large_digits: Digits, store: FeatureStore) -> None:
    ids = set()
    for scope, part in (("project-1", large_digits.part(0, 100)), ("project-2", large_digits.part(100, 200))):
        learner: Learner[Any] = make("learner", "frozen", {"features": "patches"})
        learner.scope = scope
        fit = learner.fit(part, large_digits.labels[: len(part)], Images([], []), CLASSES, store=store, seed=0)
        ids.add(str(fit.model["feature_id"][0]))
    assert len(ids) == 2


def test_patch_features_learn(large_digits: Digits, store: FeatureStore) -> None:
    fit, _ = fitted("frozen", large_digits, store, n=150, features="patches")
    assert (fit.probabilities.argmax(axis=1) == large_digits.labels[150:]).mean() > 0.85


def test_finetune_overfits_what_it_sees(digits: Digits, store: FeatureStore) -> None:
    fit, diary = fitted("finetune", digits, store, n=24, epochs=15, batch=8, crop=0, held_out=0.0)
    assert len(diary.labels) == 15
    assert fit.metrics["training_accuracy"] > 0.9
    assert fit.accuracy is None
    assert fit.notes == ("Accuracy is unknown: no label could be held out.",)


def test_dropout_passes_come_only_when_asked_for(digits: Digits, store: FeatureStore) -> None:
    settings: dict[str, dict[str, Any]] = {"frozen": {}, "small_network": {}, "finetune": {"dropout": 0.5}}
    for name, config in settings.items():
        usual, _ = fitted(name, digits, store, **config)
        assert usual.columns == {}
        fit, _ = fitted(name, digits, store, wanted={"expected_entropy", "probabilities", "else"}, **config)
        assert np.array_equal(fit.probabilities, usual.probabilities)
        assert set(fit.columns) == {"expected_probabilities", "expected_entropy"} <= make("learner", name).provides
        mean, entropy = fit.columns["expected_probabilities"], fit.columns["expected_entropy"]
        assert mean.shape == fit.probabilities.shape
        assert entropy.shape == (len(mean),)
        assert mean.dtype == entropy.dtype == np.float32
        assert np.allclose(mean.sum(axis=1), 1, atol=1e-5)
        information = scipy.special.entr(mean).sum(axis=1) - entropy  # BALD's: never negative (Jensen)
        assert information.min() > -1e-5
        assert information.max() > 1e-3


@pytest.mark.parametrize("name", ["frozen", "small_network"])
def test_dropout_passes_do_not_depend_on_the_place_in_the_pool(name: str, digits: Digits, store: FeatureStore) -> None:
    learner: Learner[Any] = make("learner", name, QUICK[name])
    labeled, labels = digits.part(0, 60), digits.labels[:60]
    order = np.random.default_rng(0).permutation(40)

    def columns(pool: Images) -> dict[str, NDArray[Any]]:
        wanted = {"expected_entropy"}
        return learner.fit(labeled, labels, pool, CLASSES, store=store, seed=0, wanted=wanted).columns

    first, other = columns(digits.part(60, 100)), columns(digits.part(60, 100).take(order))
    for key in first:
        assert np.allclose(first[key][order], other[key], atol=1e-5)
    empty = columns(Images([], []))
    assert empty["expected_probabilities"].shape == (0, 10)
    assert empty["expected_entropy"].shape == (0,)


def test_passes_without_dropout_are_left_out_and_named(digits: Digits, store: FeatureStore) -> None:
    fit, _ = fitted("finetune", digits, store, wanted={"expected_entropy"})
    assert fit.columns == {}
    assert any("has dropout 0" in note and "'finetune'" in note for note in fit.notes)


def test_frozen_passes_are_the_means_of_the_literal_ones() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 3
    x = (rng.normal(size=(40, 6)) + labels[:, None]).astype(np.float32)
    scaling = Scaling.of(x)
    head = fit_head(x, np.where(labels == 2, 3, labels), 4, scaling, Solver()).head  # class 2 has no label
    (masks,) = dropout.masks(9, [6], 0.5, seed=0)
    p = np.empty((40, 9, 4))
    for i in range(40):
        for m in range(9):
            scaled = (x[i] - scaling.centre) / scaling.scale * masks[m]
            logits = scaled @ (head.weights * scaling.scale) + head.bias + scaling.centre @ head.weights
            p[i, m] = head.unseen
            p[i, m, head.seen] = (1 - head.unseen) * scipy.special.softmax(logits[head.seen])
    columns = head.expected(x, scaling.centre, masks)
    assert np.allclose(columns["expected_probabilities"], p.mean(axis=1), atol=1e-6)
    assert np.allclose(columns["expected_entropy"], scipy.special.entr(p).sum(axis=2).mean(axis=1), atol=1e-6)


def test_without_an_observer_the_pool_is_predicted_once(
    digits: Digits, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_backend.learners import network

    def never(*_: object) -> NDArray[np.int64]:
        raise AssertionError("the pool was predicted for nobody")

    with_observer, _ = fitted("small_network", digits, store)
    monkeypatch.setattr(network, "labels", never)
    learner: Learner[Any] = make("learner", "small_network", QUICK["small_network"])
    fit = learner.fit(digits.part(0, 80), digits.labels[:80], digits.part(80, 100), CLASSES, store=store, seed=0)
    assert np.array_equal(fit.probabilities, with_observer.probabilities)


def test_small_network_learns_grey_and_colour(digits: Digits, store: FeatureStore) -> None:
    learner: Learner[Any] = make("learner", "small_network", {"crop": 1})
    truth = digits.labels[300:]
    grey = in_memory(digits.images)
    assert grey.pixels is not None
    tinted = grey.pixels * np.array([1.0, 0.5, 0.25])
    for images, mode in ((grey, "L"), (Images(grey.contents, [], tinted.astype(np.uint8)), "RGB")):
        labeled, pool = images.take(np.arange(300)), images.take(np.arange(300, 600))
        fit = learner.fit(labeled, digits.labels[:300], pool, CLASSES, store=store, seed=0)
        assert str(fit.model["mode"][0]) == mode
        assert fit.embeddings.shape == (300, 128)
        assert (fit.probabilities.argmax(axis=1) == truth).mean() > 0.85
        assert fit.features.startswith("a small convolutional network at 8 px, every layer trained on 255 labels")


def test_small_network_takes_smaller_batches_of_few_labels() -> None:
    learner = SmallNetwork()
    assert [learner.batch(n) for n in (20, 200, 512, 5000)] == [8, 12, 32, 32]


def test_a_model_of_another_version_is_named(digits: Digits, store: FeatureStore) -> None:
    with pytest.raises(ValueError, match="'finetune'; train once more"):
        make("learner", "finetune").predict({"shape": np.array([10, 8])}, digits.part(0, 1), store)


def test_frozen_measures_no_accuracy_without_folds(digits: Digits, store: DiskFeatures) -> None:
    fit, _ = fitted("frozen", digits, store, folds=0)
    assert fit.accuracy is None
    assert fit.notes == ()
    with pytest.raises(PluginError, match="one part leaves nothing to learn from"):
        make("learner", "frozen", {"folds": 1})
