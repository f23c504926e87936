"""MOT15 and KITTI tracking as text: real detections beside the truth, and which of both are wrong by IoU matching.

Reads `mot15_gt_det` and `kitti_tracking` in the folder that NEXTLABEL_DATA names (default ../shared/data), from their
`.tar.xz` or unpacked; any sequences of the same layout will do. Nothing here is copied into the repository.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[Any]
MOT, KITTI = "mot15_gt_det", "kitti_tracking"
KITTI_CLASSES = {"Car": 0, "Pedestrian": 1, "Cyclist": 2}
KITTI_NEIGHBOURS = {"Van": 0, "Truck": 0, "Person": 1, "Person_sitting": 1}  # alike: right or wrong, it does not count
KITTI_SIZE, KITTI_FPS = (1242.0, 375.0), 10.0
DISPLAYED = {"frcnn": 0.9, "acf": 30.0, "pointrcnn": 2.0}  # score from which a box is shown to a person


@dataclass(frozen=True)
class Sequence:
    """One video and one detector: detections (K), truth (G) and regions (I) in which nothing counts.

    frame: positions 0 .. frames - 1. box: xyxy px. fps: of the video. displayed: score from which boxes are shown.
    """

    name: str
    pool: str
    frames: int
    fps: float
    size: tuple[float, float]
    displayed: float
    frame: Array
    box: Array
    score: Array
    label: Array
    true_frame: Array
    true_box: Array
    true_label: Array
    ignored_frame: Array
    ignored_box: Array


def folder() -> Path:
    """Where the real data is."""
    return Path(os.environ.get("NEXTLABEL_DATA", "../shared/data"))


def sequences() -> list[Sequence]:
    """Every sequence with every detector it has; empty where the data is absent."""
    return [*_mot(_texts(folder() / MOT)), *_kitti(_texts(folder() / KITTI))]


def _texts(place: Path) -> dict[str, str]:
    """Relative path -> text of every file in the folder and in its archives."""
    found = {}
    for path in sorted(place.rglob("*")):
        if path.name.endswith(".tar.xz"):
            with tarfile.open(path) as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    if file is not None:
                        found[member.name.removeprefix("./")] = file.read().decode()
        elif path.suffix in (".txt", ".ini"):
            found[str(path.relative_to(place))] = path.read_text(encoding="utf-8")
    return found


def _table(text: str, columns: int) -> Array:
    """The first `columns` comma-separated numbers of each line."""
    if not text.strip():
        return np.empty((0, columns))
    return np.loadtxt(io.StringIO(text), delimiter=",", usecols=range(columns), ndmin=2)


def _mot(texts: Mapping[str, str]) -> Iterator[Sequence]:
    for path in sorted(texts):
        name, _, file = path.rpartition("/")
        if not (file.startswith("det_") and file.endswith(".txt")):
            continue
        pairs = (line.split("=", 1) for line in texts[f"{name}/seqinfo.ini"].splitlines() if "=" in line)
        about = {key.strip(): value.strip() for key, value in pairs}
        found, truth = _table(texts[path], 7), _table(texts[f"{name}/gt.txt"], 7)
        counts = truth[:, 6] != 0
        detector = file.removeprefix("det_").removesuffix(".txt")
        boxes, true_boxes = (np.concatenate([t[:, 2:4], t[:, 2:4] + t[:, 4:6]], axis=1) for t in (found, truth))
        yield Sequence(
            name=name.rpartition("/")[2],
            pool=f"MOT15 {detector}",
            frames=int(about["seqLength"]),
            fps=float(about["frameRate"]),
            size=(float(about["imWidth"]), float(about["imHeight"])),
            displayed=DISPLAYED[detector],
            frame=found[:, 0].astype(np.int64) - 1,
            box=boxes,
            score=found[:, 6],
            label=np.zeros(len(found), dtype=np.int64),
            true_frame=truth[counts, 0].astype(np.int64) - 1,
            true_box=true_boxes[counts],
            true_label=np.zeros(int(counts.sum()), dtype=np.int64),
            ignored_frame=truth[~counts, 0].astype(np.int64) - 1,
            ignored_box=true_boxes[~counts],
        )


def _kitti(texts: Mapping[str, str]) -> Iterator[Sequence]:
    for path in sorted(path for path in texts if "label_02/" in path):
        name = path.rpartition("/")[2]
        lines = [line.split() for line in texts[path].splitlines() if line.strip()]
        kind = np.array([line[2] for line in lines])
        frame = np.array([int(line[0]) for line in lines])
        box = np.array([[float(value) for value in line[6:10]] for line in lines])
        parts = {c: _table(texts.get(f"det/pointrcnn_{c}/{name}", ""), 7) for c in KITTI_CLASSES}
        found = np.concatenate(list(parts.values()))
        label = np.repeat(list(KITTI_CLASSES.values()), [len(part) for part in parts.values()])
        counts = np.isin(kind, list(KITTI_CLASSES))
        ignored = np.isin(kind, ["DontCare", *KITTI_NEIGHBOURS])
        yield Sequence(
            name=name.removesuffix(".txt"),
            pool="KITTI pointrcnn",
            frames=int(max(frame.max(), found[:, 0].max(initial=0))) + 1,
            fps=KITTI_FPS,
            size=KITTI_SIZE,
            displayed=DISPLAYED["pointrcnn"],
            frame=found[:, 0].astype(np.int64),
            box=found[:, 2:6],
            score=found[:, 6],
            label=label,
            true_frame=frame[counts],
            true_box=box[counts],
            true_label=np.array([KITTI_CLASSES[one] for one in kind[counts]], dtype=np.int64),
            ignored_frame=frame[ignored],
            ignored_box=box[ignored],
        )


def overlaps(a: Array, b: Array) -> Array:
    """(n, m) IoU of (n, 4) and (m, 4) boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(one[:, 2:] - one[:, :2]).prod(axis=1) for one in (a, b)]
    return np.asarray(common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-12))


def errors(one: Sequence, shown: Array, iou: float = 0.5) -> tuple[Array, Array]:
    """(K,) wrong[k] = 1 if a shown box is a false positive, NaN if it does not count; (frames,) missed objects.

    Hungarian matching of the shown boxes of a class with the truth, frame by frame, largest total IoU among pairs with
    IoU >= `iou`; duplicates are false positives. A box that matches nothing and lies by half or more in an ignored
    region does not count.
    """
    wrong = np.full(len(one.frame), np.nan)
    missed = np.zeros(one.frames)
    for frame in range(one.frames):
        regions = one.ignored_box[one.ignored_frame == frame]
        here, real = (one.frame == frame) & shown, one.true_frame == frame
        for label in np.union1d(one.label[here], one.true_label[real]):
            mine = np.flatnonzero(here & (one.label == label))
            true = one.true_box[real & (one.true_label == label)]
            table = overlaps(one.box[mine], true)
            rows, columns = linear_sum_assignment(np.where(table >= iou, table, 0), maximize=True)
            good = table[rows, columns] >= iou
            wrong[mine] = 1.0
            wrong[mine[_inside(one.box[mine], regions)]] = np.nan
            wrong[mine[rows[good]]] = 0.0
            missed[frame] += len(true) - good.sum()
    return wrong, missed


def _inside(box: Array, regions: Array) -> Array:
    """(n,) whether half of a box or more lies in one of the regions."""
    low = np.maximum(box[:, None, :2], regions[None, :, :2])
    high = np.minimum(box[:, None, 2:], regions[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    area = (box[:, 2:] - box[:, :2]).prod(axis=1)
    return np.asarray((common >= 0.5 * np.maximum(area, 1e-12)[:, None]).any(axis=1))
