"""Files of every kind -> arrays, as a browser would show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml_backend.learners.pixels import Survey, UnreadableImageError, read, read_all, survey


def test_grey_and_colour_are_told_apart(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, size=(9, 12), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "grey_as_rgb.png")
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "grey_as_rgb.jpg")
    paths = sorted(tmp_path.iterdir())
    assert survey(paths) == Survey(9, 12, False)
    Image.new("RGB", (30, 5), "red").save(tmp_path / "red.png")
    assert survey([*paths, tmp_path / "red.png"]) == Survey(9, 30, True)


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
    small = read_all([tmp_path / "large.png"] * 130, (16, 16), "L")
    assert small.shape == (130, 16, 16, 1)
    assert abs(float(small[0].mean()) - float(pixels.mean())) < 1
    assert (small == small[0]).all()


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    for work in (lambda: read(path, (8, 8), "L"), lambda: survey([path]), lambda: read_all([path], (8, 8), "RGB")):
        with pytest.raises(UnreadableImageError, match=r"broken\.png cannot be read as an image") as caught:
            work()
        assert caught.value.path == path


def test_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    Image.effect_noise((200, 200), 90).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(UnreadableImageError, match=r"cut\.jpg"):
        read(path, (8, 8), "L")
