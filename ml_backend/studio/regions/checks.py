"""Predictions of regions, looked at before they are sent: Label Studio drops wrong rows without a word, or stores them.

Its check refuses the whole row (and says only how many it created); its fast path for large projects checks nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from ml_backend.studio.regions.config import BoxesConfig, RegionsConfig, TracksConfig
from ml_backend.studio.regions.frame_rate import MOST_FRAMES
from ml_backend.studio.regions.reading import Json

ROUNDING = 1e-6  # percent; x + width of a box at the right edge may come out a hair above 100


def check_regions_prediction(config: RegionsConfig, row: Json) -> None:
    """Raises ValueError, one sentence, if a row of a bulk import is wrong.

    row: task (int), score (the queue's order, in [0, 1)), model_version, result (regions as `box_results`,
    `track_results` or `timeline_results` make them; none where the model sees nothing).
    """
    who = _check_row(row)
    result = row["result"]
    for region in result:
        asked = _asked(config, region)
        _check_frame_of_region(asked, region, who)
        name = f"The region '{region['id']}' of {who}"
        value = region["value"]
        _check_label(asked, value, name)
        if isinstance(asked, BoxesConfig):
            _check_size(region, name)
            _check_place(value, name)
        elif isinstance(asked, TracksConfig):
            _check_track(value, name)
        else:
            _check_ranges(value, name)
    if repeated := [name for name, count in Counter(region["id"] for region in result).items() if count > 1]:
        raise ValueError(f"Several regions of {who} have the id '{repeated[0]}'; give each its own.")


def _asked(config: RegionsConfig, region: object) -> RegionsConfig:
    """What a region answers, where a config has tracks and a timeline."""
    return (
        config.asks(region.get("from_name"))
        if isinstance(config, TracksConfig) and isinstance(region, dict)
        else config
    )


def _check_row(row: Json) -> str:
    task = row.get("task")
    if not _whole(task, 0, 2**63 - 1):
        raise ValueError(f"A prediction's task is {task!r}; give the task's integer id.")
    score = row.get("score")
    if not _within(score, 0, 1) or score == 1:
        raise ValueError(f"The prediction of task {task} has score {score!r}; it must lie in [0, 1).")
    version = row.get("model_version")
    if not isinstance(version, str) or not version.strip():
        raise ValueError(f"The prediction of task {task} has model_version {version!r}; give it a name.")
    result = row.get("result")
    if not isinstance(result, list):
        raise ValueError(f"The prediction of task {task} has result {result!r}; give a list of regions.")
    return f"task {task}"


def _check_frame_of_region(config: RegionsConfig, region: object, who: str) -> None:
    """All that every kind of region has around its value."""
    if not isinstance(region, dict):
        raise ValueError(f"The prediction of {who} has the region {region!r}; give an object.")
    name = region.get("id")
    if not isinstance(name, str) or not name or "#" in name:  # the editor hangs '#' and more behind an id
        raise ValueError(f"A region of {who} has id {name!r}; give it a text without '#'.")
    expected = {"from_name": config.from_name, "to_name": config.to_name, "type": config.region_type}
    for key, right in expected.items():
        if region.get(key) != right:
            raise ValueError(f"The region '{name}' of {who} has {key} {region.get(key)!r}; the config says '{right}'.")
    if "score" in region and not _within(region["score"], 0, 1):
        raise ValueError(f"The region '{name}' of {who} has score {region['score']!r}; it must lie in [0, 1].")
    if not isinstance(region.get("value"), dict):
        raise ValueError(f"The region '{name}' of {who} has value {region.get('value')!r}; give an object.")


def _check_label(config: RegionsConfig, value: Json, name: str) -> None:
    labels = value.get(config.label_key)
    if not isinstance(labels, list) or len(labels) != 1 or labels[0] not in config.classes:
        shown = ", ".join(f"'{label}'" for label in config.classes[:10])
        raise ValueError(f"{name} has {config.label_key} {labels!r}; give a list of one of {shown}.")


def _check_size(region: Json, name: str) -> None:
    for key in ("original_width", "original_height"):
        if not _whole(region.get(key), 1, 2**31):
            raise ValueError(f"{name} has {key} {region.get(key)!r}; give the image's size in pixels.")
    if region.get("image_rotation", 0) != 0:
        raise ValueError(f"{name} has image_rotation {region['image_rotation']!r}; it must be 0.")


def _check_place(value: Json, name: str) -> None:
    """A box in percent of the image, upright, with an area, on the image."""
    for side, length in (("x", "width"), ("y", "height")):
        if not _within(value.get(side), 0, 100):
            raise ValueError(f"{name} has {side} {value.get(side)!r}; it must lie in [0, 100] percent.")
        if not _within(value.get(length), 0, 100 + ROUNDING) or value[length] <= 0:
            raise ValueError(f"{name} has {length} {value.get(length)!r}; it must lie in (0, 100] percent.")
        if value[side] + value[length] > 100 + ROUNDING:
            end = value[side] + value[length]
            raise ValueError(f"{name} ends at {side} {end!r} percent, outside the image; cut it off at 100.")
    rotation = value.get("rotation", 0)
    if not _within(rotation, 0, 0):
        raise ValueError(f"{name} has rotation {rotation!r}; it must be 0.")


def _check_track(value: Json, name: str) -> None:
    frames, duration, sequence = value.get("framesCount"), value.get("duration"), value.get("sequence")
    if not _whole(frames, 1, MOST_FRAMES):
        raise ValueError(f"{name} has framesCount {frames!r}; give a whole number from 1 to {MOST_FRAMES}.")
    if not _within(duration, 0, 1e9) or duration == 0:
        raise ValueError(f"{name} has duration {duration!r}; give the video's seconds.")
    if not isinstance(sequence, list) or not sequence:
        raise ValueError(f"{name} has sequence {sequence!r}; give a list of keyframes.")
    before = 0
    for entry in sequence:
        if not isinstance(entry, dict):
            raise ValueError(f"{name} has the keyframe {entry!r}; give an object.")
        if not _whole(entry.get("frame"), before + 1, value["framesCount"]):
            raise ValueError(
                f"{name} has a keyframe at {entry.get('frame')!r} after {before} of {frames} frames; "
                "frames are whole, ascending and begin with 1."
            )
        before = entry["frame"]
        _check_keyframe(entry, f"{name} at frame {before}", value)


def _check_keyframe(entry: Json, name: str, value: Json) -> None:
    _check_place(entry, name)
    if not isinstance(entry.get("enabled"), bool):
        raise ValueError(f"{name} has enabled {entry.get('enabled')!r}; give true or false.")
    expected = entry["frame"] * value["duration"] / value["framesCount"]
    step = value["duration"] / value["framesCount"]
    if not _within(entry.get("time"), expected - step, expected + step):
        raise ValueError(f"{name} has time {entry.get('time')!r}; the frame stands at {expected:.3f} s.")


def _check_ranges(value: Json, name: str) -> None:
    ranges = value.get("ranges")
    if not isinstance(ranges, list) or len(ranges) != 1 or not isinstance(ranges[0], dict):
        raise ValueError(f"{name} has ranges {ranges!r}; give a list of one range, and a region to each range.")
    start: Any = ranges[0].get("start")
    end: Any = ranges[0].get("end")
    if not _whole(start, 1, MOST_FRAMES) or not _whole(end, start, MOST_FRAMES):
        raise ValueError(f"{name} goes from {start!r} to {end!r}; give whole frames from 1, the start first.")


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _within(value: Any, low: float, high: float) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and low <= value <= high
