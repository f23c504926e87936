"""What temporal coherence adds to a detector that looks at the same frames: shots, flow, tracks, links and the cut."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.tracker_videos import Video, videos
from ml_backend.learners.contract import Images
from ml_backend.learners.yolo import YOLO, YOLOConfig
from plugins.registry import make
from plugins.video.detections import Detections, Frames
from plugins.video.shots import SIDE, changes, histograms, shots
from plugins.video.temporal_coherence import estimate_errors

SIDES = (320, 640)  # px of the detector; 640 is its own default
BOXES = 20  # of a frame: the true ones and clutter
ROUNDS = 5
WANTED = 0.20  # of the detector's time, at most


def share() -> list[dict[str, Any]]:
    """ms a frame of each part, in turns, median of the rounds, and their share of the detector's time."""
    rows = []
    for video in videos():
        with TemporaryDirectory(prefix="nextlabel-share-") as folder:
            rows += [_row(video, side, Path(folder)) for side in SIDES]
    return rows


def _row(video: Video, side: int, folder: Path) -> dict[str, Any]:
    """One video. Flow is computed and kept once for all cycles, so later ones read it: both are told."""
    detector = YOLO(YOLOConfig(weights="scratch", image_side=side))
    model, images = _model(side), _images(video)
    detections = cluttered(video)
    parts: dict[str, list[tuple[float, float]]] = {}

    def judged(tracker: Any) -> Callable[[], Any]:
        return lambda: estimate_errors(detections, tracker, mode="thesis").false_positives

    for turn in range(ROUNDS + 1):
        first, later = make("tracker", "flow"), make("tracker", "flow")
        for tracker in (first, later):
            tracker.watch({video.name: video.reader}, folder / f"{side}-{turn}")
        works: dict[str, Callable[[], Any]] = {
            "detector": lambda: detector.detect(model, images),
            "shots": partial(_shots, video),
            "first cycle": judged(first),
            "later cycle": judged(later),
            "linear": judged(make("tracker", "linear")),
        }
        for name, work in works.items():
            began, cpu = time.perf_counter(), time.process_time()
            work()
            took = time.perf_counter() - began, time.process_time() - cpu
            if turn:  # the first does not count
                parts.setdefault(name, []).append(took)
    row: dict[str, Any] = {"video": video.name, "frames": video.frames, "boxes": BOXES, "detector px": side}
    for at, unit in enumerate(("ms", "cpu ms")):
        means = {name: 1e3 * median(one[at] for one in times) / video.frames for name, times in parts.items()}
        row |= {f"{name} {unit}": mean for name, mean in means.items()}
        if unit == "cpu ms":
            row |= {f"{name} share": means[name] / means["detector"] for name in works if name != "detector"}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}


def _shots(video: Video) -> None:
    """The histograms by which cuts are seen; they are kept for all cycles, as flow is."""
    known = [histograms(video.reader.read(number, least=SIDE)) for number in video.reader.numbers.tolist()]
    shots(changes(np.stack(known)))


def cluttered(video: Video) -> Detections:
    """BOXES of every frame: the true ones, and made-up ones that stay nowhere."""
    rng, height = np.random.default_rng(0), video.reader.read(int(video.reader.numbers[0])).shape[0]
    lacking = np.maximum(BOXES - np.bincount(video.frame, minlength=video.frames), 0)
    frame = np.repeat(np.arange(video.frames), lacking)
    corner = rng.uniform(0, height - 40, (len(frame), 2))
    return Detections(
        Frames(np.arange(video.frames), video=np.full(video.frames, video.name)),
        np.concatenate([video.frame, frame]),
        np.concatenate([video.box, np.concatenate([corner, corner + rng.uniform(10, 40, corner.shape)], axis=1)]),
        rng.random(len(video.frame) + len(frame)),
        np.concatenate([video.label, rng.integers(0, 3, len(frame))]),
    )


def _images(video: Video) -> Images:
    return Images([video.reader.content(at) for at in video.files], list(video.files.values()))


def _model(side: int) -> dict[str, Any]:
    """YOLO11n with random weights, which cost what others cost."""
    from ml_backend.learners import state_arrays, yolo_network
    from ml_backend.learners.network_detector import PREFIX

    arrays = state_arrays.to_arrays(yolo_network.build("n", 3))
    return {
        **{PREFIX + name: array for name, array in arrays.items()},
        "classes": np.array(["a", "b", "c"]),
        "learned": np.zeros(0, dtype=np.uint64),
        "side": np.array([side]),
        "size": np.array(["n"]),
    }
