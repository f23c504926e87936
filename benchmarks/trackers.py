"""How well trackers say where a box is 1, 2 and 3 frames on and back, on CamVid, DAVIS and Crossing, and at what cost.

Every true box is a query; its answer is compared by IoU with the true box of the same object there. Milliseconds are of
processor time, all threads together. SiamFC learns from road scenes in this run, for a few minutes, unless
NEXTLABEL_SIAMFC names a checkpoint. NanoTrack's two files are looked for in NEXTLABEL_NANOTRACK (a folder, by default
`weights/nanotrack` of the data) and RAFT's weights in NEXTLABEL_RAFT (a file of raft_small); what lacks is left out.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.tracker_videos import Array, Video, videos
from benchmarks.tracking_data import folder
from plugins.contract import FloatArray
from plugins.registry import make
from plugins.video.boxes import overlaps
from plugins.video.clip import Clip, sorted_clip
from plugins.video.detections import Detections, Frames
from plugins.video.frame_source import ImageFiles
from plugins.video.siamfc_training import train
from simulation.siamfc_command import SMALL, SMALL_RATE, road_scene_objects

TITLE = "Trackers: overlap with the true box 1, 2 and 3 frames on and back, and what it costs"
K = 3
QUERIES = 60  # of a video at most, for trackers that follow each box by itself; the same boxes for all of them
MISSED, SEEDS = 1 / 3, 5  # share of the boxes that "linear, boxes missed" is not told, and drawings of them
SCENES, FRAMES, STEPS = 24, 50, 250  # that SiamFC learns from, frames of each, and steps of 8 pairs

Chosen = tuple[str, str, dict[str, Any]]  # title, name in the registry, settings


def run() -> dict[str, Any]:
    """rows: tracker by video. left_out: trackers whose files are not there. siamfc: where its weights come from."""
    found = videos()
    if not found:
        return {"rows": [], "note": f"No videos in {folder()}; set NEXTLABEL_DATA to the folder that holds them."}
    torch.set_num_threads(1)  # on a busy machine threads that wait for each other cost many times what they save
    with tempfile.TemporaryDirectory(prefix="nextlabel-trackers-") as place:
        siamfc, about = _siamfc(Path(place))
        chosen: list[Chosen] = [("still", "still", {}), ("linear", "linear", {}), ("flow, DIS", "flow", {})]
        chosen.append(("flow, DIS, preset 2", "flow", {"preset": 2}))
        chosen.append(("siamfc", "siamfc", {"weights": siamfc}))
        more, lacking = _with_files()
        rows = []
        for video in found:
            rows += [_row(video, one, Path(place)) for one in chosen + more]
            rows += [_two_flows(video, Path(place)), _missed(video)]
    return {
        "rows": rows,
        "left_out": lacking,
        "siamfc": about,
        "queries": f"every box, and {QUERIES} of a video at most where each box is followed by itself, seed 0",
        "missed": f"mean over {SEEDS} drawings",
        "objects": {video.name: len(np.unique(video.identity)) for video in found},
    }


def _siamfc(place: Path) -> tuple[str, dict[str, Any]]:
    """A checkpoint, and where it comes from."""
    given = os.environ.get("NEXTLABEL_SIAMFC")
    if given:
        return given, {"checkpoint": hashlib.sha256(Path(given).read_bytes()).hexdigest()[:16]}
    losses: list[float] = []
    began = time.process_time()
    network = train(
        road_scene_objects(SCENES, FRAMES, seed=0),
        steps=STEPS,
        rate=SMALL_RATE,
        channels=SMALL,
        observe=lambda _, loss: losses.append(loss),
    )
    torch.save(network.state_dict(), place / "siamfc.pth")
    return str(place / "siamfc.pth"), {
        "learned": f"{STEPS} steps of 8 pairs from {SCENES} road scenes of {FRAMES} frames, seed 0",
        "channels": list(SMALL),
        "loss": [round(float(np.mean(losses[:25])), 3), round(float(np.mean(losses[-25:])), 3)],
        "cpu_seconds": round(time.process_time() - began),
    }


def _with_files() -> tuple[list[Chosen], list[str]]:
    """Trackers whose files are there, and the names of the others."""
    found: list[Chosen] = []
    place = Path(os.environ.get("NEXTLABEL_NANOTRACK", str(folder() / "weights" / "nanotrack")))
    files = {part: sorted(place.glob(f"*{part}*.onnx")) for part in ("backbone", "head")}
    if all(files.values()):
        found.append(("nanotrack", "nanotrack", {part: str(paths[0]) for part, paths in files.items()}))
    weights = os.environ.get("NEXTLABEL_RAFT")
    if weights:
        found.append(("flow, RAFT", "flow", {"method": "raft", "weights": weights}))
    return found, sorted({"nanotrack", "flow, RAFT"} - {title for title, _, _ in found})


def _row(video: Video, chosen: Chosen, place: Path) -> dict[str, Any]:
    """One tracker on one video; flow twice, the second time from what it kept of the pixels."""
    title, name, config = chosen
    tracker = make("tracker", name, config)
    each = name in ("siamfc", "nanotrack")
    rows = np.arange(len(video.frame))
    if each and len(rows) > QUERIES:
        rows = np.sort(np.random.default_rng(0).choice(rows, QUERIES, replace=False))
    tracker.watch({video.name: video.reader}, place / title)
    quality, took = _quality(video, rows, tracker)
    row = {"video": video.name, "tracker": title, "boxes": len(rows), **quality}
    if tracker.pixels and not each:
        again = _quality(video, rows, tracker)[1]
        row["ms per frame"] = 1e3 * (took - again) / video.frames
        took = again
    return {**row, "ms per box": 1e3 * took / len(rows)}


class _BothWays:
    """Flow in which the way back is a flow of its own, that of the video played backwards, and not the inverse."""

    def __init__(self, video: Video, place: Path) -> None:
        self._video, last = video, video.frames - 1
        self._there, self._back = make("tracker", "flow"), make("tracker", "flow")
        self._there.watch({video.name: video.reader}, place / "there")
        self._back.watch(
            {video.name: ImageFiles({last - at: file for at, file in video.files.items()})}, place / "back"
        )

    def track(self, clip: Clip) -> FloatArray:
        moved: FloatArray = self._there.track(clip)
        frames = Frames(np.arange(self._video.frames), video=np.full(self._video.frames, self._video.name))
        backwards = self._video.frames - 1 - clip.number[clip.frame]
        mirrored = sorted_clip(Detections(frames, backwards, clip.box, clip.score, clip.label), K)
        moved[mirrored.box_rows, :K] = self._back.track(mirrored)[:, K:][:, ::-1]
        return moved


def _two_flows(video: Video, place: Path) -> dict[str, Any]:
    """What inverting the flow for the way back costs in overlap."""
    rows = np.arange(len(video.frame))
    quality, _ = _quality(video, rows, _BothWays(video, place / f"two {video.name}"))
    return {"video": video.name, "tracker": "flow, DIS, one for each way", "boxes": len(rows), **quality}


def _missed(video: Video) -> dict[str, Any]:
    """Linear motion where a detector does not find every box, which is its weak side."""
    drawn, told = [], 0
    for seed in range(SEEDS):
        rows = np.flatnonzero(np.random.default_rng(seed).random(len(video.frame)) >= MISSED)
        told += len(rows)
        drawn.append(_quality(video, rows, make("tracker", "linear"))[0])
    mean = {key: float(np.mean([one[key] for one in drawn])) for key in drawn[0]}
    return {"video": video.name, "tracker": "linear, a third of the boxes missed", "boxes": told // SEEDS, **mean}


def _quality(video: Video, rows: Array, tracker: Any) -> tuple[dict[str, float], float]:
    """Mean IoU and share above 0.5 of boxes `rows`, told to the tracker alone, so many frames on or back; and seconds
    of processor time that tracking took."""
    frames = Frames(np.arange(video.frames), video=np.full(video.frames, video.name))
    told = Detections(frames, video.frame[rows], video.box[rows], np.ones(len(rows)), video.label[rows])
    clip = sorted_clip(told, K)
    began = time.process_time()
    moved = tracker.track(clip)
    took = time.process_time() - began
    truth = dict(zip(_pairs(video), video.box, strict=True))
    shared: dict[int, list[float]] = {place: [] for place in range(1, K + 1)}
    for row, source in enumerate(rows[clip.box_rows].tolist()):
        for slot, offset in enumerate(clip.offsets.tolist()):
            there = truth.get((int(video.frame[source]) + offset, int(video.identity[source])))
            if there is not None:
                shared[abs(offset)].append(float(overlaps(moved[row, slot][None], there[None])[0]))
    mean = {f"IoU {place}": float(np.mean(values)) for place, values in shared.items()}
    over = {f"over .5 {place}": float(np.mean(np.array(values) > 0.5)) for place, values in shared.items()}
    return {**mean, **over}, took


def _pairs(video: Video) -> Iterator[tuple[int, int]]:
    """(frame, object) of every box."""
    return zip(video.frame.tolist(), video.identity.tolist(), strict=True)
