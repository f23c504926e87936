"""Faster R-CNN keeps the promises of a detector; its boxes are torchvision's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ml_backend.learners import detector_weights, faster_rcnn_network, faster_rcnn_training, weights
from ml_backend.learners.contract import Images
from ml_backend.learners.detector import DetectorFit
from ml_backend.learners.faster_rcnn import PUBLISHED, FasterRCNN, FasterRCNNConfig
from ml_backend.learners.shown import picture
from tests.learners import detectors_suite as suite
from tests.learners.boxes_fixture import CLASSES, Scenes, scenes


def make(**settings: Any) -> FasterRCNN:
    quick = {"weights": "scratch", "backbone": "mobilenet_v3", "image_side": 64}
    return FasterRCNN(FasterRCNNConfig(**{**quick, **settings}))


@pytest.fixture(scope="module", autouse=True)
def _one_torch_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def _few_proposals() -> Any:
    """The work goes with them."""
    patch = pytest.MonkeyPatch()
    patch.setattr(faster_rcnn_network, "SAMPLED", 32)
    patch.setattr(faster_rcnn_network, "PROPOSALS", 60)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    return scenes(tmp_path_factory.mktemp("road"), 20)


@pytest.fixture(scope="module")
def learned(road: Scenes, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return suite.fitted(make(epochs=6), road.part(4, 10), road.part(10, 12).images, tmp_path_factory.mktemp("kept"))


def test_it_learns(learned: Any, road: Scenes) -> None:
    fit, heard, steps = learned
    assert len(heard) == 6
    assert set(heard[0]) == {"class_loss", "box_loss", "object_loss", "proposal_loss", "loss"}
    assert heard[-1]["loss"] < 0.7 * heard[0]["loss"]
    suite.check_found(fit.pool, road.part(10, 12).images, len(CLASSES))
    suite.check_progress(steps, 8)


def test_detect_gives_the_fits_boxes(learned: Any, road: Scenes) -> None:
    fit = learned[0]
    assert suite.same(make().detect(fit.model, road.part(10, 12).images), fit.pool)
    assert len(make().detect(fit.model, Images([], []))) == 0


def test_odd_images(road: Scenes, tmp_path: Path) -> None:
    suite.check_odd_images(make, tmp_path / "odd", road)


def test_starts(road: Scenes, learned: Any, tmp_path: Path) -> None:
    suite.check_starts(make, tmp_path, road, learned[0])


def test_it_begins_anew_where_it_would_flatter(road: Scenes, learned: Any, tmp_path: Path) -> None:
    suite.check_begins_anew(make, tmp_path, road, learned[0])


def test_refusals(road: Scenes, tmp_path: Path) -> None:
    suite.check_refusals(make, tmp_path / "kept", road)


def test_the_order_of_labels_does_not_matter(road: Scenes, tmp_path: Path) -> None:
    suite.check_order_does_not_matter(make, tmp_path, road)


def test_another_backbone_is_no_start(learned: Any) -> None:
    fit: DetectorFit = learned[0]
    assert make(backbone="resnet50").unusable(fit.model) == "its backbone is mobilenet_v3, and resnet50 is set"


@pytest.mark.parametrize("norm", ["group", "frozen"])
def test_boxes_are_torchvisions(norm: faster_rcnn_network.Norm, road: Scenes) -> None:
    """With one class a proposal has one box, so torchvision's own answer is the same; its threshold is ours."""
    torch.manual_seed(0)
    network = faster_rcnn_network.build("mobilenet_v3", norm, 1, 64).eval()
    network.roi_heads.score_thresh, network.roi_heads.nms_thresh = 0.3, 0.5
    images = road.part(0, 2).images
    found = faster_rcnn_network.found(network, images, low=0.3, overlap=0.5, most=100, batch=2)
    with torch.inference_mode():
        theirs = network([faster_rcnn_network.as_tensor(picture(images, i)) for i in range(2)])
    assert len(found)
    for item, wanted in enumerate(theirs):
        mine = found.of(np.array([item]))
        assert np.allclose(mine.score, wanted["scores"].numpy(), atol=1e-5)
        assert np.allclose(mine.box, wanted["boxes"].numpy(), atol=1e-2)


def test_rows_of_a_class_follow_its_name() -> None:
    first = faster_rcnn_network.build("mobilenet_v3", "group", 3, 64)
    second = faster_rcnn_network.build("mobilenet_v3", "group", 2, 64)
    assert faster_rcnn_network.take_over(second, first.state_dict(), ["Tram", "car", "dog"], ("car", "cat")) == 1
    for name, rows in (("cls_score.weight", 1), ("bbox_pred.bias", 4)):
        mine = second.state_dict()[f"roi_heads.box_predictor.{name}"]
        theirs = first.state_dict()[f"roi_heads.box_predictor.{name}"]
        assert torch.equal(mine[:rows], theirs[:rows])  # the background
        assert torch.equal(mine[rows : 2 * rows], theirs[2 * rows : 3 * rows])


def test_a_mirrored_image_has_mirrored_boxes(road: Scenes) -> None:
    pixels = picture(road.images, 0)
    plain, targets = faster_rcnn_training.example(pixels, road.boxes, 0, False)
    mirrored, moved = faster_rcnn_training.example(pixels, road.boxes, 0, True)
    assert torch.equal(mirrored.flip(2), plain)
    assert torch.equal(moved["labels"], targets["labels"])
    assert torch.allclose(moved["boxes"][:, 0] + targets["boxes"][:, 2], torch.tensor(160.0))
    assert torch.equal(moved["boxes"][:, 1], targets["boxes"][:, 1])


def test_published_weights_are_taken_or_missed_with_a_note(
    road: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector of COCO's classes in torch's cache, by its own name; then a backbone alone, of another kind."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    detector_weights._had.cache_clear()
    path = weights.cached(PUBLISHED["mobilenet_v3"][0].url)
    path.parent.mkdir(parents=True)
    theirs = faster_rcnn_network.build("mobilenet_v3", "frozen", 90, 64)
    torch.save(theirs.state_dict(), path)
    part = road.part(0, 2)
    fit, _, _ = suite.fitted(make(weights="auto", epochs=1, rate=1e-9), part, part.images, tmp_path / "kept")
    assert "from Faster R-CNN trained on COCO" in fit.features
    car = faster_rcnn_network.COCO.index("car") + 1
    rows = fit.model["network.roi_heads.box_predictor.cls_score.weight"]
    wanted = theirs.state_dict()["roi_heads.box_predictor.cls_score.weight"][car]
    assert np.allclose(rows[1 + CLASSES.index("car")], wanted.numpy(), atol=1e-3)
    with pytest.raises(RuntimeError, match="holds another network"):
        suite.fitted(make(weights=str(path), backbone="resnet50", epochs=1), part, part.images, tmp_path / "kept")

    def unreachable(*_: Any, **__: Any) -> Path:
        raise weights.WeightsError("no") from OSError("no route")

    path.unlink()
    monkeypatch.setattr(weights, "fetch", unreachable)
    detector_weights._had.cache_clear()
    begin = detector_weights.beginning("auto", PUBLISHED["mobilenet_v3"])
    assert begin.path is None
    assert "could not be had (no route)" in begin.notes[0]
    detector_weights._had.cache_clear()
