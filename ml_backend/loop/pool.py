"""The pool and the labeled side of a project, as arrays in the order of their task ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import or_, select

from ml_backend.learners.contract import Images
from ml_backend.loop.house import House
from ml_backend.loop.overrides import served
from ml_backend.store.tables import Item, Project
from ml_backend.studio.client import Studio

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """task_id (N,) and images of what may be served; labeled_task_id (L,), labels (L,) and images of what is known."""

    task_id: Ints
    images: Images
    skipped: Ints  # positions in the pool that come last
    labeled_task_id: Ints
    labeled_images: Images
    labels: Ints
    counts: Ints  # (C,)


def read_pool(house: House, studio: Studio, project_id: int, classes: tuple[str, ...]) -> Pool:
    """Items whose image is at hand; unusable ones are left out (they stand among the project's problems), and so are
    those that a person excluded from the queue, unless they are labeled."""
    media = house.media(studio)
    index = {name: position for position, name in enumerate(classes)}
    with house.ledger.session() as session:
        session.get_one(Project, project_id)
        query = select(Item.task_id, Item.content, Item.status, Item.label)
        query = query.where(Item.project_id == project_id, Item.content.is_not(None), Item.status != "unusable")
        query = query.where(or_(Item.status == "labeled", served(project_id)))
        rows = session.execute(query.order_by(Item.task_id)).all()
    waiting = [(task, content, status) for task, content, status, _ in rows if status in ("unlabeled", "skipped")]
    known = [
        (task, content, index[label]) for task, content, status, label in rows if status == "labeled" and label in index
    ]

    def images(contents: list[str]) -> Images:
        return Images(contents, [media.path(content) for content in contents])

    labels = np.array([label for _, _, label in known], dtype=np.int64)
    return Pool(
        task_id=np.array([task for task, _, _ in waiting], dtype=np.int64),
        images=images([content or "" for _, content, _ in waiting]),
        skipped=np.array([i for i, (_, _, status) in enumerate(waiting) if status == "skipped"], dtype=np.int64),
        labeled_task_id=np.array([task for task, _, _ in known], dtype=np.int64),
        labeled_images=images([content or "" for _, content, _ in known]),
        labels=labels,
        counts=np.bincount(labels, minlength=len(classes)).astype(np.int64),
    )
