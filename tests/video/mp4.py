"""A small writer of MP4 files of JPEG frames: any time for each frame, any rotation, the index before or after them.

Boxes as in ISO/IEC 14496-12 (ISO base media file format); OpenCV writes neither rotation nor a variable frame rate.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SCALE = 1000  # ticks a second
ONE = 1 << 16  # 1.0 in the 16.16 numbers of a matrix
MATRICES = {  # degrees clockwise -> a b u c d v x y w, without the shift, which players ignore
    0: (ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30),
    90: (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30),
    180: (-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30),
    270: (0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30),
}


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def box(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def full(kind: str, *parts: bytes, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", flags), *parts)


def write_mp4(
    path: Path,
    frames: Sequence[bytes],
    durations: Sequence[int],
    size: tuple[int, int],
    *,
    rotation: int = 0,
    index_first: bool = True,
) -> None:
    """frames: JPEG files. durations: milliseconds that each is shown. size: (width, height) as stored, unrotated."""
    head = box("ftyp", b"qt  ", struct.pack(">I", 0), b"qt  ")
    media = box("mdat", *frames)
    index = _moov(frames, durations, size, rotation, 0)
    start = len(head) + 8 + (len(index) if index_first else 0)
    index = _moov(frames, durations, size, rotation, start)
    path.write_bytes(head + (index + media if index_first else media + index))


def _moov(frames: Sequence[bytes], durations: Sequence[int], size: tuple[int, int], rotation: int, start: int) -> bytes:
    total, (width, height) = sum(durations), size
    entry = struct.pack(">6xH16xHHIIIH32sHh", 1, width, height, 72 << 16, 72 << 16, 0, 1, b"", 24, -1)
    offsets = list(accumulate((len(frame) for frame in frames), initial=start))[:-1]
    table = box(
        "stbl",
        full("stsd", struct.pack(">I", 1), box("jpeg", entry)),
        full("stts", struct.pack(">I", len(durations)), *(struct.pack(">II", 1, each) for each in durations)),
        full("stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        full("stsz", struct.pack(">II", 0, len(frames)), *(struct.pack(">I", len(frame)) for frame in frames)),
        full("stco", struct.pack(">I", len(frames)), *(struct.pack(">I", offset) for offset in offsets)),
    )
    about = box("dinf", full("dref", struct.pack(">I", 1), full("url ", flags=1)))
    return box(
        "moov",
        full("mvhd", struct.pack(">IIIIIH10x9i24xI", 0, 0, SCALE, total, ONE, 1 << 8, *MATRICES[0], 2)),
        box(
            "trak",
            full(
                "tkhd",
                struct.pack(
                    ">IIIII8xhhhH9iII", 0, 0, 1, 0, total, 0, 0, 0, 0, *MATRICES[rotation], width << 16, height << 16
                ),
                flags=7,
            ),
            box(
                "mdia",
                full("mdhd", struct.pack(">IIIIHH", 0, 0, SCALE, total, 0x55C4, 0)),
                full("hdlr", b"\0\0\0\0vide" + bytes(13)),
                box("minf", full("vmhd", bytes(8), flags=1), about, table),
            ),
        ),
    )
