"""YOLO keeps the promises of a detector, and ultralytics keeps quiet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ml_backend.learners import detector_weights, ultralytics_quiet, weights, yolo_network
from ml_backend.learners.average_precision import precision
from ml_backend.learners.contract import Images
from ml_backend.learners.detector import DetectorFit
from ml_backend.learners.yolo import YOLO, YOLOConfig
from ml_backend.learners.yolo_network import Fitting
from plugins.contract import PluginError
from tests.learners import detectors_suite as suite
from tests.learners.boxes_fixture import CLASSES, Scenes, scenes


def make(**settings: Any) -> YOLO:
    quick = {"weights": "scratch", "image_side": 64, "batch": 4, "mosaic": False}
    return YOLO(YOLOConfig(**{**quick, **settings}))


@pytest.fixture(scope="module", autouse=True)
def _one_torch_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    return scenes(tmp_path_factory.mktemp("road"), 28)


@pytest.fixture(scope="module")
def learned(road: Scenes, tmp_path_factory: pytest.TempPathFactory) -> tuple[DetectorFit, list[dict[str, float]], Any]:
    """A real training on 24 frames."""
    detector = make(image_side=160, epochs=10, batch=4)
    return suite.fitted(detector, road.part(0, 24), road.part(24, 28).images, tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def small(road: Scenes, tmp_path_factory: pytest.TempPathFactory) -> DetectorFit:
    return suite.fitted(make(epochs=1), road.part(4, 8), Images([], []), tmp_path_factory.mktemp("small"))[0]


def test_it_learns_and_finds(learned: Any, road: Scenes) -> None:
    fit, heard, steps = learned
    assert len(heard) == 10
    assert set(heard[0]) == {"box_loss", "class_loss", "edge_loss", "loss"}
    assert heard[-1]["loss"] < 0.8 * heard[0]["loss"]
    suite.check_found(fit.pool, road.part(24, 28).images, len(CLASSES))
    suite.check_found(fit.labeled, road.part(0, 24).images, len(CLASSES))
    suite.check_progress(steps, 28)
    on_all = precision(fit.labeled, road.part(0, 24).boxes, 24, CLASSES)
    assert on_all is not None
    assert on_all.per_class["car"] > 0.03
    assert fit.precision is not None
    assert fit.precision.images == fit.metrics["held_out"] > 0
    assert fit.precision.low <= fit.precision.map50 <= fit.precision.high


def test_detect_gives_the_fits_boxes(learned: Any, road: Scenes) -> None:
    fit = learned[0]
    assert suite.same(make().detect(fit.model, road.part(24, 28).images), fit.pool)
    assert len(make().detect(fit.model, Images([], []))) == 0
    fewer = make(low_score=0.05, max_boxes=3).detect(fit.model, road.part(0, 24).images)
    assert (fewer.score > 0.05).all()
    assert np.bincount(fewer.item).max(initial=0) <= 3


def test_odd_images(road: Scenes, tmp_path: Path) -> None:
    suite.check_odd_images(make, tmp_path / "odd", road)


def test_starts(road: Scenes, small: DetectorFit, tmp_path: Path) -> None:
    suite.check_starts(make, tmp_path, road, small)


def test_it_begins_anew_where_it_would_flatter(road: Scenes, small: DetectorFit, tmp_path: Path) -> None:
    suite.check_begins_anew(make, tmp_path, road, small)


def test_refusals(road: Scenes, tmp_path: Path) -> None:
    suite.check_refusals(make, tmp_path / "kept", road)


def test_the_order_of_labels_does_not_matter(road: Scenes, tmp_path: Path) -> None:
    suite.check_order_does_not_matter(make, tmp_path, road)


def test_it_trains_on_as_many_threads_as_it_was_given(road: Scenes, tmp_path: Path) -> None:
    part, seen = road.part(4, 8), set()
    torch.set_num_threads(3)
    try:
        make(epochs=1).fit(
            part.images,
            part.boxes,
            None,
            part.images,
            CLASSES,
            folder=tmp_path,
            seed=0,
            observer=lambda *_: seen.add(torch.get_num_threads()),
        )
    finally:
        torch.set_num_threads(1)
    assert seen == {3}


def test_losses_are_taken_in_single_precision() -> None:
    from ml_backend.learners.yolo_training import SinglePrecision

    def loss(said: dict[str, Any], batch: dict[str, Any]) -> Any:
        levels = [*said.pop("feats"), *said.values()]
        return {level.dtype for level in levels}, (levels[0] @ levels[0]).dtype, batch

    said = {"boxes": torch.ones(2, 2, dtype=torch.bfloat16), "feats": [torch.ones(2, 2, dtype=torch.bfloat16)]}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert SinglePrecision(loss)(said, {"images": 2}) == ({torch.float32}, torch.float32, {"images": 2})


def test_another_size_is_no_start(small: DetectorFit) -> None:
    assert make(size="s").unusable(small.model) == "it is a YOLO11n, and a YOLO11s is set"


def test_rows_of_a_class_follow_its_name() -> None:
    first, second = yolo_network.build("n", 3), yolo_network.build("n", 2)
    assert yolo_network.take_over(second, first.state_dict(), ["Tram", "car", "dog"], ("car", "cat")) == 1
    name = "model.23.cv3.0.2.weight"
    mine, theirs = second.state_dict()[name], first.state_dict()[name]
    assert torch.equal(mine[0], theirs[1])
    assert not torch.equal(mine[1], theirs[2])
    assert torch.equal(second.state_dict()["model.0.conv.weight"], first.state_dict()["model.0.conv.weight"])


def test_boxes_find_back_into_their_image() -> None:
    for shape, side in (((270, 480), 320), ((481, 33), 64), ((90, 160), 640), ((64, 64), 64)):
        fit = Fitting.into(shape, side)
        assert all(length % 32 == 0 for length in fit.outer)
        corners = np.array([[fit.left, fit.top, fit.left + fit.inner[1], fit.top + fit.inner[0]]], dtype=np.float32)
        assert np.allclose(fit.back(corners), [[0, 0, shape[1], shape[0]]], atol=1e-3)
        assert fit.put(np.zeros((*shape, 3), dtype=np.uint8)).shape == (*fit.outer, 3)


def test_published_weights_are_taken_or_missed_with_a_note(
    road: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file as ultralytics writes them, found in torch's cache; then nothing there and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    network = yolo_network.build("n", 2)
    network.names = {0: "car", 1: "boat"}  # type: ignore[assignment]  # as theirs have
    path = weights.cached("https://x/yolo11n.pt")
    path.parent.mkdir(parents=True)
    torch.save({"model": network, "ema": None, "train_args": {}}, path)
    detector_weights._had.cache_clear()
    part = road.part(0, 2)
    fit, _, _ = suite.fitted(make(weights="auto", epochs=1), part, part.images, tmp_path / "kept")
    assert "from yolo11n trained on COCO" in fit.features
    with pytest.raises(RuntimeError, match="another network"):
        suite.fitted(make(weights=str(path), size="s", epochs=1), part, part.images, tmp_path / "kept")

    def unreachable(*_: Any, **__: Any) -> Path:
        raise weights.WeightsError("no") from OSError("no route")

    path.unlink()
    monkeypatch.setattr(weights, "fetch", unreachable)
    detector_weights._had.cache_clear()
    fit, _, _ = suite.fitted(make(weights="auto", epochs=1), part, part.images, tmp_path / "kept")
    assert "from scratch" in fit.features
    assert any("could not be had (no route)" in note for note in fit.notes)
    detector_weights._had.cache_clear()


def test_without_ultralytics_it_says_what_to_do(
    small: DetectorFit, road: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ultralytics_quiet.ultralytics.cache_clear()
    monkeypatch.setattr(ultralytics_quiet, "installed", lambda: False)
    with pytest.raises(PluginError, match="choose the learner 'faster_rcnn'"):
        make().detect(small.model, road.part(0, 1).images)


QUIET = """
import socket, sys
from pathlib import Path
from importlib.metadata import entry_points

def refused(*given, **_):
    raise AssertionError(f"the network was asked for {given}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refused
import cv2, numpy, os, torch
torch.set_num_threads(1)
before = dict(os.environ), cv2.getNumThreads(), numpy.get_printoptions(), torch.save
from ml_backend.learners.yolo import YOLO, YOLOConfig
from tests.learners.boxes_fixture import CLASSES, scenes
folder = Path(sys.argv[1])
road = scenes(folder / "road", 3)
yolo = YOLO(YOLOConfig(weights="scratch", image_side=64, batch=2, epochs=1))
fit = yolo.fit(road.images, road.boxes, None, road.images, CLASSES, folder=folder / "kept", seed=0)
yolo.detect(fit.model, road.images)
after = dict(os.environ), cv2.getNumThreads(), numpy.get_printoptions(), torch.save
assert before == after, (before, after)
"""


def test_it_is_silent_offline_and_leaves_no_file(tmp_path: Path) -> None:
    """In a process of its own that may not connect, with an empty home, from an empty folder."""
    for name in ("home", "here", "work"):
        (tmp_path / name).mkdir()
    root = Path(__file__).resolve().parents[2]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO", "MPL", "XDG", "PYTEST"))}
    ended = subprocess.run(
        [sys.executable, "-c", QUIET, str(tmp_path / "work")],
        env={**kept, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(root), "TMPDIR": str(tmp_path / "here")},
        cwd=tmp_path / "here",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    assert "ltralytics" not in ended.stderr
    assert list((tmp_path / "home").rglob("*")) == []
    assert list((tmp_path / "here").rglob("*")) == []
    made = {path.relative_to(tmp_path / "work").parts[:2] for path in (tmp_path / "work").rglob("*") if path.is_file()}
    assert {parts[1] for parts in made if parts[0] == "kept"} == {"dataset", "training"}
