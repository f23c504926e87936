"""Files of every kind -> arrays, as a browser would show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ml_backend.learners.contract import Images
from ml_backend.learners.pixels import Mode, Survey, UnreadableImageError, converted, read, read_all, survey
from tests.learners.conftest import images_of


def test_grey_and_colour_are_told_apart(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, size=(9, 12), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "grey_as_rgb.png")
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "grey_as_rgb.jpg")
    paths = sorted(tmp_path.iterdir())
    assert survey(images_of(paths)) == Survey(9, 12, False)
    Image.new("RGB", (30, 5), "red").save(tmp_path / "red.png")
    assert survey(images_of([*paths, tmp_path / "red.png"])) == Survey(9, 30, True)


def test_transparent_is_white_and_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read(tmp_path / "clear.png", (4, 4), "RGB") == 255).all()
    Image.fromarray(np.full((4, 4), 0x8080, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert (read(tmp_path / "deep.png", (4, 4), "L") == 0x80).all()


def test_exif_turns_the_image_upright(tmp_path: Path) -> None:
    image = Image.new("L", (6, 4))
    image.paste(255, (0, 0, 3, 4))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: the left side is shown on top
    image.save(tmp_path / "turned.png", exif=exif)
    upright = read(tmp_path / "turned.png", (6, 4), "L")[:, :, 0]
    assert (upright[:3] == 255).all()
    assert (upright[3:] == 0).all()


def test_resizing_keeps_the_mean(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(64, 96), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    small = read_all(images_of([tmp_path / "large.png"] * 130), (16, 16), "L")
    assert small.shape == (130, 16, 16, 1)
    assert abs(float(small[0].mean()) - float(pixels.mean())) < 1
    assert (small == small[0]).all()


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    images = images_of([path])
    for work in (lambda: read(path, (8, 8), "L"), lambda: survey(images), lambda: read_all(images, (8, 8), "RGB")):
        with pytest.raises(UnreadableImageError, match=r"broken\.png cannot be read as an image") as caught:
            work()
        assert caught.value.path == path


def test_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    Image.effect_noise((200, 200), 90).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(UnreadableImageError, match=r"cut\.jpg"):
        read(path, (8, 8), "L")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(20, 30), (9, 9), (40, 31), (25, 20)])
def test_memory_and_files_give_the_same_arrays(
    tmp_path: Path, channels: int, mode: Mode, size: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(70, 20, 30, channels), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture[:, :, 0] if channels == 1 else picture).save(tmp_path / f"{i:02}.png")
    files = images_of(sorted(tmp_path.iterdir()))
    assert np.array_equal(read_all(files, size, mode), read_all(Images.in_memory(pixels), size, mode))
    assert survey(files) == survey(Images.in_memory(pixels)) == Survey(20, 30, channels == 3)


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=50))
def test_colours_become_the_greys_of_pillow(colours: list[tuple[int, int, int]]) -> None:
    pixels = np.array(colours, dtype=np.uint8).reshape(1, 1, -1, 3)
    assert np.array_equal(converted(pixels, "L")[0, :, :, 0], np.asarray(Image.fromarray(pixels[0]).convert("L")))


def test_memory_of_the_same_size_is_not_copied_and_greys_in_three_channels_have_no_colour() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(5, 8, 8, 1), dtype=np.uint8)
    images = Images.in_memory(pixels)
    assert np.shares_memory(read_all(images, (8, 8), "L"), pixels)
    assert survey(Images.in_memory(np.repeat(pixels, 3, axis=3))) == Survey(8, 8, False)


def test_images_join_and_part() -> None:
    pixels = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2, 1)
    images, none = Images.in_memory(pixels), Images([], [])
    assert (none + images) is images
    assert (images + none) is images
    assert len(none + none) == 0
    both = images.take(np.array([4, 1])) + images.take(np.array([0]))
    assert both.pixels is not None
    assert np.array_equal(both.pixels, pixels[[4, 1, 0]])
    assert both.contents == [images.contents[i] for i in (4, 1, 0)]
    assert [len(block) for block in images.blocks(4)] == [4, 2]
    assert [path for block in images_of([Path(__file__)] * 3).blocks(2) for path in block.paths] == [Path(__file__)] * 3


def test_wrong_images_are_refused_in_one_sentence() -> None:
    pixels = np.zeros((2, 4, 4, 1), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"shape \(2, 4, 4\) and type uint8"):
        Images.in_memory(pixels[..., 0])
    with pytest.raises(ValueError, match="type float64"):
        Images.in_memory(pixels.astype(np.float64))
    with pytest.raises(ValueError, match="2 images in memory came with 1 contents"):
        Images(["a"], [], pixels)
    with pytest.raises(ValueError, match="1 contents came with 0 paths"):
        Images(["a"], [])
    with pytest.raises(ValueError, match="cannot be joined; bring them to one size"):
        Images.in_memory(pixels) + Images.in_memory(np.zeros((1, 5, 5, 1), dtype=np.uint8))
    with pytest.raises(ValueError, match="cannot be joined; read the files first"):
        Images.in_memory(pixels) + Images(["a"], [Path("a.png")])
