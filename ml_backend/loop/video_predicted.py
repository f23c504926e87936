"""What a prediction of a whole video shows: tracks, and where the config has a place for it, the doubtful stretches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.loop.video_pool import VideoPool
from ml_backend.loop.video_tracks import drawn_tracks, every_frame
from ml_backend.loop.video_values import halfway, stretches
from ml_backend.store.arrays import Arrays
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.regions.config import TimelineConfig, TracksConfig
from ml_backend.studio.regions.frame_rate import check_frame_rate
from ml_backend.studio.regions.timeline import Ranges, timeline_results
from ml_backend.studio.regions.tracks import Track, track_results
from plugins.contract import IntArray
from plugins.evidence import Evidence
from plugins.video.detections import Detections, Frames

Json = dict[str, Any]

DOUBTFUL = "doubtful"  # the label of a timeline, in any case, under which stretches are pointed at
TRACKS = ("track_id", "track_label", "track_score", "track_boxes")
ROWS = ("track_frame", "track_joined", "track_box")
VIDEO_ARRAYS = (
    *("track_start", *TRACKS, *ROWS, "doubt_start", "doubt_from", "doubt_to"),
    *("fps", "length", "size", "track_classes", "tolerance"),
)


def video_arrays(
    evidence: Evidence, pool: VideoPool, doubtful: NDArray[np.bool_], tolerance_px: float, order: IntArray
) -> Arrays:
    """Of a ranking, in its order. doubtful: (N,) of the pool's frames.

    Tracks of rank r from track_start[r] on, those of a doubtful frame first; the boxes of track t from track_boxes[t]
    on, each joined to the next or not. Doubtful stretches of rank r from doubt_start[r] on.
    """
    tracks: dict[str, list[Any]] = {name: [] for name in (*TRACKS, *ROWS, "doubt_from", "doubt_to")}
    starts, doubts = [0], [0]
    shown = np.flatnonzero(evidence.detection_shown)
    shown = shown[np.argsort(evidence.detection_item[shown], kind="stable")]
    begin = np.searchsorted(evidence.detection_item[shown], pool.first)
    for video in order.tolist():
        low, high = int(pool.first[video]), int(pool.first[video + 1])
        number = pool.number[low:high]
        rows = shown[begin[video] : begin[video + 1]]
        here = np.flatnonzero(doubtful[low:high])
        detections = Detections(
            Frames(number, size=pool.size[video]),
            evidence.detection_item[rows] - low,
            evidence.detection_box[rows],
            evidence.detection_score[rows],
            evidence.detection_label[rows],
        )
        for track in drawn_tracks(detections, here):
            tracks["track_id"].append(track.id)
            tracks["track_label"].append(track.label)
            tracks["track_score"].append(min(1.0, max(0.0, track.score)))
            tracks["track_boxes"].append(len(track.place))
            tracks["track_frame"] += number[track.place].tolist()
            tracks["track_joined"] += (np.diff(track.place, append=track.place[-1]) == 1).tolist()
            tracks["track_box"] += track.box.tolist()
        begins, ends = halfway(number, int(pool.length[video]))
        for start, end in stretches(here):
            tracks["doubt_from"].append(int(begins[start]))
            tracks["doubt_to"].append(int(ends[end]))
        starts.append(len(tracks["track_id"]))
        doubts.append(len(tracks["doubt_from"]))
    return {
        "track_start": np.array(starts, dtype=np.int64),
        "track_id": np.array(tracks["track_id"], dtype=np.str_),
        "track_label": np.array(tracks["track_label"], dtype=np.int32),
        "track_score": np.array(tracks["track_score"], dtype=np.float32),
        "track_boxes": np.cumsum([0, *tracks["track_boxes"]], dtype=np.int64),
        "track_frame": np.array(tracks["track_frame"], dtype=np.int32),
        "track_joined": np.array(tracks["track_joined"], dtype=bool),
        "track_box": np.array(tracks["track_box"], dtype=np.float32).reshape(-1, 4),
        "doubt_start": np.array(doubts, dtype=np.int64),
        "doubt_from": np.array(tracks["doubt_from"], dtype=np.int32),
        "doubt_to": np.array(tracks["doubt_to"], dtype=np.int32),
        "fps": pool.fps[order],
        "length": pool.length[order],
        "size": pool.size[order],
        "track_classes": np.array(evidence.classes),
        "tolerance": np.array(tolerance_px),
    }


def video_result(config: TracksConfig, arrays: Arrays, rank: int) -> list[Json]:
    """The regions of the prediction for a rank, doubtful stretches first.

    None without a model, or while its classes or frame rate are not the config's.
    """
    if "track_start" not in arrays or tuple(arrays["track_classes"].tolist()) != config.classes:
        return []
    fps, length = float(arrays["fps"][rank]), int(arrays["length"][rank])
    try:
        check_frame_rate(config, fps)
    except ConfigError:
        return []
    width, height = (int(side) for side in arrays["size"][rank])
    tracks = [
        _track(arrays, at) for at in range(int(arrays["track_start"][rank]), int(arrays["track_start"][rank + 1]))
    ]
    drawn = track_results(
        config,
        tracks,
        fps=fps,
        frames=length,
        width=width,
        height=height,
        tolerance_px=float(arrays["tolerance"]),
    )
    return [*_stretches(config.timeline, arrays, rank, fps, length), *drawn]


def _track(arrays: Arrays, at: int) -> Track:
    rows = slice(int(arrays["track_boxes"][at]), int(arrays["track_boxes"][at + 1]))
    box = arrays["track_box"][rows].astype(np.float64)
    frame, boxes = every_frame(arrays["track_frame"][rows].astype(np.int64), arrays["track_joined"][rows], box)
    return Track(
        str(arrays["track_id"][at]), int(arrays["track_label"][at]), frame, boxes, float(arrays["track_score"][at])
    )


def _stretches(timeline: TimelineConfig | None, arrays: Arrays, rank: int, fps: float, length: int) -> list[Json]:
    """Ranges under the timeline's label for doubt; its other labels are people's to give."""
    names = [] if timeline is None else [name for name in timeline.classes if name.casefold() == DOUBTFUL]
    if timeline is None or not names:
        return []
    rows = slice(int(arrays["doubt_start"][rank]), int(arrays["doubt_start"][rank + 1]))
    start, end = arrays["doubt_from"][rows].astype(np.int64), arrays["doubt_to"][rows].astype(np.int64)
    label = np.full(len(start), timeline.classes.index(names[0]))
    return timeline_results(timeline, Ranges(start, end, label), fps=fps, frames=length)
