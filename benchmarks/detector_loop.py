"""`python -m benchmarks detector_loop`: what a cycle of YOLO11n costs, and `detect` beside ultralytics' own `predict`.

Frames and boxes are road scenes, drawn here. NEXTLABEL_BENCH_FRAMES and NEXTLABEL_BENCH_EPOCHS change their numbers.
Both look at the same files, 16 at a time, at the same side, with the same thresholds, in turns; a figure is the median
of the rounds, in seconds and in processor seconds, which a busy machine spoils less.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

from ml_backend.learners.average_precision import precision
from ml_backend.learners.contract import Images
from ml_backend.learners.detector import Found, LabeledBoxes
from ml_backend.learners.yolo import BATCH, YOLO, YOLOConfig
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import SUBSETS, Kind, drives

TITLE = "Detectors: seconds of a training with its look at the pool, and detect beside ultralytics' predict"
FRAMES = int(os.environ.get("NEXTLABEL_BENCH_FRAMES", "500"))  # half of them labeled, half the pool
EPOCHS = int(os.environ.get("NEXTLABEL_BENCH_EPOCHS", "10"))
STEP = 10  # frames between two that are kept
EACH = 25  # frames of each drive
ROUNDS = 5
WANTED = 0.10  # overhead beside ultralytics' own predict, at most
CLASSES = tuple(kind.value for kind in Kind)


def run() -> dict[str, Any]:
    """rows: what was done, on how many frames, seconds. overhead: of our detect, as a share of their predict."""
    with tempfile.TemporaryDirectory(prefix="nextlabel-detector-") as folder:
        images, boxes = scenes(Path(folder) / "frames", FRAMES)
        labeled, pool = np.arange(0, FRAMES // 2), np.arange(FRAMES // 2, FRAMES)
        yolo = YOLO(YOLOConfig(weights="scratch", epochs=EPOCHS))
        moments: dict[str, float] = {}

        def progress(what: str, done: int, total: int) -> None:  # noqa: ARG001  # the moment alone is asked for
            moments[what] = time.perf_counter() - began

        began, cpu = time.perf_counter(), time.process_time()
        fit = yolo.fit(
            images.take(labeled),
            boxes.of(labeled),
            None,
            images.take(pool),
            CLASSES,
            folder=Path(folder) / "kept",
            seed=0,
            progress=progress,
        )
        whole, spent = time.perf_counter() - began, time.process_time() - cpu
        on_pool = precision(fit.pool, boxes.of(pool), len(pool), CLASSES)
        rows = [
            {"what": f"training, {EPOCHS} epochs", "frames": len(labeled), "seconds": round(moments["training"], 1)},
            {"what": "training and looking at all", "frames": FRAMES, "seconds": round(whole, 1)}
            | {"cpu_seconds": round(spent, 1)},
        ]
        sides = beside(fit.model, images.take(pool), yolo)
    return {
        "rows": [*rows, *sides["rows"]],
        "overhead": sides["overhead"],
        "overhead_cpu": sides["overhead_cpu"],
        "wanted": WANTED,
        "reached": sides["overhead"] < WANTED,
        "boxes_alike": sides["alike"],
        "held_out_map50": None if fit.precision is None else round(fit.precision.map50, 3),
        "pool_map50": None if on_pool is None else round(on_pool.map50, 3),
        "side": int(fit.model["side"][0]),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
    }


def scenes(folder: Path, n: int) -> tuple[Images, LabeledBoxes]:
    """n frames of 480 x 270 px as JPEG files and their true boxes."""
    folder.mkdir()
    paths: list[Path] = []
    item, box, label = [], [], []
    for drive in drives(SUBSETS["default"], videos=-(-n // EACH), seconds=EACH * STEP / 25):
        scene = Scene(drive)
        for t in range(0, EACH * STEP, STEP):
            if len(paths) == n:
                break
            frame = scene.frame(t)
            item += [len(paths)] * len(frame.objects)
            box += [thing.box for thing in frame.objects]
            label += [CLASSES.index(thing.kind.value) for thing in frame.objects]
            paths.append(folder / f"{drive.name}-{t:04d}.jpg")
            cv2.imwrite(str(paths[-1]), np.ascontiguousarray(frame.picture[..., :3]))
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return Images(contents, paths), LabeledBoxes(np.array(item), np.array(box, dtype=np.float64), np.array(label))


def beside(model: dict[str, Any], images: Images, yolo: YOLO) -> dict[str, Any]:
    """Ours and theirs in turns on the same files, after one round that does not count."""
    turns: dict[str, Callable[[], Found]] = {
        "detect (ours)": partial(yolo.detect, model, images),
        "model.predict (ultralytics)": _theirs(model, images, yolo),
    }
    took: dict[str, list[tuple[float, float]]] = {what: [] for what in turns}
    answers: dict[str, Found] = {}
    for turn in range(ROUNDS + 1):
        for what, work in turns.items():
            began, cpu = time.perf_counter(), time.process_time()
            answers[what] = work()
            if turn:
                took[what].append((time.perf_counter() - began, time.process_time() - cpu))
    rows, seconds, cpus = [], [], []
    for what, rounds in took.items():
        seconds.append(median(wall for wall, _ in rounds))
        cpus.append(median(cpu for _, cpu in rounds))
        each = {"ms_per_frame": round(1000 * seconds[-1] / len(images), 2)}
        rows.append(
            {"what": what, "frames": len(images), "seconds": round(seconds[-1], 3), "cpu_seconds": round(cpus[-1], 3)}
            | each
        )
    ours, other = answers.values()
    return {
        "rows": rows,
        "overhead": round(seconds[0] / seconds[1] - 1, 3),
        "overhead_cpu": round(cpus[0] / cpus[1] - 1, 3),
        "alike": f"{len(ours)} boxes of ours, {len(other)} of theirs, "
        f"largest difference of the best {_apart(ours, other):.2f} px",
    }


def _theirs(model: dict[str, Any], images: Images, yolo: YOLO) -> Callable[[], Found]:
    """Ultralytics' predict with the same network, thresholds and batch; building it is not counted."""
    from ml_backend.learners import yolo_network
    from ml_backend.learners.network_detector import network_arrays
    from ml_backend.learners.ultralytics_quiet import ultralytics

    ultralytics()
    wrapped: Any = import_module("ultralytics").YOLO("yolo11n.yaml", verbose=False)
    wrapped.model = yolo_network.restored(network_arrays(model), "n", len(model["classes"])).eval()
    wrapped.model.names = dict(enumerate(CLASSES))
    files = [str(path) for path in images.paths]

    def look() -> Found:
        results = wrapped.predict(
            files,
            stream=True,
            batch=BATCH,
            imgsz=int(model["side"][0]),
            conf=yolo.config.low_score,
            iou=yolo.config.overlap,
            max_det=yolo.config.max_boxes,
            verbose=False,
            save=False,
            quantize=16 if torch.cuda.is_available() else None,
        )
        parts = [result.boxes.data.cpu().numpy() for result in results]
        rows = np.concatenate(parts)
        item = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return Found(item, rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))

    return look


def _apart(ours: Found, theirs: Found) -> float:
    """Largest difference in px between the best box of each image on both sides."""
    first = [np.unique(side.item, return_index=True) for side in (ours, theirs)]
    both = np.intersect1d(first[0][0], first[1][0])
    boxes = [
        side.box[at[np.searchsorted(items, both)]] for side, (items, at) in zip((ours, theirs), first, strict=True)
    ]
    return float(np.abs(boxes[0] - boxes[1]).max(initial=0.0))
