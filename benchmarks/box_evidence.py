"""Made-up detections of videos: objects on straight paths, seen with noise, beside boxes that are nothing."""

from __future__ import annotations

import numpy as np

from plugins.contract import IntArray
from plugins.evidence import Column

VIDEO, OBJECTS, CLUTTER = 300, 8, 2  # frames of a video; of an image, boxes of objects and boxes of nothing
WIDTH, HEIGHT = 1920, 1080  # px


def columns(n: int, labeled: int, classes: int, seed: int = 0) -> dict[str, Column]:
    """Evidence of n frames in videos and of `labeled` others, with OBJECTS + CLUTTER boxes each."""
    rng = np.random.default_rng(seed)
    every = rng.permutation(n + labeled)
    pool, people = np.sort(every[:n]), np.sort(every[n:])
    found = {**_side("", pool, rng, classes), **_side("labeled_", people, rng, classes)}
    drawn = np.asarray(found["labeled_detection_score"]) >= 0.5
    for name, column in (("_item", "item"), ("", "box"), ("_label", "label")):
        found[f"labeled_box{name}"] = np.asarray(found[f"labeled_detection_{column}"])[drawn]
    return found


def _side(prefix: str, place: IntArray, rng: np.random.Generator, classes: int) -> dict[str, Column]:
    """place: of each frame among all frames of all videos, one after the other."""
    boxes = OBJECTS + CLUTTER
    video, frame = place // VIDEO, place % VIDEO
    item = np.repeat(np.arange(len(place)), boxes)
    each = np.tile(np.arange(boxes), len(place))
    track = np.random.default_rng([1, 2]).uniform(-1, 1, (OBJECTS, 4))  # the same for all; videos do not meet
    centre = np.array([WIDTH, HEIGHT]) / 2 * (1 + 0.6 * track[:, :2])
    known = each < OBJECTS
    at = np.empty((len(item), 2))
    one = each[known]
    at[known] = centre[one] + (frame[item[known]] - VIDEO / 2)[:, None] * track[one, 2:]
    at[known] += rng.normal(0, 2, (int(known.sum()), 2))
    at[~known] = rng.uniform(0, 1, (int((~known).sum()), 2)) * [WIDTH, HEIGHT]
    score = np.where(known, 0.3 + 0.7 * rng.random(len(item)), 0.8 * rng.random(len(item)))
    half = 30 + 50 * rng.random((len(item), 1)) * (~known)[:, None]
    return {
        f"{prefix}video": np.array([f"video {v}" for v in video.tolist()], dtype=np.str_),
        f"{prefix}frame": frame,
        f"{prefix}size": np.tile([WIDTH, HEIGHT], (len(place), 1)),
        f"{prefix}detection_item": item,
        f"{prefix}detection_box": np.concatenate([at - half, at + half], axis=1).astype(np.float32),
        f"{prefix}detection_score": score.astype(np.float32),
        f"{prefix}detection_label": each % classes,
        f"{prefix}detection_shown": score >= 0.5,
    }
