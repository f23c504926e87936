"""What every detector promises, as checks that tests run on each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import Detector, DetectorFit, Found, LabeledBoxes
from ml_backend.learners.network_detector import NetworkDetector, marks
from ml_backend.learners.shown import sizes
from tests.learners.boxes_fixture import CLASSES, Scenes
from tests.learners.conftest import images_of

Make = Callable[..., NetworkDetector[Any]]


def check_found(found: Found, images: Images, classes: int) -> None:
    """Shapes, types, order and bounds of `Found`."""
    k = len(found)
    assert found.box.shape == (k, 4)
    kinds = [str(column.dtype) for column in (found.item, found.label, found.box, found.score)]
    assert kinds == ["int64", "int64", "float32", "float32"]
    assert np.array_equal(np.lexsort((-found.score, found.item)), np.arange(k))
    limits = np.array(sizes(images), dtype=np.float64).reshape(-1, 2)[found.item][:, ::-1]
    assert (found.box[:, :2] >= 0).all()
    assert (found.box[:, 2:] <= limits).all()
    assert (found.box[:, 2:] >= found.box[:, :2]).all()
    assert ((found.score >= 0) & (found.score <= 1)).all()
    assert ((found.label >= 0) & (found.label < classes)).all()
    assert found.probabilities is not None
    assert found.probabilities.shape == (k, classes)
    if k:
        assert np.allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
        assert np.array_equal(found.probabilities.argmax(axis=1), found.label)


def same(a: Found, b: Found) -> bool:
    pairs = ((a.item, b.item), (a.box, b.box), (a.score, b.score), (a.label, b.label))
    return all(np.array_equal(one, other) for one, other in pairs)


def fitted(
    detector: Detector[Any], labeled: Scenes, pool: Images, folder: Path, **given: Any
) -> tuple[DetectorFit, list[dict[str, float]], list[tuple[str, int, int]]]:
    """A fit, what the observer heard of each epoch, and the progress."""
    heard: list[dict[str, float]] = []
    steps: list[tuple[str, int, int]] = []

    def observer(epoch: int, losses: dict[str, float]) -> None:
        assert epoch == len(heard)
        heard.append(losses)

    def progress(what: str, done: int, total: int) -> None:
        steps.append((what, done, total))

    settings = {"groups": None, "classes": CLASSES, "seed": 0, **given}
    groups, classes = settings.pop("groups"), settings.pop("classes")
    fit = detector.fit(
        labeled.images,
        labeled.boxes,
        groups,
        pool,
        classes,
        folder=folder,
        observer=observer,
        progress=progress,
        **settings,
    )
    return fit, heard, steps


def check_progress(steps: list[tuple[str, int, int]], images: int) -> None:
    """It rises to its end, first for training, then for detecting all images."""
    for what in ("training", "detecting"):
        own = [(done, total) for name, done, total in steps if name == what]
        assert [done for done, _ in own] == sorted(done for done, _ in own)
        assert own[-1][0] == own[-1][1]
    assert steps[-1] == ("detecting", images, images)


def odd_images(folder: Path, scenes: Scenes) -> tuple[Images, LabeledBoxes]:
    """Four labeled images: one turned by its EXIF note, one grey, one without a box, one plain; a box in the first."""
    pictures = [Image.open(path).convert("RGB") for path in scenes.images.paths[:4]]
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures[0].save(folder / "turned.jpg", exif=exif)
    pictures[1].convert("L").save(folder / "grey.png")
    pictures[2].save(folder / "empty.jpg")
    pictures[3].save(folder / "plain.png")
    names = ("turned.jpg", "grey.png", "empty.jpg", "plain.png")
    box = [[10.0, 60, 60, 140], [20, 20, 60, 60], [100, 10, 150, 60]]
    return images_of([folder / name for name in names]), LabeledBoxes(
        np.array([0, 1, 3]), np.array(box), np.array([0, 0, 0])
    )


def check_odd_images(make: Make, folder: Path, scenes: Scenes) -> None:
    """One class alone has labels, images are turned and grey, one has no box, the pool is empty."""
    folder.mkdir()
    images, boxes = odd_images(folder, scenes)
    odd = Scenes(images, boxes, np.array(["a"] * 4))
    fit, _, steps = fitted(make(epochs=1), odd, Images([], []), folder / "kept")
    assert len(fit.pool) == 0
    check_found(fit.pool, Images([], []), len(CLASSES))
    check_found(fit.labeled, images, len(CLASSES))
    check_progress(steps, 4)
    assert fit.precision is None
    assert any("there are 4" in note for note in fit.notes)
    assert sizes(images)[0] == (160, 90)


def check_starts(make: Make, folder: Path, scenes: Scenes, before: DetectorFit) -> None:
    """Going on after the classes changed, from broken arrays, and from what has learned what is now held out."""
    part = scenes.part(0, 4)
    changed = ("car", "tram", "pedestrian", "cyclist")
    boxes = LabeledBoxes(part.boxes.item, part.boxes.box, np.array([2, 3, 0])[part.boxes.label])
    moved = Scenes(part.images, boxes, part.groups)
    fit, _, _ = fitted(make(epochs=1), moved, part.images, folder, classes=changed, start=before.model)
    assert any("New to the model" in note and "tram" in note for note in fit.notes)
    assert "from the last model" in fit.features
    learned = {*before.model["learned"].tolist(), *marks(list(part.images.contents)).tolist()}
    assert set(fit.model["learned"].tolist()) == learned
    check_found(fit.pool, part.images, 4)

    name = next(name for name in before.model if name.startswith("network.") and before.model[name].ndim > 1)
    for broken in (
        {},
        {**before.model, name: before.model[name][:1]},
        {**before.model, name: before.model[name] * np.nan},
    ):
        assert make().unusable(broken)
        with pytest.raises(ValueError, match="train once more"):
            make().detect(broken, part.images)


def check_begins_anew(make: Make, folder: Path, scenes: Scenes, before: DetectorFit) -> None:
    """A model that has learned from what is now held out is no start."""
    every = scenes.part(0, 16)
    seen = {**before.model, "learned": marks(list(every.images.contents))}
    fit, _, _ = fitted(make(epochs=1), every, Images([], []), folder, start=seen)
    assert any("now held out" in note for note in fit.notes)
    assert "from the last model" not in fit.features
    assert fit.precision is not None


def check_refusals(make: Make, folder: Path, scenes: Scenes) -> None:
    """Labels without a box, wrong classes, and weights that are no file or no weights."""
    part = scenes.part(0, 3)
    nothing = LabeledBoxes(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="has a box"):
        fitted(make(), Scenes(part.images, nothing, part.groups), part.images, folder)
    outside = LabeledBoxes(np.array([0]), np.array([[500.0, 500, 600, 600]]), np.array([0]))
    with pytest.raises(ValueError, match="No box lies inside"):
        fitted(make(), Scenes(part.images, outside, part.groups), part.images, folder)
    with pytest.raises(RuntimeError, match=r"'/no/such\.pt' are not a file"):
        fitted(make(weights="/no/such.pt"), part, part.images, folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "wrong.pt").write_bytes(b"no weights at all")
    with pytest.raises(RuntimeError, match=r"wrong\.pt"):
        fitted(make(weights=str(folder / "wrong.pt")), part, part.images, folder)


def check_order_does_not_matter(make: Make, folder: Path, scenes: Scenes) -> None:
    """Whoever labeled first: the same model, and each image keeps its own boxes."""
    part, order = scenes.part(0, 6), np.array([3, 0, 5, 1, 4, 2])
    shuffled = Scenes(part.images.take(order), part.boxes.of(order), part.groups[order])
    first, _, _ = fitted(make(epochs=1), part, part.images, folder / "a")
    other, _, _ = fitted(make(epochs=1), shuffled, part.images, folder / "b")
    assert all(np.array_equal(array, other.model[name]) for name, array in first.model.items())
    assert same(first.pool, other.pool)
    assert same(first.labeled.of(order), other.labeled)
