"""The pool and the labeled side of a project where people draw boxes, as arrays in the order of their task ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import Row, or_, select, update

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from ml_backend.loop.house import House
from ml_backend.loop.overrides import served
from ml_backend.store.ledger import note_problem
from ml_backend.store.tables import Item
from ml_backend.studio.client import Studio
from ml_backend.studio.media import MediaCache
from ml_backend.studio.regions.boxes import Boxes, boxes_of
from ml_backend.studio.regions.config import BoxesConfig
from ml_backend.studio.regions.reading import RegionError

Ints = NDArray[np.int64]
TURNED = 5  # EXIF orientations from here on are shown with width and height exchanged
ORIENTATION = 0x0112


@dataclass(frozen=True, eq=False)
class Frames:
    """Of n items: size (n, 2) px, width first; video (n,) text and frame (n,) number. A lone image is its own video."""

    size: Ints
    video: NDArray[Any]
    frame: Ints


@dataclass(frozen=True, eq=False)
class BoxPool:
    """task_id (N,), images and frames of what may be served; the labeled side (L,) with people's boxes.

    in_videos: whether any item is a frame of a video.
    """

    task_id: Ints
    images: Images
    frames: Frames
    skipped: Ints  # positions in the pool that come last
    labeled_task_id: Ints
    labeled_images: Images
    labeled_frames: Frames
    boxes: LabeledBoxes
    counts: Ints  # (C,) boxes
    in_videos: bool


def read_box_pool(house: House, studio: Studio, project_id: int, config: BoxesConfig) -> BoxPool:
    """Items whose image is at hand; an answer drawn on another image than today's is named and left out."""
    media = house.media(studio)
    _measure(house, media, project_id)
    columns = (Item.task_id, Item.content, Item.status, Item.regions, Item.video, Item.frame, Item.width, Item.height)
    with house.ledger.session() as session:
        query = select(*columns).where(
            Item.project_id == project_id, Item.content.is_not(None), Item.width.is_not(None), Item.status != "unusable"
        )
        query = query.where(or_(Item.status == "labeled", served(project_id)))
        rows = session.execute(query.order_by(Item.task_id)).all()
    waiting = [row for row in rows if row.status in ("unlabeled", "skipped")]
    answered = [row for row in rows if row.status == "labeled"]
    drawn = _boxes(house, project_id, answered, config)
    known = [row for row in answered if row.task_id in drawn]
    boxes = [drawn[row.task_id] for row in known]
    label = np.concatenate([np.zeros(0, np.int64), *(each.label for each in boxes)])

    def images(chosen: Sequence[Row[Any]]) -> Images:
        return Images([row.content for row in chosen], [media.path(row.content) for row in chosen])

    return BoxPool(
        task_id=np.array([row.task_id for row in waiting], dtype=np.int64),
        images=images(waiting),
        frames=_frames(waiting),
        skipped=np.array([i for i, row in enumerate(waiting) if row.status == "skipped"], dtype=np.int64),
        labeled_task_id=np.array([row.task_id for row in known], dtype=np.int64),
        labeled_images=images(known),
        labeled_frames=_frames(known),
        boxes=LabeledBoxes(
            np.repeat(np.arange(len(boxes)), [len(each.label) for each in boxes]),
            np.concatenate([np.zeros((0, 4)), *(each.box for each in boxes)]),
            label,
        ),
        counts=np.bincount(label, minlength=len(config.classes)).astype(np.int64),
        in_videos=any(row.video is not None for row in rows),
    )


def _frames(rows: Sequence[Row[Any]]) -> Frames:
    names = [f"task {row.task_id}" if row.video is None else row.video for row in rows]
    return Frames(
        np.array([(row.width, row.height) for row in rows], dtype=np.int64).reshape(-1, 2),
        np.array(names, dtype=np.str_),
        np.array([row.frame or 1 for row in rows], dtype=np.int64),
    )


def _boxes(house: House, project_id: int, rows: Sequence[Row[Any]], config: BoxesConfig) -> dict[int, Boxes]:
    """Task -> what people drew, in px of the image as it is now."""
    drawn: dict[int, Boxes] = {}
    problems: list[tuple[int, RegionError]] = []
    for row in rows:
        try:
            drawn[row.task_id] = boxes_of({"result": row.regions or []}, config, row.width, row.height)
        except RegionError as error:
            problems.append((row.task_id, error))
    with house.ledger.session() as session:
        for task_id, problem in problems:
            note_problem(session, project_id, problem.kind, f"Task {task_id}: {problem}", task_id)
    return drawn


def _measure(house: House, media: MediaCache, project_id: int) -> None:
    """Sizes of images that came since the last time; one that cannot be read stays without and out of the pool."""
    with house.ledger.session() as session:
        query = select(Item.task_id, Item.content).where(
            Item.project_id == project_id, Item.content.is_not(None), Item.width.is_(None)
        )
        new = [(task_id, content) for task_id, content in session.execute(query) if content and media.has(content)]
    for start in range(0, len(new), 500):
        sizes = []
        for task_id, content in new[start : start + 500]:
            with Image.open(media.path(content)) as image:
                width, height = image.size
                if image.getexif().get(ORIENTATION, 1) >= TURNED:
                    width, height = height, width
            sizes.append({"project_id": project_id, "task_id": task_id, "width": width, "height": height})
        with house.ledger.session() as session:
            session.execute(update(Item), sizes)
