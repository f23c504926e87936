"""`python -m benchmarks video_import`: our import of a video against OpenCV reading the same file, speed and memory.

The video is a road scene drawn in the run. Each figure is taken in a fresh process that has the libraries
already; memory is how far the resident size rose above what it was before (VmHWM - VmRSS).
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import psutil

from ml_backend.video.reading import QUALITY, VideoFile
from ml_backend.video.sampling import Sampling
from ml_backend.video.storing import place, store_frames
from simulation.road_scenes.production import VIDEO, Format, render_drive
from simulation.road_scenes.table import FPS, Drive

TITLE = "Importing videos: frames a second and memory of our import, against plain OpenCV on the same file"
SECONDS = (60, 240)  # of video at 480 x 270; the longer one shows whether memory grows
RUNS = 2  # of which the fastest counts
EVERY = 10  # frames, of the sampled import


def run() -> dict[str, Any]:
    """rows: by video. over_opencv: our processor time over that of OpenCV decoding, encoding and writing the same."""
    rows: list[dict[str, Any]] = []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="nextlabel-videos-") as folder:
        home = Path(folder)
        for seconds in SECONDS:
            video = make(home, seconds)
            for what, work in works(video, home / "store"):
                print(f"{seconds} s: {what}", flush=True)
                rows.append({"what": what, "seconds_of_video": seconds, **measured(work, seconds * FPS)})
    ours, plain = (
        [row for row in rows if row["what"] == what] for what in ("import, all frames", "OpenCV, all frames")
    )
    return {
        "rows": rows,
        "over_opencv": [round(a["cpu_ms"] / b["cpu_ms"], 2) for a, b in zip(ours, plain, strict=True)],
        "memory_growth_mib": round(ours[-1]["memory_mib"] - ours[0]["memory_mib"], 1),
        "load_before": round(load, 2),
    }


def make(home: Path, seconds: int) -> Path:
    """An MPEG-4 file of a drive through the city."""
    drive = Drive(name=f"drive-{seconds}", frames=seconds * FPS, oversampling=1, seed=seconds)
    render_drive(home, drive, Format.MP4, lambda _: None)
    return home / drive.name / VIDEO


def works(video: Path, store: Path) -> list[tuple[str, Callable[[], int]]]:
    """What is measured, in this order, since a second import finds the first one's frames. Each returns its frames."""
    return [
        ("OpenCV, decoding alone", partial(decode, video)),
        ("OpenCV, all frames", partial(decode_and_write, video)),
        ("import, all frames", partial(import_fresh, video, store, Sampling())),
        (f"import, 1 in {EVERY}", partial(import_fresh, video, store, Sampling(EVERY))),
        ("import, once more", partial(import_again, video, store, Sampling(EVERY))),
    ]


def decode(video: Path) -> int:
    capture, count = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG), 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count


def decode_and_write(video: Path) -> int:
    """The few lines that everyone writes: a JPEG file for each frame."""
    capture, count = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG), 0
    with tempfile.TemporaryDirectory(dir=video.parent) as folder:
        while True:
            read, pixels = capture.read()
            if not read:
                break
            count += 1
            cv2.imwrite(f"{folder}/{count:06d}.jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    capture.release()
    return count


def import_fresh(video: Path, store: Path, sampling: Sampling) -> int:
    """Our import into a store that lacks this video."""
    shutil.rmtree(place(store, VideoFile(video)), ignore_errors=True)
    return import_again(video, store, sampling)


def import_again(video: Path, store: Path, sampling: Sampling) -> int:
    return sum(1 for _ in store_frames(VideoFile(video), sampling, store))


def measured(work: Callable[[], int], frames: int) -> dict[str, Any]:
    """The fastest of RUNS, each in a child. Frames a second count those of the video, taken or not."""
    best = min((in_child(work) for _ in range(RUNS)), key=lambda figures: figures["seconds"])
    return {
        "frames": int(best["frames"]),
        "frames_per_second": round(frames / best["seconds"], 1),
        "cpu_ms": round(1000 * best["cpu"] / frames, 3),
        "memory_mib": round(best["memory"] / 2**20, 1),
    }


def in_child(work: Callable[[], int]) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")  # a fork of a process that used OpenCV's threads hangs
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(work, there))
    child.start()
    there.close()
    try:
        figures: dict[str, float] = here.recv()
    except EOFError:
        raise RuntimeError(f"The measured process ended without an answer ({child.exitcode}).") from None
    finally:
        child.join()
    return figures


def _report(work: Callable[[], int], there: Connection) -> None:
    cv2.setNumThreads(1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = psutil.Process().memory_info().rss
    wall, cpu = time.perf_counter(), time.process_time()
    frames = work()
    took = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    there.send({"frames": frames, "memory": max(0, _peak() - before), **took})


def _peak() -> int:
    """Bytes that were resident at most."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
