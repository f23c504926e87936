"""Tracks through one video: what an annotation holds frame by frame, and the few keyframes that a prediction writes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_backend.studio.regions.config import TracksConfig
from ml_backend.studio.regions.frame_rate import MOST_FRAMES, check_frame_rate, checked_frames
from ml_backend.studio.regions.geometry import (
    FloatArray,
    checked_boxes,
    checked_size,
    clipped,
    has_area,
    to_percent,
    to_pixels,
)
from ml_backend.studio.regions.keyframes import IntArray, expand, keyframes, runs
from ml_backend.studio.regions.labeled import checked_labels, checked_scores
from ml_backend.studio.regions.reading import Json, Region, RegionError, frame_number, percent, regions_of

NAME = re.compile(r"[\w-]{1,64}", re.ASCII)


@dataclass(frozen=True, eq=False)
class Track:
    """One object: `id` names it in the whole video. label: position in the config's classes.

    frame: (L,) ascending, 1 is the first. box: (L, 4) corners in pixels, on the image. score: confidence or None.
    """

    id: str
    label: int
    frame: IntArray
    box: FloatArray
    score: float | None = None


@dataclass(frozen=True)
class Tracks:
    """dropped: boxes of single frames left out, since nothing of them lies on the image or they have no area."""

    tracks: tuple[Track, ...]
    dropped: int = 0


def tracks_of(annotation: Json, config: TracksConfig, width: float, height: float) -> Tracks:
    """The tracks of an annotation in a video of this size in pixels, frame by frame (see `keyframes.expand`).

    Parts outside the image are cut off. Raises RegionError for rotated boxes, unknown labels and malformed sequences.
    """
    checked_size(width, height)
    tracks, dropped = [], 0
    for region in regions_of(annotation, config):
        frame, rows = _frames(region)
        box = clipped(to_pixels(rows, width, height), width, height)
        kept = has_area(box)
        dropped += int((~kept).sum())
        if kept.any():
            tracks.append(Track(region.id, region.label, frame[kept], box[kept]))
    return Tracks(tuple(tracks), dropped)


def _frames(region: Region) -> tuple[IntArray, FloatArray]:
    sequence = region.value.get("sequence")
    if not isinstance(sequence, list) or not sequence or not all(isinstance(entry, dict) for entry in sequence):
        raise RegionError(
            "malformed_region", f"{region.who} has no list of keyframes; delete the region and draw it again."
        )
    counted = region.value.get("framesCount")
    frames = 0 if counted is None else frame_number(region, counted, "framesCount", 0, MOST_FRAMES)
    numbers = [frame_number(region, entry.get("frame"), "frame", 1, MOST_FRAMES) for entry in sequence]
    if repeated := [number for number, count in Counter(numbers).items() if count > 1]:
        raise RegionError(
            "malformed_region", f"{region.who} has several keyframes at frame {repeated[0]}; leave it one."
        )
    enabled = [entry.get("enabled") for entry in sequence]
    if not all(isinstance(switch, bool) for switch in enabled):
        raise RegionError(
            "malformed_region", f"{region.who} has a keyframe whose `enabled` is neither true nor false; set it."
        )
    order = np.argsort(numbers)
    rows = np.array([percent(region, entry) for entry in sequence], dtype=np.float64)
    return expand(np.array(numbers, dtype=np.int64)[order], rows[order], np.array(enabled, dtype=bool)[order], frames)


def track_results(
    config: TracksConfig,
    tracks: Sequence[Track],
    *,
    fps: float,
    frames: int,
    width: float,
    height: float,
    tolerance_px: float = 1.0,
) -> list[Json]:
    """The `result` of a prediction: one region per track, with the fewest keyframes that keep it true.

    fps: of the video, as Label Studio counts it. frames: how many it has. tolerance_px: how far a side of an
    interpolated box may lie from the track's own; more means fewer keyframes for people to correct. Boxes are cut off
    at the image's edges; where nothing is left of one, the track has a gap.
    """
    checked_size(width, height)
    check_frame_rate(config, fps)
    frames = checked_frames(frames)
    if not 0 <= tolerance_px < np.inf:
        raise ValueError(f"The tolerance is {tolerance_px!r} px; give 0 or more.")
    if repeated := [name for name, count in Counter(track.id for track in tracks).items() if count > 1]:
        raise ValueError(f"Several tracks are called '{repeated[0]}'; give each an id of its own.")
    results = []
    for track in tracks:
        frame, box = _checked(track, config, frames)
        box = clipped(box, width, height)
        kept = has_area(box)
        if kept.any():
            sequence = _sequence(frame[kept], box[kept], tolerance_px, (width, height), fps)
            results.append(_region(config, track, sequence, frames, fps))
    return results


def _checked(track: Track, config: TracksConfig, frames: int) -> tuple[IntArray, FloatArray]:
    if not NAME.fullmatch(track.id):
        raise ValueError(f"A track is called '{track.id}'; use 1 to 64 letters, digits, '-' and '_'.")
    what = f"track '{track.id}'"
    checked_labels(what, [track.label], config, 1)
    checked_scores(what, None if track.score is None else [track.score], 1)
    box, frame = checked_boxes(what, track.box), np.asarray(track.frame)
    if frame.shape != (len(box),) or (len(box) and not np.issubdtype(frame.dtype, np.integer)):
        raise ValueError(
            f"The frames of {what} have shape {frame.shape}; give a whole number to each of {len(box)} boxes."
        )
    if len(box) and (frame[0] < 1 or frame[-1] > frames or (np.diff(frame) < 1).any()):
        raise ValueError(f"The frames of {what} are not ascending between 1 and {frames}; the first frame is 1.")
    return frame.astype(np.int64), box


def _sequence(
    frame: IntArray, box: FloatArray, tolerance: float, size: tuple[float, float], fps: float
) -> list[dict[str, Any]]:
    """Keyframes of every stretch; the last of a stretch is not enabled, so that the box ends there."""
    sequence = []
    for run in runs(frame):
        rows = run.start + keyframes(box[run], tolerance)
        for row, place in zip(rows.tolist(), to_percent(box[rows], *size).tolist(), strict=True):
            number = int(frame[row])
            sequence.append(
                {
                    "frame": number,
                    "enabled": row != run.stop - 1,
                    "rotation": 0,
                    **dict(zip(("x", "y", "width", "height"), place, strict=True)),
                    "time": number / fps,  # the editor writes it so, although frame 1 is shown at 0 s
                }
            )
    return sequence


def _region(config: TracksConfig, track: Track, sequence: list[dict[str, Any]], frames: int, fps: float) -> Json:
    result: Json = {
        "id": track.id,
        "from_name": config.from_name,
        "to_name": config.to_name,
        "type": config.region_type,
        "value": {
            "framesCount": frames,
            "duration": frames / fps,
            "sequence": sequence,
            config.label_key: [config.classes[track.label]],
        },
    }
    if track.score is not None:
        result["score"] = float(track.score)
    return result
