"""How Label Studio counts the frames of a video: by what <Video frameRate> says, and never by what the file says."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.regions.config import VideoConfig

MOST_FRAMES = 1_000_000  # of a video; eleven hours at 24 frames per second


def frame_rate(config: VideoConfig, data: Mapping[str, Any]) -> float:
    """Frames per second of a task's video in Label Studio's editor. Raises ConfigError.

    A rate below 1 is read as seconds per frame, as the editor does. The editor takes anything unreadable for 24, and
    every frame number would be off without a word; here it is an error.

    >>> from ml_backend.studio.regions.config import TracksConfig
    >>> frame_rate(TracksConfig("box", "video", "video", ("Car",), "$fps"), {"video": "a.mp4", "fps": 30})
    30.0
    >>> frame_rate(TracksConfig("box", "video", "video", ("Car",), "0.04"), {})
    25.0
    """
    written: Any = config.frame_rate
    if config.frame_rate.startswith("$"):
        written = data.get(config.frame_rate[1:])
    try:
        rate = math.nan if isinstance(written, bool) else float(written)
    except (TypeError, ValueError):
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise ConfigError(
            "no_frame_rate",
            f'<Video name="{config.to_name}"> has frameRate="{config.frame_rate}", which is {written!r} for this task; '
            "give the video's frames per second.",
        )
    return 1 / rate if rate < 1 else rate


def check_frame_rate(config: VideoConfig, fps: float) -> None:
    """Raises ConfigError if frames of a video of `fps` frames per second have other numbers in Label Studio.

    A rate that the task's data holds ("$fps") is not known here: whoever writes the task writes the true one.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"The video has {fps!r} frames per second; give a positive number.")
    if config.frame_rate.startswith("$"):
        return
    said = frame_rate(config, {})
    if abs(said - fps) > 1e-3 * fps:
        raise ConfigError(
            "other_frame_rate",
            f'The video has {fps:g} frames per second, but <Video name="{config.to_name}"> counts {said:g}; '
            f'set frameRate="{fps:g}", or "$fps" and give each task its own.',
        )


def checked_frames(frames: int) -> int:
    """How many frames a video has, from 1 to MOST_FRAMES. Raises ValueError."""
    try:
        counted = operator.index(frames)  # NumPy's integers are welcome too
    except TypeError:
        counted = 0
    if not 1 <= counted <= MOST_FRAMES:
        raise ValueError(f"The video has {frames!r} frames; give a whole number from 1 to {MOST_FRAMES}.")
    return counted
