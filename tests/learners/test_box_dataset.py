"""The data set on disk: what people see and drew, and no more written than what changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ml_backend.learners.box_dataset import Dataset, write
from ml_backend.learners.boxes import checked_boxes, inside
from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from ml_backend.learners.shown import header, picture, sizes
from tests.learners.conftest import images_of

CLASSES = ("car", 'a "person": x')


def half_red(path: Path, *, turned: int = 1, mode: str = "RGB") -> Path:
    """40 x 20 px, the left half red; turned: EXIF's orientation."""
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, :20, 0] = 250
    image = Image.fromarray(pixels).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = turned
    image.save(path, exif=exif, quality=95)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """Plain, turned, grey, and with transparency."""
    paths = [
        half_red(tmp_path / "plain.jpg"),
        half_red(tmp_path / "turned.jpg", turned=6),
        half_red(tmp_path / "grey.png", mode="L"),
        half_red(tmp_path / "clear.png", mode="RGBA"),
    ]
    return images_of(paths)


def boxes() -> LabeledBoxes:
    box = [[0, 0, 20, 20], [0, 0, 20, 20], [10, 5, 30, 15]]
    return LabeledBoxes(np.array([0, 1, 1]), np.array(box, dtype=float), np.array([0, 1, 0]))


def written(folder: Path, images: Images, drawn: LabeledBoxes | None = None, held: tuple[int, ...] = (2,)) -> Dataset:
    drawn, shapes = drawn or boxes(), sizes(images)
    return write(folder, images, inside(drawn, shapes), shapes, CLASSES, np.array(held, dtype=np.int64))


def test_files_are_as_people_see_them(images: Images, tmp_path: Path) -> None:
    dataset = written(tmp_path / "set", images)
    plain, turned, grey, clear = (next((tmp_path / "set/images").glob(f"{content}.*")) for content in images.contents)
    assert plain.readlink() == images.paths[0]
    assert grey.readlink() == images.paths[2]
    assert not turned.is_symlink()
    assert not clear.is_symlink()
    with Image.open(turned) as seen:
        assert seen.size == (20, 40)
        assert seen.getexif().get(0x0112, 1) == 1
        pixels = np.asarray(seen)
    assert pixels[5, 10, 0] > 200  # the left half is above after a turn to the right
    assert pixels[35, 10, 0] < 50
    assert Image.open(clear).mode == "RGB"
    assert dataset.learned.read_text().count("\n") == 3
    assert dataset.held.read_text() == f"{grey}\n"


def test_labels_are_shares_of_the_shown_size(images: Images, tmp_path: Path) -> None:
    dataset = written(tmp_path / "set", images)
    first, second, third, _ = ((tmp_path / f"set/labels/{content}.txt").read_text() for content in images.contents)
    assert first == "0 0.2500000 0.5000000 0.5000000 1.0000000\n"
    rows = [line.split() for line in second.splitlines()]
    assert [row[0] for row in rows] == ["0", "1"]
    assert [float(value) for value in rows[1][1:]] == [0.5, 0.25, 1.0, 0.5]  # 20 of 20 wide, 20 of 40 high
    assert [float(value) for value in rows[0][1:]] == pytest.approx([0.75, 0.25, 0.5, 0.25])  # cut at 20 px
    assert third == ""
    description = yaml.safe_load(dataset.description.read_text())
    assert description["names"] == dict(enumerate(CLASSES))
    assert Path(description["path"]) == tmp_path / "set"


def test_only_changes_are_written(images: Images, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert written(folder, images).written == 8
    (folder / "labels.cache").write_text("of ultralytics")
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = written(folder, images)
    assert (again.written, again.removed) == (0, 0)
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before
    moved = LabeledBoxes(boxes().item, boxes().box[[0, 2, 1]], boxes().label)
    assert written(folder, images, moved).written == 1
    assert not (folder / "labels.cache").exists()


def test_what_is_gone_is_removed(images: Images, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    written(folder, images)
    less = images.take(np.array([0, 2]))
    after = written(folder, less, LabeledBoxes(np.array([0]), np.array([[0.0, 0, 9, 9]]), np.array([0])), held=(1,))
    assert (after.written, after.removed) == (1, 4)
    assert len(list((folder / "images").iterdir())) == len(list((folder / "labels").iterdir())) == 2


def test_a_link_follows_a_file_that_moved(images: Images, tmp_path: Path) -> None:
    written(tmp_path / "set", images)
    elsewhere = images.paths[0].rename(tmp_path / "elsewhere.jpg")
    moved = Images(images.contents, [elsewhere, *images.paths[1:]])
    assert written(tmp_path / "set", moved).written == 1
    assert next((tmp_path / "set/images").glob(f"{images.contents[0]}.*")).read_bytes()


def test_a_jpeg_that_ends_too_early_is_no_link(tmp_path: Path) -> None:
    """Ultralytics would put a repaired copy in its place, in every cycle anew."""
    path = half_red(tmp_path / "odd.jpg")
    path.write_bytes(path.read_bytes() + b"more")
    images, before = images_of([path]), path.read_bytes()
    drawn = LabeledBoxes(np.array([0]), np.array([[0.0, 0, 9, 9]]), np.array([0]))
    written(tmp_path / "set", images, drawn, held=())
    kept = next((tmp_path / "set/images").iterdir())
    assert not kept.is_symlink()
    assert kept.read_bytes().endswith(b"\xff\xd9")
    assert path.read_bytes() == before


def test_without_links_files_are_copied(images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refused)
    assert written(tmp_path / "set", images).written == 8
    copy = next((tmp_path / "set/images").glob(f"{images.contents[0]}.*"))
    assert not copy.is_symlink()
    assert copy.read_bytes() == images.paths[0].read_bytes()
    assert written(tmp_path / "set", images).written == 0


def test_one_image_labeled_twice_and_images_in_memory(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(255, size=(2, 12, 16, 3), dtype=np.uint8)
    images = Images.in_memory(pixels[[0, 1, 0]])
    written(tmp_path / "set", images, LabeledBoxes(np.array([2]), np.array([[0.0, 0, 8, 6]]), np.array([1])))
    name = images.contents[0]
    assert np.array_equal(np.asarray(Image.open(tmp_path / f"set/images/{name}.png")), pixels[0])
    assert (tmp_path / f"set/labels/{name}.txt").read_text() == ""
    assert (tmp_path / f"set/labels/{name}-2.txt").read_text().startswith("1 0.25")


def test_headers_say_the_shown_size(images: Images) -> None:
    assert sizes(images) == [(20, 40), (40, 20), (20, 40), (20, 40)]
    assert [header(path).suffix for path in images.paths] == [".jpg", None, ".png", None]
    for item, shape in enumerate(sizes(images)):
        assert picture(images, item).shape == (*shape, 3)


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (LabeledBoxes(np.array([4]), np.zeros((1, 4)), np.array([0])), "Item 4 is not one of the 4 labeled images"),
        (LabeledBoxes(np.array([0]), np.zeros((1, 4)), np.array([2])), "Label 2 is not one of the 2 classes"),
        (LabeledBoxes(np.array([0]), np.zeros((1, 3)), np.array([0])), r"corners \(1, 3\)"),
        (LabeledBoxes(np.array([0]), np.full((1, 4), np.nan), np.array([0])), "Box 0 is not finite"),
        (LabeledBoxes(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0, int)), "None of the 4 labeled images has a box"),
    ],
)
def test_boxes_are_checked_at_the_door(images: Images, drawn: LabeledBoxes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_boxes(drawn, images, CLASSES)
