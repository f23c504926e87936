"""Data sets of boxes: road scenes drawn on demand, and what people drew in Label Studio; whole videos on one side."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from ml_backend.loop.box_pool import Frames
from ml_backend.loop.house import House
from ml_backend.settings import Settings
from ml_backend.store.tables import Item, Project
from simulation.datasets import DatasetConfig, DatasetError, load
from simulation.datasets.box_drawing import draw_frames, split_boxes
from simulation.datasets.box_project import is_of_boxes, load_box_project
from simulation.datasets.boxes import BoxDataset
from simulation.datasets.loading import load_any
from simulation.datasets.scenes_config import Scenes
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import SUBSETS, drives

SMALL = {"default": 1, "town": 1, "night": 0, "wheelchair": 0, "test": 1, "test_wheelchair": 0}
TINY: dict[str, Any] = {**SMALL, "seconds": 1, "width": 160, "height": 90, "stride": 5}
CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image"><Label value="Car"/>
<Label value="Dog"/></RectangleLabels></View>"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEXTLABEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def scenes(**changes: Any) -> BoxDataset:
    found = load_any(DatasetConfig(name="road_scenes", scenes=Scenes(**{**TINY, **changes})))
    assert isinstance(found, BoxDataset)
    return found


def test_road_scenes_are_the_generators_own(cache: Path) -> None:
    found = scenes()
    assert len(found.images) == 3 * 5
    assert found.frames.frame.tolist() == [1, 6, 11, 16, 21] * 3
    assert found.test is not None
    assert found.test.tolist() == list(range(10, 15))
    assert found.frames.size.tolist() == [[160, 90]] * 15
    assert len(np.unique(found.frames.video)) == 3
    (drive,) = drives(SUBSETS["town"], videos=1, seconds=1, size=(160, 90), seed=0, oversampling=1)
    seen = Scene(drive).frame(10).objects  # the third kept frame of the second video
    rows = np.flatnonzero(found.boxes.item == 7)
    assert [tuple(box) for box in found.boxes.box[rows]] == [each.box for each in seen]
    assert [found.classes[label] for label in found.boxes.label[rows]] == [each.kind.value for each in seen]
    assert Image.open(found.images.paths[7]).size == (160, 90)
    assert "3 drives of 1 s at 160 x 90, 1 frame in 5" in found.note


def test_road_scenes_are_drawn_once_and_an_interrupted_video_again(cache: Path) -> None:
    first = scenes()
    when = {path: path.stat().st_mtime_ns for path in first.images.paths}
    first.images.paths[0].with_name("truth.npz").unlink()  # as a kill leaves it
    again = scenes()
    assert again.fingerprint() == first.fingerprint()
    changed = [path for path in again.images.paths if path.stat().st_mtime_ns != when[path]]
    assert changed == list(first.images.paths[:5])
    assert scenes(seed=1).fingerprint() != first.fingerprint()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "road_scenes", "imbalance": 0.1}, "`imbalance` is for classes of images"),
        ({"name": "digits", "scenes": {}}, "'digits' has no use for `scenes`"),
        ({"name": "road_scenes", "scenes": {"width": 161}}, "multiple of 2"),
        ({"name": "road_scenes", "scenes": dict.fromkeys(("test", "test_wheelchair"), 0)}, "no video to test on"),
    ],
)
def test_bad_scenes_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DatasetConfig.model_validate(given)


def test_boxes_are_no_classes() -> None:
    with pytest.raises(DatasetError, match="'road_scenes' has boxes, and classes of images are asked for"):
        load(DatasetConfig(name="road_scenes"))


def made_up(videos: list[int], test: list[int] | None = None) -> BoxDataset:
    """Videos of so many frames each, a box on every one; no pixels are there."""
    n = sum(videos)
    return BoxDataset(
        "made up",
        Images([str(i) for i in range(n)], [Path(str(i)) for i in range(n)]),
        Frames(
            np.full((n, 2), 10),
            np.repeat([f"v{k}" for k in range(len(videos))], videos),
            np.concatenate([np.arange(1, length + 1) for length in videos]),
        ),
        LabeledBoxes(np.arange(n), np.tile([0.0, 0.0, 5.0, 5.0], (n, 1)), np.arange(n) % 2),
        ("a", "b"),
        None if test is None else np.array(test),
        True,
    )


@settings(max_examples=100)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=8), st.integers(0, 50), st.floats(0.05, 0.9))
def test_no_video_stands_on_both_sides(videos: list[int], seed: int, share: float) -> None:
    dataset, config = made_up(videos), DatasetConfig(name="road_scenes", test_share=share)
    parts = split_boxes(dataset, config, seed)
    names = dataset.frames.video
    assert not set(names[parts.pool]) & set(names[parts.test])
    assert len(parts.pool) + len(parts.test) == sum(videos)
    assert len(parts.pool)
    assert len(parts.test)
    again = split_boxes(dataset, config, seed)
    assert np.array_equal(parts.test, again.test)


def test_an_official_test_part_is_thinned_evenly_and_the_pool_in_whole_videos() -> None:
    dataset = made_up([10, 10, 10, 20], list(range(30, 50)))
    parts = split_boxes(dataset, DatasetConfig(name="road_scenes", test=5, pool=15), 3)
    assert parts.test.tolist() == [30, 35, 40, 44, 49]
    counts = np.unique(dataset.frames.video[parts.pool], return_counts=True)[1]
    assert sorted(counts.tolist()) == [5, 10]
    other = split_boxes(dataset, DatasetConfig(name="road_scenes", test=5, pool=15), 4)
    assert np.array_equal(other.test, parts.test)
    assert len(draw_frames(parts.pool, 7, 0)) == 7
    with pytest.raises(DatasetError, match="has 20 frames for `test` = 21"):
        split_boxes(dataset, DatasetConfig(name="road_scenes", test=21), 0)
    with pytest.raises(DatasetError, match="frames of one video alone"):
        split_boxes(made_up([10]), DatasetConfig(name="road_scenes"), 0)


def test_what_is_no_data_set_is_refused() -> None:
    sound = made_up([3, 3])
    given = {name: getattr(sound, name) for name in ("name", "images", "frames", "boxes", "classes", "test")}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"classes": ("a",)}, "labels from 0 to 1 and 1 classes"),
        ({"classes": ("a", "a")}, "different names"),
        ({"boxes": LabeledBoxes(np.array([7]), np.zeros((1, 4)), np.array([0]))}, "boxes of images that it lacks"),
        ({"boxes": LabeledBoxes(np.array([], int), np.zeros((0, 4)), np.array([], int))}, "has no box"),
        ({"test": np.arange(6)}, "not none and not all"),
        ({"images": sound.images.take(np.arange(5))}, "describe each image"),
    ]
    for changes, said in wrong:
        with pytest.raises(DatasetError, match=said):
            BoxDataset(**{**given, **changes}, in_videos=True)


# from Label Studio


def region(label: str, x: float, **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": 10, "width": 20, "height": 50, "rotation": 0, "rectanglelabels": [label]}
    about = {"from_name": "box", "to_name": "image", "type": "rectanglelabels", "original_width": 50}
    return {**about, "original_height": 20, "image_rotation": 0, "value": value, **more}


def row(number: int, regions: list[dict[str, Any]] | None, **data: Any) -> dict[str, Any]:
    moment = f"2026-11-22T18:20:{number:02d}.578285Z"
    about = {"id": number + 100, "updated_at": moment, "created_at": moment, "was_cancelled": regions is None}
    annotation = {**about, "completed_by": 1, "result": regions or []}
    return {
        "id": number,
        "data": {"image": f"/data/local-files/?d=v/{number}.png", **data},
        "annotations": [annotation],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures, a config, and an export: two frames of a video, one alone, a skip, and three that are of no use."""
    rng = np.random.default_rng(0)
    (tmp_path / "v").mkdir()
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (20, 50, 3), dtype=np.uint8)).save(tmp_path / "v" / f"{number}.png")
    rows = [
        row(0, [region("Car", 10), region("Dog", 60)], video="drive", frame=1),
        row(1, [], video="drive", frame=5),
        row(2, [region("Dog", 95)]),
        row(3, None),
        row(4, [region("Cat", 10)]),
        row(5, [region("Car", 10, original_width=80)]),
        row(9, [region("Car", 10)]),
    ]
    (tmp_path / "export.json").write_text(json.dumps(rows))
    (tmp_path / "config.xml").write_text(CONFIG)
    return tmp_path


def exported(folder: Path, **changes: Any) -> DatasetConfig:
    given = {"name": "export", "path": folder / "export.json", "config": folder / "config.xml", **changes}
    return DatasetConfig.model_validate(given)


def test_an_export_of_boxes_is_read_as_the_product_reads_it(folder: Path) -> None:
    found = load_any(exported(folder))
    assert isinstance(found, BoxDataset)
    assert (found.classes, found.in_videos, found.test) == (("Car", "Dog"), True, None)
    assert found.boxes.item.tolist() == [0, 0, 2]
    assert found.boxes.label.tolist() == [0, 1, 1]
    np.testing.assert_allclose(found.boxes.box, np.array([[5, 2, 15, 12], [30, 2, 40, 12], [47.5, 2, 50, 12]]))
    assert found.frames.video.tolist()[:2] == ["drive", "drive"]
    assert found.frames.frame.tolist() == [1, 5, 1]
    assert found.note.startswith("3 of 7 tasks of export.json; left out: ")
    for why in ("1 image_missing", "1 other_image", "1 skipped"):
        assert why in found.note


def test_an_export_without_boxes_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(DatasetError, match="no folder"):
        load_any(exported(folder, images=folder / "nowhere"))
    (folder / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no image with boxes below .*image_missing"):
        load_any(exported(folder, images=folder / "empty"))
    (folder / "config.xml").write_text("<View>")
    with pytest.raises(DatasetError, match=r"config\.xml: "):
        load_any(exported(folder))
    (folder / "export.json").write_text(json.dumps([{"id": 1, "image": "a.png", "box": []}]))
    (folder / "config.xml").write_text(CONFIG)
    with pytest.raises(DatasetError, match="JSON-MIN, which lacks the size"):
        load_any(exported(folder))


def test_a_connected_projects_boxes_are_the_truth(tmp_path: Path) -> None:
    rooms = House(Settings(_env_file=None, model_dir=tmp_path / "model"))
    with rooms.ledger.session() as session:
        about = {"studio_url": "http://127.0.0.1:9", "studio_id": 7, "key": "7.1", "title": "Streets"}
        project = Project(**about, label_config=CONFIG, webhook_secret="s", state="connected")
        session.add(project)
        session.flush()
        media = rooms.media(rooms.studio(project))
        for number in range(4):
            file = tmp_path / f"{number}.png"
            Image.fromarray(np.full((20, 50, 3), 40 * number, dtype=np.uint8)).save(file)
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            media.path(content).parent.mkdir(exist_ok=True)
            file.rename(media.path(content))
            fields = {"task_id": number, "url": f"/{number}.png", "content": content, "video": "drive"}
            status = "unlabeled" if number == 3 else "labeled"
            regions = None if number == 3 else [region("Dog", 10.0 * number)]
            item = Item(project_id=project.id, **fields, frame=number + 1, status=status, regions=regions)
            session.add(item)
    config = DatasetConfig(name="label_studio", project=7)
    assert is_of_boxes(config, rooms)
    found = load_box_project(config, rooms)
    assert (found.name, found.classes, len(found.images)) == ("project-7", ("Car", "Dog"), 3)
    assert found.frames.frame.tolist() == [1, 2, 3]
    np.testing.assert_allclose(found.boxes.box[:, 0], [0, 5, 10])
    assert "1 unlabeled items left out" in found.note
    rooms.ledger.close()
