"""Doctor's checks of our own side: Redis, workers, ledger, disk, open problems; Label Studio's are in studio.doctor."""

from __future__ import annotations

import shutil
from urllib.parse import urlsplit

from redis.exceptions import RedisError
from rq import Worker
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.loop.house import House
from ml_backend.store.ledger import newest_cycle, publication
from ml_backend.store.tables import Cycle, Item, Problem, Project, PublishedItem
from ml_backend.studio.allowed_hosts import AllowedHosts
from ml_backend.studio.client import StudioError
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.doctor import Check, studio_checks
from ml_backend.studio.question import read_question
from ml_backend.studio.regions.label_map import LabelMapError, map_labels

FREE_GIB = 2.0


def house_checks(house: House) -> list[Check]:
    """Redis, workers, ledger and disk of this installation."""
    return [_redis(house), _workers(house), _ledger(house), _disk(house)]


def project_checks(house: House, project_id: int) -> list[Check]:
    """Label Studio's side of a project, then what the ledger says of its last cycle and problems."""
    with house.ledger.session() as session:
        project = session.get_one(Project, project_id)
        live = publication(session, project_id, project.live_version)
        head: list[int] = []
        if live is not None:
            query = select(PublishedItem.task_id).join(
                Item, (Item.task_id == PublishedItem.task_id) & (Item.project_id == project_id)
            )
            query = query.where(PublishedItem.publication_id == live.id, Item.status == "unlabeled")
            head = list(session.scalars(query.order_by(PublishedItem.rank)))
    studio = house.studio(project)
    try:
        theirs = studio_checks(
            studio,
            project.studio_id,
            backend_url=house.settings.backend_url,
            secret=project.webhook_secret,
            live_version=project.live_version,
            head=head,
            local_root=house.settings.local_files_document_root,
            hosts=AllowedHosts.parse(house.settings.media_hosts),
        )
    except StudioError as error:
        theirs = [Check("Label Studio", False, str(error), "Start it, or connect again with the right URL and token.")]
    finally:
        studio.close()
    return [
        *theirs,
        _last_cycle(house, project_id),
        _features(house, project_id),
        *_labels(house, project_id),
        _problems(house, project_id),
    ]


def _redis(house: House) -> Check:
    parts = urlsplit(house.settings.redis_url)
    where = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # never the password
    try:
        version = house.redis.info("server")["redis_version"]
    except RedisError as error:
        remedy = "Start Redis, or set REDIS_URL to one that runs; events are kept in the ledger meanwhile."
        return Check("Redis", False, f"{where}: {error}", remedy)
    return Check("Redis", True, f"{version} at {where}", "")


def _workers(house: House) -> Check:
    try:
        workers = [w for w in Worker.all(connection=house.redis) if house.settings.queue_prefix in w.queue_names()]
        waiting = house.queue.count
    except RedisError as error:
        return Check("Workers", None, f"unknown: {error}", "Redis first.")
    if not workers:
        return Check("Workers", False, f"none; {waiting} jobs wait", "Start one with `nextlabel worker`.")
    return Check("Workers", True, f"{len(workers)} at work, {waiting} jobs wait", "")


def _ledger(house: House) -> Check:
    try:
        with house.ledger.session() as session:
            projects = session.scalar(select(func.count()).select_from(Project)) or 0
    except SQLAlchemyError as error:
        return Check("Ledger", False, str(error).splitlines()[0], "Check DATABASE_URL or the rights on MODEL_DIR.")
    return Check("Ledger", True, f"{house.ledger.engine.dialect.name}, {projects} projects", "")


def _disk(house: House) -> Check:
    folder = house.settings.model_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free / 2**30
    remedy = f"Free space on the disk of {folder}, or move MODEL_DIR."
    return Check("Disk", free > FREE_GIB, f"{free:.1f} GiB free", "" if free > FREE_GIB else remedy)


def _last_cycle(house: House, project_id: int) -> Check:
    with house.ledger.session() as session:
        cycle = newest_cycle(session, project_id)
    if cycle is None:
        return Check("Last cycle", False, "none yet", "Run `nextlabel train`.")
    if cycle.status == "failed":
        remedy = "It is tried again by itself; mend the cause it names."
        return Check("Last cycle", False, f"cycle {cycle.number} failed: {cycle.error}", remedy)
    return Check("Last cycle", True, f"cycle {cycle.number} ({cycle.kind}) is {cycle.status}", "")


def _features(house: House, project_id: int) -> Check:
    with house.ledger.session() as session:
        query = select(Cycle.features).where(Cycle.project_id == project_id, Cycle.features != "")
        features = session.scalar(query.order_by(Cycle.number.desc()).limit(1))
    if features is None:
        return Check("Features", None, "no training yet", "Label items of two classes.")
    return Check("Features", True, features, "")


def _labels(house: House, project_id: int) -> list[Check]:
    """The detector's classes beside the config's labels; nothing where no detector was trained."""
    with house.ledger.session() as session:
        query = select(Cycle.metrics).where(Cycle.project_id == project_id, Cycle.evidence_cycle == Cycle.number)
        metrics = session.scalar(query.order_by(Cycle.number.desc()).limit(1)) or {}
        label_config = session.get_one(Project, project_id).label_config
    if "classes" not in metrics:
        return []
    try:
        mapped = map_labels(metrics["classes"], read_question(label_config).classes)
    except ConfigError as error:
        return [Check("Labels", None, str(error), "The labeling config first.")]
    except LabelMapError as error:
        return [Check("Labels", False, str(error), "The next training learns the labels of today's config.")]
    said = ", ".join(name if name == label else f"{name} is {label}" for name, label in mapped.items())
    return [Check("Labels", True, f"the detector and the config agree: {said}", "")]


def _problems(house: House, project_id: int) -> Check:
    with house.ledger.session() as session:
        query = select(Problem.kind, func.count()).where(Problem.project_id == project_id, Problem.solved_at.is_(None))
        counted = [(kind, n) for kind, n in session.execute(query.group_by(Problem.kind)).all()]
    if not counted:
        return Check("Problems", True, "none", "")
    listed = ", ".join(f"{n} x {kind}" for kind, n in sorted(counted))
    return Check("Problems", False, listed, "`nextlabel problems` lists each with its remedy.")
