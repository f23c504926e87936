"""`python -m benchmarks road_scenes`: frames a second of the road scenes, drawing with ground truth at 480 x 270."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2

from simulation.road_scenes.production import Format, open_folder, render
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import SUBSETS, Area, Condition, Drive, drives

TITLE = "Road scenes: frames a second at 480 x 270 with ground truth, by area and condition, and with encoding"
SECONDS = 10  # of each video, the shortest of the table
RUNS = 2  # on two cores, of which the faster counts
FRAMES = 100  # of each area and condition
WANTED = 200  # frames a second on two cores
VIDEOS = 8  # of the default subset: city and highway in spring, winter, fall and rain


def run() -> dict[str, Any]:
    """rows: frames a second by the clock, and milliseconds of processor time a frame, which a busy machine spoils less.
    per_processor_second: frames of the default subset for a second of one core."""
    cv2.setNumThreads(1)
    load = os.getloadavg()[0]
    made = drives(SUBSETS["default"], videos=VIDEOS, seconds=SECONDS)
    rows = [max((_together(made, 2, form) for _ in range(RUNS)), key=_speed) for form in (None, *Format)]
    rows.append(_together(made, 1, None))
    rows += [_alone(area, condition) for area in Area for condition in Condition]
    reached, alone = rows[0], rows[len(Format) + 1]
    return {
        "rows": rows,
        "wanted": WANTED,
        "frames_per_second": reached["frames_per_second"],
        "reached": reached["frames_per_second"] >= WANTED,
        "per_processor_second": round(1000 / alone["cpu_ms"], 1),
        "seconds_of_each_video": SECONDS,
        "load_before": round(load, 2),
    }


def _speed(row: dict[str, Any]) -> float:
    return float(row["frames_per_second"])


def _alone(area: Area, condition: Condition) -> dict[str, Any]:
    """One scene in this process, made and drawn."""
    wall, cpu = time.perf_counter(), time.process_time()
    scene = Scene(Drive(name="benchmark", area=area, condition=condition, frames=FRAMES))
    boxes = sum(len(frame.objects) for frame in scene)
    return {
        "what": f"{area}, {condition}",
        "processes": 1,
        "kept": "no",
        "frames_per_second": round(FRAMES / (time.perf_counter() - wall), 1),
        "cpu_ms": round(1000 * (time.process_time() - cpu) / FRAMES, 2),
        "boxes_per_frame": round(boxes / FRAMES, 1),
    }


def _together(made: list[Drive], processes: int, form: Format | None) -> dict[str, Any]:
    """The default subset's first videos, in so many processes; form: how they are kept, None to draw them alone.

    The processes are there before the clock starts, as the importing of libraries is not drawing.
    """
    frames = sum(drive.frames for drive in made)
    with tempfile.TemporaryDirectory(prefix="nextlabel-scenes-") as folder:
        if form is not None:
            open_folder(Path(folder), made, form)
        work = [(Path(folder), drive, form) for drive in made]
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            pool.map(_idle, range(processes))
            began = time.perf_counter()
            cpu = sum(pool.imap_unordered(_one, work))
            took = time.perf_counter() - began
    return {
        "what": f"default, {len(made)} videos",
        "processes": processes,
        "kept": "no" if form is None else form.value,
        "frames_per_second": round(frames / took, 1),
        "cpu_ms": round(1000 * cpu / frames, 2),
    }


def _idle(_: int) -> None:
    cv2.setNumThreads(1)


def _one(work: tuple[Path, Drive, Format | None]) -> float:
    """Seconds of processor time for one video."""
    folder, drive, form = work
    cv2.setNumThreads(1)
    began = time.process_time()
    if form is None:
        for _ in Scene(drive):
            pass
    else:
        render(folder, [drive], form, 1, lambda _: None)
    return time.process_time() - began
