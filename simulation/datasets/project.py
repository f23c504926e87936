"""A connected project: what its people have labeled so far, as the ledger last read it."""

from __future__ import annotations

import numpy as np
from sqlalchemy import select

from ml_backend.loop.house import House, house
from ml_backend.loop.pool import read_pool
from ml_backend.store.tables import Project
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.labels import read_config
from simulation.datasets.contract import Dataset, DatasetConfig, DatasetError


def load_project(config: DatasetConfig, rooms: House | None = None) -> Dataset:
    """Labeled items of the project with that number in Label Studio, in the order of task ids, and their images.

    Nothing is asked of Label Studio. rooms: another house than this process's own.
    """
    rooms = rooms or house()
    project = find_project(rooms, config.project)
    number = project.studio_id
    try:
        classes = read_config(project.label_config).classes
    except ConfigError as error:
        raise DatasetError(f"Project {number} cannot be simulated: {error}") from error
    studio = rooms.studio(project)
    try:
        pool = read_pool(rooms, studio, project.id, classes)
    finally:
        studio.close()
    here = np.array([path.is_file() for path in pool.labeled_images.paths], dtype=bool)
    if len(np.unique(pool.labels[here])) < 2:
        raise DatasetError(
            f"Project {number} ('{project.title}') has {int(here.sum())} labeled images of less than two classes at "
            "hand; label more, or let `nextlabel train` fetch them."
        )
    note = f"Labels that people gave in '{project.title}', as last read; {len(pool.task_id)} unlabeled items left out"
    if not here.all():
        note += f", and {int((~here).sum())} labeled ones whose image is not at hand"
    return Dataset(
        f"project-{number}",
        pool.labeled_images.take(np.flatnonzero(here)),
        pool.labels[here],
        classes,
        None,
        f"{note}.",
    )


def find_project(rooms: House, number: int | None) -> Project:
    with rooms.ledger.session() as session:
        known = list(session.scalars(select(Project).order_by(Project.id)))
    found = [project for project in known if project.studio_id == number]
    found = [project for project in found if project.state != "gone"] or found  # a deleted one's labels are still known
    if len(found) != 1:
        have = ", ".join(f"{project.studio_id} ({project.title})" for project in known)
        raise DatasetError(
            f"{len(found) or 'No'} connected projects have the number {number} in Label Studio; the ledger knows "
            f"{have or 'none; `nextlabel connect` adds one'}."
        )
    return found[0]
