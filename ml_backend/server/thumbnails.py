"""Thumbnails: small JPEG copies of the items' images, made when a page first asks and kept by content and size."""

from __future__ import annotations

import io
import os
import uuid
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

SIDES = (160, 320, 640, 1280)  # px of the longer side; a page chooses one, so that the cache stays small
QUALITY = 82
PIXELS = 80_000_000  # an image of more is not opened: it would take gigabytes


class ThumbnailError(Exception):
    """The image cannot be shown small; the message is one sentence."""


def thumbnail(source: Path, cache: Path, content: str, side: int) -> bytes:
    """JPEG of an image, turned as people see it, its longer side at most `side` px (one of SIDES).

    content: SHA-256 of the file, under which the copy is kept below `cache`. Raises ThumbnailError.
    """
    if side not in SIDES:
        raise ThumbnailError(f"A thumbnail of {side} px is not made; choose one of {', '.join(map(str, SIDES))}.")
    kept = cache / content[:2] / f"{content}-{side}.jpg"
    try:
        return kept.read_bytes()
    except FileNotFoundError:
        made = shrunk(source, side)
    kept.parent.mkdir(parents=True, exist_ok=True)
    staged = kept.with_name(f"{kept.name}.{uuid.uuid4().hex}.part")
    staged.write_bytes(made)
    os.replace(staged, kept)  # noqa: PTH105  # over another process' copy of the same
    return made


def shrunk(source: Path, side: int) -> bytes:
    """The image as JPEG of at most `side` px; a small one is not enlarged. Raises ThumbnailError."""
    try:
        with Image.open(source) as image:
            if image.width * image.height > PIXELS:
                raise ThumbnailError(f"The image has {image.width} x {image.height} px, more than a page shows.")
            image.draft("RGB", (2 * side, 2 * side))  # JPEG decodes at a fraction of its size
            small = ImageOps.exif_transpose(image)
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            _opaque(small).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    except FileNotFoundError:
        raise ThumbnailError("The image is not in the media cache; the next sync fetches it again.") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ThumbnailError(f"The image cannot be opened ({type(error).__name__}).") from None
    return buffer.getvalue()


def _opaque(image: Image.Image) -> Image.Image:
    """On white, since JPEG knows no transparency."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layers = image.convert("RGBA")
        ground = Image.new("RGBA", layers.size, "white")
        return Image.alpha_composite(ground, layers).convert("RGB")
    return image.convert("RGB")
