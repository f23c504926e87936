"""A picture and a video as data URIs, which a browser shows without a server of files."""

from __future__ import annotations

import base64
import io
import tempfile
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 320, 240


@lru_cache
def picture() -> str:
    """A PNG of WIDTH x HEIGHT px."""
    rows = np.linspace(40, 200, HEIGHT, dtype=np.uint8)
    pixels = np.repeat(np.repeat(rows[:, None, None], WIDTH, axis=1), 3, axis=2)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@lru_cache
def video(frames: int, fps: int) -> str:
    """A WebM (VP8) of WIDTH x HEIGHT px that grows brighter from frame to frame."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.webm"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), fps, (WIDTH, HEIGHT))
        if not writer.isOpened():
            raise RuntimeError("OpenCV cannot write VP8; install opencv-python-headless, whose FFmpeg can.")
        for frame in range(frames):
            writer.write(np.full((HEIGHT, WIDTH, 3), 40 + 160 * frame // frames, dtype=np.uint8))
        writer.release()
        return f"data:video/webm;base64,{base64.b64encode(path.read_bytes()).decode()}"
