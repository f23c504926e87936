"""What people said of whole videos, as labels of sampled frames: boxes of tracks, or the class of a time range."""

from __future__ import annotations

import numpy as np

from ml_backend.learners.detector import LabeledBoxes
from ml_backend.loop.box_pool import BoxPool, Frames, Ints
from ml_backend.loop.pool import Pool
from ml_backend.loop.video_items import Video, Videos, frame_ids, frame_images, frame_numbers, starts
from ml_backend.studio.regions.config import TimelineConfig, TracksConfig
from ml_backend.studio.regions.timeline import ranges_of
from ml_backend.studio.regions.tracks import tracks_of

NO_RANGE = "(no range)"  # the class of frames that no range holds
SEVERAL = -1  # the label of a frame that ranges of several classes hold


def boxes_at(video: Video, config: TracksConfig) -> LabeledBoxes:
    """What people drew on the frames of a video, boxes between keyframes included; frames without one are empty.

    Raises RegionError.
    """
    item, box, label = [np.zeros(0, np.int64)], [np.zeros((0, 4))], [np.zeros(0, np.int64)]
    for track in tracks_of({"result": video.regions}, config, *video.sampled.size).tracks:
        at = np.searchsorted(video.number, track.frame)
        there = np.flatnonzero(video.number[np.minimum(at, len(video.number) - 1)] == track.frame)
        item.append(at[there])
        box.append(track.box[there])
        label.append(np.full(len(there), track.label))
    items = np.concatenate(item)
    order = np.argsort(items, kind="stable")
    return LabeledBoxes(items[order], np.concatenate(box)[order], np.concatenate(label)[order])


def box_frames(videos: Videos[LabeledBoxes], classes: int) -> BoxPool:
    """Frames of all videos, and the boxes on those of the known ones."""
    first = starts(videos.known)
    boxes = LabeledBoxes(
        np.concatenate([np.zeros(0, np.int64), *(one.item + at for one, at in zip(videos.said, first, strict=False))]),
        np.concatenate([np.zeros((0, 4)), *(one.box for one in videos.said)]),
        np.concatenate([np.zeros(0, np.int64), *(one.label for one in videos.said)]),
    )
    return BoxPool(
        task_id=frame_ids(videos.waiting),
        images=frame_images(videos.waiting),
        frames=_frames(videos.waiting),
        skipped=np.zeros(0, dtype=np.int64),
        labeled_task_id=frame_ids(videos.known),
        labeled_images=frame_images(videos.known),
        labeled_frames=_frames(videos.known),
        boxes=boxes,
        counts=np.bincount(boxes.label, minlength=classes).astype(np.int64),
        in_videos=True,
    )


def _frames(videos: list[Video]) -> Frames:
    count = [len(video.number) for video in videos]
    size = np.array([video.sampled.size for video in videos], dtype=np.int64).reshape(-1, 2)
    names = np.array([f"video {video.content[:12]}" for video in videos], dtype=np.str_)
    return Frames(np.repeat(size, count, axis=0), np.repeat(names, count), frame_numbers(videos))


def classes_at(video: Video, config: TimelineConfig) -> Ints:
    """(n,) class of each frame; the number of classes where no range holds it, SEVERAL where several classes do.

    Raises RegionError.
    """
    label = np.full(len(video.number), len(config.classes), dtype=np.int64)
    ranges = ranges_of({"result": video.regions}, config)
    for start, end, name in zip(ranges.start, ranges.end, ranges.label, strict=True):
        held = (video.number >= start) & (video.number <= end)
        label[held] = np.where(label[held] == len(config.classes), name, SEVERAL)
    return label


def class_frames(videos: Videos[Ints], classes: int) -> Pool:
    """Frames of all videos, and the class of those of the known ones; frames of several classes are left out.

    classes: with that of frames outside all ranges.
    """
    label = np.concatenate([np.zeros(0, np.int64), *videos.said])
    clear = np.flatnonzero(label != SEVERAL)
    return Pool(
        task_id=frame_ids(videos.waiting),
        images=frame_images(videos.waiting),
        skipped=np.zeros(0, dtype=np.int64),
        labeled_task_id=frame_ids(videos.known)[clear],
        labeled_images=frame_images(videos.known).take(clear),
        labels=label[clear],
        counts=np.bincount(label[clear], minlength=classes).astype(np.int64),
    )
