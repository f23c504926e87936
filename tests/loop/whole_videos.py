"""Small videos of bright spots that move, and people's tracks of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ml_backend.studio.regions.config import TimelineConfig, TracksConfig
from tests.video.mp4 import jpeg, write_mp4

SIZE = (96, 48)  # width, height in px
FPS = 25
CLASSES = ("Dim", "Bright")
TIMELINE = TimelineConfig("where", "video", "video", ("Rain", "Doubtful"), "$fps")
QUESTION = TracksConfig("box", "video", "video", CLASSES, "$fps")
WITH_TIMELINE = TracksConfig("box", "video", "video", CLASSES, "$fps", TIMELINE)
XML = (
    '<View><Labels name="label" toName="video"><Label value="Dim"/><Label value="Bright"/></Labels>'
    '<TimelineLabels name="where" toName="video"><Label value="Rain"/><Label value="Doubtful"/></TimelineLabels>'
    '<Video name="video" value="$video" frameRate="$fps"/><VideoRectangle name="box" toName="video"/></View>'
)

Spot = Callable[[int], tuple[int, int, int] | None]  # frame from 1 -> x and y of a spot's corner, and its grey level


def moving(x: int, y: int, grey: int, step: float = 0.4, frames: range = range(1, 10_000)) -> Spot:
    """A spot that is seen in some frames and moves to the right."""
    return lambda frame: (round(x + step * (frame - 1)), y, grey) if frame in frames else None


def flickering(x: int, y: int, grey: int, seen: Sequence[int]) -> Spot:
    return lambda frame: (x, y, grey) if frame in seen else None


def write_video(path: Path, frames: int, *spots: Spot, milliseconds: int = 1000 // FPS) -> Path:
    """A MP4 of spots, 12 px wide and 10 px high."""
    pictures = []
    for frame in range(1, frames + 1):
        canvas = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        for spot in spots:
            if (place := spot(frame)) is not None:
                x, y, grey = place
                canvas[y : y + 10, x : x + 12] = grey
        pictures.append(jpeg(canvas))
    write_mp4(path, pictures, [milliseconds] * frames, SIZE)
    return path


def track(
    name: str, keyframes: Sequence[tuple[int, float, bool]], *, y: float = 10, label: str = "Bright", frames: int = 50
) -> dict[str, Any]:
    """A region as the editor writes it. keyframes: frame, x in px, enabled."""
    sequence = [
        {
            "frame": frame,
            "enabled": enabled,
            "time": frame / FPS,
            "rotation": 0,
            "x": x / SIZE[0] * 100,
            "y": y / SIZE[1] * 100,
            "width": 12 / SIZE[0] * 100,
            "height": 10 / SIZE[1] * 100,
        }
        for frame, x, enabled in keyframes
    ]
    value = {"framesCount": frames, "duration": frames / FPS, "labels": [label], "sequence": sequence}
    return {"id": name, "from_name": "box", "to_name": "video", "type": "videorectangle", "value": value}
