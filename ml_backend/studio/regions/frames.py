"""Which frame of which video a task of label_config/video_frames.xml shows."""

from __future__ import annotations

from dataclasses import dataclass

from ml_backend.studio.regions.frame_rate import MOST_FRAMES
from ml_backend.studio.regions.reading import Json, RegionError


@dataclass(frozen=True)
class VideoFrame:
    """video: its name or URL, the same in all its tasks. frame: 1 is the first."""

    video: str
    frame: int


def frame_of(task: Json) -> VideoFrame:
    """The frame that a task's data name under `video` and `frame`. Raises RegionError.

    >>> frame_of({"id": 7, "data": {"image": "/f/17.jpg", "video": "drive.mp4", "frame": 17}})
    VideoFrame(video='drive.mp4', frame=17)
    """
    held = task.get("data")
    data = held if isinstance(held, dict) else {}
    video, frame = data.get("video"), data.get("frame")
    if not isinstance(video, str) or not video.strip():
        raise RegionError(
            "no_video", f"Task {task.get('id')} holds {video!r} under 'video'; put the name of its video there."
        )
    if isinstance(frame, str) and frame.isascii() and frame.isdigit() and len(frame) <= 9:
        frame = int(frame)  # a CSV file's numbers arrive as text
    if isinstance(frame, bool) or not isinstance(frame, int) or not 1 <= frame <= MOST_FRAMES:
        raise RegionError(
            "no_frame",
            f"Task {task.get('id')} holds {frame!r} under 'frame'; put the number of its frame there, 1 for the first.",
        )
    return VideoFrame(video.strip(), frame)
