"""Which annotation of a whole video counts where boxes are tracked or ranges marked, and what it says."""

from __future__ import annotations

from typing import Any

from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.labels import Json, Problem, Reading, image_url, submitted_annotations, who
from ml_backend.studio.regions.answers import counted, first_readable
from ml_backend.studio.regions.config import TracksConfig, VideoConfig
from ml_backend.studio.regions.frame_rate import frame_rate
from ml_backend.studio.regions.timeline import ranges_of
from ml_backend.studio.regions.tracks import tracks_of

ANY_SIZE = (1000, 1000)  # px; whether tracks can be read does not depend on the video's size


def read_video_task(task: Json, config: VideoConfig) -> Reading:
    """Ground truth, else the latest answer that can be read: answers of several people are not merged. Never raises.

    An answer without a region is one: nothing is there. `label` says how many regions of each class. Without its frame
    rate a video cannot be used, since no frame number would mean anything.
    """
    url, problem = image_url(task, config.data_key, "video")
    fps, unknown = _rate(task, config)
    if unknown is not None:
        url, problem = None, problem or unknown
    shown: dict[str, Any] = {"url": url, "fps": fps}
    annotations, submitted = submitted_annotations(task)
    if not submitted:
        if not annotations:
            return Reading("unlabeled", problem=problem, **shown)
        return Reading("skipped", problem=problem, **shown, **who(annotations[-1]))
    chosen, spoiled = first_readable(submitted, lambda each: _read(each, config))
    said = {**shown, **who(chosen or submitted[-1])}
    problem = problem or spoiled
    if chosen is None:
        return Reading("labeled", problem=problem, **said)
    regions = [region for region in chosen["result"] if region.get("from_name") == config.from_name]
    label = counted(region["value"][config.label_key][0] for region in regions)
    return Reading("labeled", label=label, problem=problem, regions=regions, **said)


def _read(annotation: Json, config: VideoConfig) -> object:
    """Raises RegionError."""
    if isinstance(config, TracksConfig):
        return tracks_of(annotation, config, *ANY_SIZE)
    return ranges_of(annotation, config)


def _rate(task: Json, config: VideoConfig) -> tuple[float | None, Problem | None]:
    data = task.get("data")
    try:
        return frame_rate(config, data if isinstance(data, dict) else {}), None
    except ConfigError as error:
        return None, (error.kind, f"Task {task.get('id')}: {error}")
