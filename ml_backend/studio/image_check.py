"""Whether bytes are an image that can be decoded, of a bearable size; a bomb is refused before it goes off."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

from ml_backend.studio.media_errors import MediaError

FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "PPM",
    "JPEG2000",
    "AVIF",
    "ICO",
    "TGA",
)  # no EPS: it runs a program
PIXEL_LIMIT = 100_000_000


def check_image(data: bytes, name: str) -> None:
    """Raises MediaError unless the bytes decode. JPEGs are decoded at an eighth of their size, which still reads all
    of the file; others in full."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image, name)
            image.draft("L", (1, 1))
            image.load()
            _check_size(image, name)  # an icon may hold a larger picture than it announces
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        raise MediaError("image_unreadable", f"'{name}' is no image of a known format; replace it.") from error
    except Exception as error:  # decoders answer hostile bytes with nearly every type
        raise MediaError("image_unreadable", f"'{name}' cannot be decoded ({error}); replace it.") from error


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > PIXEL_LIMIT:
        raise MediaError("image_unreadable", f"'{name}' has {width} x {height} pixels, over {PIXEL_LIMIT}; shrink it.")
