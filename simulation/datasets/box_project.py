"""A connected project where people draw boxes: what they have labeled so far, as the ledger last read it."""

from __future__ import annotations

import numpy as np

from ml_backend.loop.box_pool import read_box_pool
from ml_backend.loop.house import House, house
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.question import read_any_config
from ml_backend.studio.regions.config import BoxesConfig
from simulation.datasets.boxes import BoxDataset, frames_at
from simulation.datasets.contract import DatasetConfig, DatasetError
from simulation.datasets.project import find_project


def is_of_boxes(config: DatasetConfig, rooms: House | None = None) -> bool:
    """Whether the project asks for boxes. A config that cannot be read is left to whoever loads it."""
    try:
        found = read_any_config(find_project(rooms or house(), config.project).label_config)
    except ConfigError:
        return False
    return isinstance(found, BoxesConfig)


def load_box_project(config: DatasetConfig, rooms: House | None = None) -> BoxDataset:
    """Labeled frames of the project with that number in Label Studio, in the order of task ids, and their boxes.

    Nothing is asked of Label Studio. rooms: another house than this process's own. Raises DatasetError.
    """
    rooms = rooms or house()
    project = find_project(rooms, config.project)
    asked = read_any_config(project.label_config)
    if not isinstance(asked, BoxesConfig):
        raise DatasetError(f"Project {project.studio_id} asks for no boxes on images.")
    studio = rooms.studio(project)
    try:
        pool = read_box_pool(rooms, studio, project.id, asked)
    finally:
        studio.close()
    here = np.flatnonzero([path.is_file() for path in pool.labeled_images.paths])
    if len(here) < 2:
        raise DatasetError(
            f"Project {project.studio_id} ('{project.title}') has {len(here)} labeled images at hand; label more, or "
            "let `nextlabel train` fetch them."
        )
    note = f"Boxes that people drew in '{project.title}', as last read; {len(pool.task_id)} unlabeled items left out"
    if len(here) < len(pool.labeled_task_id):
        note += f", and {len(pool.labeled_task_id) - len(here)} labeled ones whose image is not at hand"
    return BoxDataset(
        f"project-{project.studio_id}",
        pool.labeled_images.take(here),
        frames_at(pool.labeled_frames, here),
        pool.boxes.of(here),
        asked.classes,
        None,
        pool.in_videos,
        f"{note}.",
    )
