"""Milliseconds a frame for tracking, linking and cutting a video, by frames and boxes: ours, plain loops, dense matrix.

`ours` streams windows of 256 frames, `whole` takes the video at once; each is the fastest of three runs, and `cpu`
counts processor time, which a busy machine spoils less. Loops and the dense matrix run on a shorter video, since their
time is linear and quadratic. Peak is how far the resident size of a process rose while it made and judged windows one
by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.acquisition import in_child
from benchmarks.coherence_loops import dense, loops
from benchmarks.pixel_share import WANTED, share
from plugins.video.calibrated import Calibration
from plugins.video.detections import Detections, Frames
from plugins.video.frame_errors import Mode
from plugins.video.motion import Linear
from plugins.video.ranks import ScoreRanks
from plugins.video.slicing import joined
from plugins.video.streaming import stream_errors
from plugins.video.temporal_coherence import estimate_errors

TITLE = "Temporal coherence: milliseconds a frame by video length and boxes, beside loops and a dense matrix"
LENGTHS, BOXES, WINDOW = (1_000, 10_000), (5, 20, 100), 256
SHORT = {5: 300, 20: 300, 100: 60}  # frames for loops and the dense matrix
IMAGE = np.array([1920.0, 1080.0])
Array = NDArray[Any]
Timed = tuple[float, float, Array]  # seconds, processor seconds, answer


def run() -> dict[str, Any]:
    """rows: ms a frame. growth: exponent of time in frames from 1 000 to 10 000. beside_yolo11n: what it adds to a
    detector's look at real frames, where the data has them."""
    rows, growth = [], []
    for boxes in BOXES:
        known = Calibration(ScoreRanks.of([(video(300, boxes).score, video(300, boxes).label)]))
        times: dict[tuple[str, int], float] = {}
        for frames in LENGTHS:
            row: dict[str, Any] = {"frames": frames, "boxes": boxes}
            for name, work in ours(frames, boxes, known).items():
                wall, times[name, frames], _ = fastest(work, 3)
                row |= {f"{name} ms": 1e3 * wall / frames, f"{name} cpu ms": 1e3 * times[name, frames] / frames}
            row["stream peak MiB"] = in_child(partial(peak, frames, boxes, known), 600).get("peak_mib")
            rows.append(_rounded(row))
            print(rows[-1], flush=True)
        rows.append(_rounded(peers(boxes)))
        print(rows[-1], flush=True)
        for name in ("ours", "ours calibrated", "whole"):
            ratio = times[name, LENGTHS[1]] / times[name, LENGTHS[0]]
            growth.append({"boxes": boxes, "what": name, "exponent": round(float(np.log10(ratio)), 3)})
    return {"rows": rows, "growth": growth, "window": WINDOW, "k": 3, "beside_yolo11n": share(), "wanted": WANTED}


def ours(frames: int, boxes: int, known: Calibration) -> dict[str, Callable[[], Timed]]:
    """Name -> what is timed."""
    whole = video(frames, boxes)
    return {
        "ours": lambda: streamed(frames, boxes, "thesis", None),
        "ours calibrated": lambda: streamed(frames, boxes, "calibrated", known),
        "whole": lambda: timed(lambda: estimate_errors(whole, Linear(), mode="thesis").false_positives),
    }


def peers(boxes: int) -> dict[str, Any]:
    """Loops, the dense matrix and ours on one short video, which must give the same answer."""
    short = video(SHORT[boxes], boxes)
    row: dict[str, Any] = {"frames": SHORT[boxes], "boxes": boxes}
    works: dict[str, Callable[[], Array]] = {
        "whole": lambda: estimate_errors(short, Linear(), mode="thesis").false_positives,
        "loops": lambda: loops(short),
        "dense": lambda: dense(short),
    }
    answers = {}
    for name, work in works.items():
        wall, cpu, answers[name] = fastest(partial(timed, work), 3 if name == "whole" else 1)
        row |= {f"{name} ms": 1e3 * wall / SHORT[boxes], f"{name} cpu ms": 1e3 * cpu / SHORT[boxes]}
    row["same answers"] = all(np.array_equal(one, answers["whole"]) for one in answers.values())
    row["times loops"] = row["loops cpu ms"] / row["whole cpu ms"]
    row["times dense"] = row["dense cpu ms"] / row["whole cpu ms"]
    return row


def timed(work: Callable[[], Array]) -> Timed:
    """Seconds, processor seconds and answer of one run."""
    began, spent = time.perf_counter(), time.process_time()
    answer = work()
    return time.perf_counter() - began, time.process_time() - spent, answer


def streamed(frames: int, boxes: int, mode: Mode, known: Calibration | None) -> Timed:
    """As `timed`, for a stream; making the windows does not count."""
    made = np.zeros(2)

    def given() -> Iterator[Detections]:
        source = windows(frames, boxes)
        while True:
            began = np.array([time.perf_counter(), time.process_time()])
            window = next(source, None)
            made[:] += np.array([time.perf_counter(), time.process_time()]) - began
            if window is None:
                return
            yield window

    found = stream_errors(given(), Linear(), mode=mode, calibration=known)
    wall, cpu, answer = timed(lambda: np.concatenate([one.false_positives for one in found]))
    return wall - float(made[0]), cpu - float(made[1]), answer


def fastest(work: Callable[[], Timed], times: int) -> Timed:
    """The least seconds and processor seconds, and the last answer."""
    runs = [work() for _ in range(times)]
    return min(run[0] for run in runs), min(run[1] for run in runs), runs[-1][2]


def peak(frames: int, boxes: int, known: Calibration) -> dict[str, float]:
    """How far memory rises while windows are made and judged one by one."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest resident size begins anew
    before = _status("VmRSS")
    for _ in stream_errors(windows(frames, boxes), Linear(), calibration=known):
        pass
    return {"peak_mib": (_status("VmHWM") - before) / 1024}


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name)))


def video(frames: int, boxes: int) -> Detections:
    """A made-up video as one."""
    return joined(list(windows(frames, boxes)))


def windows(frames: int, boxes: int) -> Iterator[Detections]:
    """A made-up video: nine tenths of the boxes are objects that drift, 5 % of them missed, the others are clutter."""
    objects = round(0.9 * boxes)
    once = np.random.default_rng(boxes)
    start, drift = once.uniform(0, IMAGE, (objects, 2)), once.normal(0, 3, (objects, 2))
    side = once.uniform(40, 120, (objects, 2))
    for first in range(0, frames, WINDOW):
        rng = np.random.default_rng([boxes, first])
        number = np.arange(first, min(first + WINDOW, frames))
        low = np.mod(start + drift * number[:, None, None], IMAGE) + rng.normal(0, 1.5, (len(number), objects, 2))
        seen = rng.random((len(number), objects)) < 0.95
        clutter = rng.uniform(0, IMAGE, (len(number), boxes - objects, 2))
        low = np.concatenate([low, clutter], axis=1)
        sides = np.concatenate([np.broadcast_to(side, (*seen.shape, 2)), rng.uniform(30, 120, clutter.shape)], axis=1)
        kept = np.concatenate([seen, np.ones(clutter.shape[:2], dtype=bool)], axis=1)
        frame, which = np.nonzero(kept)
        corner = low[frame, which]
        yield Detections(
            Frames(number, size=1.1 * IMAGE),
            frame,
            np.concatenate([corner, corner + sides[frame, which]], axis=1),
            rng.random(len(frame)),
            which % 3,
        )


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
