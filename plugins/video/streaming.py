"""Errors of videos of any length, window by window: memory is that of a window, whatever the number of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.video.calibrated import SURROUNDINGS, Calibration
from plugins.video.detections import Detections
from plugins.video.frame_errors import FrameErrors, Mode
from plugins.video.slicing import edge, joined, part_of, taken
from plugins.video.temporal_coherence import estimate_errors
from plugins.video.tracker import Tracker

Estimate = Callable[[Detections], FrameErrors]


def stream_errors(
    windows: Iterable[Detections],
    tracker: Tracker[Any],
    *,
    mode: Mode = "calibrated",
    k: int = 3,
    calibration: Calibration | None = None,
    shown: Callable[[Detections], NDArray[np.bool_]] | None = None,
    margin: int | None = None,
    **settings: Any,
) -> Iterator[FrameErrors]:
    """The errors of each window, in order, as `estimate_errors` gives them for whole videos.

    windows: consecutive frames, some hundred each; several videos may share a window, and a video that a window does
    not hold has ended. A window is answered once the `margin` frames after it are known or its videos have ended.
    calibration: needed in calibrated mode, with the ranks of all scores. shown: the boxes of a window that are
    displayed, all if None. settings: those of `estimate_errors`.

    margin: frames before and after a window that are looked at with it. The default, 6k + the tracker's reach, is all
    that a frame's expectation depends on, so calibrated mode answers as for the whole video (whether a video is too
    slow for links each window finds for itself). A cut has no such limit: its labels may differ where more than
    `margin` frames matter.
    """
    if mode == "calibrated" and calibration is None:
        raise ValueError(
            "A stream needs a calibration, since a window knows only its own scores; "
            "give Calibration(ScoreRanks.of(chunks)) of all scores."
        )

    def estimate(detections: Detections) -> FrameErrors:
        judged = None if shown is None else shown(detections)
        return estimate_errors(detections, tracker, mode=mode, k=k, calibration=calibration, shown=judged, **settings)

    reach = (SURROUNDINGS + 1) * k + tracker.reach if margin is None else margin
    before: list[Detections] = []
    waiting: list[Detections] = []
    ended: dict[Any, int] = {}
    for window in windows:
        _check_order(window, ended)
        waiting.append(window)
        while len(waiting) > 1 and _followed(waiting, reach):
            yield _answer(before, waiting, reach, estimate)
    while waiting:
        yield _answer(before, waiting, reach, estimate)


def _check_order(window: Detections, last: dict[Any, int]) -> None:
    """Frames of a video come in ascending order; `last` keeps the latest number of each video of the window before."""
    video, number = np.asarray(window.frames.video), window.frames.number
    latest = {}
    for one in np.unique(video).tolist():
        mine = number[video == one]
        if one in last and mine.min() <= last[one]:
            raise ValueError(
                f"Frame {mine.min()} of video {one} comes after frame {last[one]}; give windows in ascending order."
            )
        latest[one] = int(mine.max())
    last.clear()
    last.update(latest)


def _followed(waiting: list[Detections], reach: int) -> bool:
    """Whether every video of the first window has ended, or `reach` frames of it have come since."""
    newest = np.unique(np.asarray(waiting[-1].frames.video))
    later = np.concatenate([np.asarray(one.frames.video) for one in waiting[1:]])
    running = np.intersect1d(np.asarray(waiting[0].frames.video), newest)
    return all(int((later == one).sum()) >= reach for one in running)


def _answer(before: list[Detections], waiting: list[Detections], reach: int, estimate: Estimate) -> FrameErrors:
    """The errors of the first waiting window, which then becomes what was before."""
    now = waiting.pop(0)
    after = [taken(one, edge(one, reach, first=True)) for one in (joined(waiting),)] if waiting else []
    whole = joined([*before, now, *after])
    frames, boxes = sum(len(one.frames) for one in before), sum(len(one) for one in before)
    errors = estimate(whole)
    past = joined([*before, now])
    before[:] = [taken(past, edge(past, reach, first=False))]
    return part_of(errors, slice(frames, frames + len(now.frames)), slice(boxes, boxes + len(now)))
