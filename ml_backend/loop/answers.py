"""What /predict says about tasks: the live ranking where it holds them, else an inference within a bound of time."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import structlog
from numpy.typing import NDArray
from sqlalchemy import select

from ml_backend.learners.contract import Images, Learner
from ml_backend.loop.house import House
from ml_backend.loop.learning import make_learner, model_key
from ml_backend.loop.plan import Plan, parse_plan
from ml_backend.loop.predicted import predicted_result
from ml_backend.loop.publish import ranking_key
from ml_backend.store.arrays import Arrays
from ml_backend.store.ledger import project_by_key, publication
from ml_backend.store.tables import Cycle, Item, PlanVersion, Project
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.labels import ImageClassification
from ml_backend.studio.media import MediaCache
from ml_backend.studio.question import Question, read_question

log = structlog.get_logger()

Answer = dict[str, Any]
T = TypeVar("T")

WAITING = "nextlabel-waiting"  # version of an answer without a result: never live, so that it is asked for again
BEHIND = 1.0  # score of what is not in the ranking, whose own scores are below 1
KEY = re.compile(r"\d{1,18}\.-?\d{1,18}", re.ASCII)
FRESH_SECONDS = 0.25  # how long another process' publication may go unseen here
CHUNK = 16  # tasks inferred together; the clock is read between chunks


@dataclass(frozen=True)
class Asked:
    """One task as Label Studio sends it."""

    task_id: int | None
    data: Mapping[str, Any]


@dataclass(frozen=True)
class LiveRanking:
    """rank: task id -> position, best first. arrays: what the predictions show, by rank (`predicted`)."""

    rank: dict[int, int]
    arrays: Arrays


@dataclass(frozen=True)
class Fitted:
    """The model behind a live version: its learner, the learner's arrays."""

    learner: Learner[Any]
    model: dict[str, NDArray[Any]]


class _Recent(Generic[T]):
    """The few values used last; thread-safe, and two threads may compute the same one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def peek(self, key: Hashable) -> T | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def get(self, key: Hashable, make: Callable[[], T | None]) -> T | None:
        """What is kept, else what `make` returns; a None is not kept."""
        value = self.peek(key)
        if value is None and (value := make()) is not None:
            self.keep(key, value)
        return value

    def keep(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


def waiting() -> Answer:
    """An answer that says nothing yet and stands behind every ranked task."""
    return {"result": [], "score": BEHIND, "model_version": WAITING}


class Answers:
    """Reads the ledger and the arrays, so that all processes answer alike; it keeps only what is immutable or brief."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._projects: _Recent[tuple[float, Project | None]] = _Recent(256)
        self._rankings: _Recent[LiveRanking] = _Recent(16)
        self._fitted: _Recent[Fitted] = _Recent(4)
        self._media: _Recent[MediaCache] = _Recent(16)
        self._predicting = threading.Lock()

    # projects

    def recent(self, key: str) -> tuple[float, Project | None] | None:
        """What is known of a project without asking the ledger, if it is fresh: (when, project or None)."""
        seen = self._projects.peek(key)
        return seen if seen is not None and time.monotonic() - seen[0] < FRESH_SECONDS else None

    def project(self, key: str) -> Project | None:
        """The connected project behind Label Studio's '<id>.<created epoch>', at most FRESH_SECONDS old."""
        if not KEY.fullmatch(key):
            return None
        seen = self.recent(key)
        if seen is None:
            with self.house.ledger.session() as session:
                seen = (time.monotonic(), project_by_key(session, key))
            self._projects.keep(key, seen)
        return seen[1]

    def project_of(self, studio_id: int, label_config: str | None = None) -> Project | None:
        """The project with a number of Label Studio's; None if two Label Studios share it and the config is no help."""
        query = select(Project).where(Project.studio_id == studio_id, Project.state != "gone")
        with self.house.ledger.session() as session:
            found = list(session.scalars(query))
        if len(found) > 1:
            found = [project for project in found if project.label_config == label_config]
        return found[0] if len(found) == 1 else None

    def forget_projects(self) -> None:
        """After this process changed one, so that its next answer shows it."""
        self._projects.clear()

    # the ranking

    def has_ranking(self, project: Project | None) -> bool:
        """Whether `stored` can answer without reading from disk."""
        if project is None or project.live_version is None:
            return True
        return self._rankings.peek((project.id, project.live_version)) is not None

    def stored(self, project: Project | None, asked: Sequence[Asked], label_config: str | None) -> list[Answer | None]:
        """One answer per task from the live ranking; None where it does not hold the task."""
        ranking = self._ranking(project) if project is not None else None
        if project is None or ranking is None:
            return [None] * len(asked)
        trained, shown = _configs(project, label_config)
        answers: list[Answer | None] = []
        for task in asked:
            rank = ranking.rank.get(task.task_id) if task.task_id is not None else None
            if rank is None:
                answers.append(None)
                continue
            result = _result(trained, shown, ranking.arrays, rank)
            score = rank / len(ranking.rank)
            answers.append({"result": result, "score": score, "model_version": project.live_version})
        return answers

    def _ranking(self, project: Project) -> LiveRanking | None:
        version = project.live_version
        if version is None:
            return None
        return self._rankings.get((project.id, version), lambda: self._read_ranking(project.id, version))

    def _read_ranking(self, project_id: int, version: str) -> LiveRanking | None:
        arrays = self.house.arrays.read(ranking_key(project_id, version))
        if arrays is None:
            log.warning(
                "ranking_missing", project=project_id, version=version, remedy="the next cycle writes a new one"
            )
            return None
        ids = arrays["task_id"].tolist()
        return LiveRanking(dict(zip(ids, range(len(ids)), strict=True)), arrays)

    # inference

    def can_infer(self, project: Project | None, label_config: str | None) -> bool:
        """Whether it is worth trying: something is live and the config asks for a class.

        A detector never runs here, where people wait: the next sync brings a new frame into the ranking.
        """
        if project is None or project.live_version is None:
            return False
        return isinstance(_configs(project, label_config)[0], ImageClassification)

    def infer(
        self,
        project: Project,
        asked: Mapping[int, Asked],
        label_config: str | None,
        deadline: float,
        found: dict[int, Answer],
    ) -> None:
        """Answers tasks that the ranking does not hold into `found`, by position, until `deadline` (time.monotonic).

        Fills chunk by chunk, so that whoever stops waiting keeps what is there. An image that cannot be had, or a
        project whose queue has no model yet, gets no answer.
        """
        trained, shown = _configs(project, label_config)
        fitted = self._fit_of(project)
        if trained is None or fitted is None:
            return
        positions = list(asked)
        for start in range(0, len(positions), CHUNK):
            if time.monotonic() >= deadline:
                return
            chunk = {position: asked[position] for position in positions[start : start + CHUNK]}
            files = self._files(project, chunk, trained.data_key)
            if not files or time.monotonic() >= deadline:
                continue
            media = self._media_of(project)
            images = Images(list(files.values()), [media.path(content) for content in files.values()])
            with self._predicting:
                rows = fitted.learner.predict(fitted.model, images, self.house.features)
            for position, row in zip(files, rows, strict=True):
                result = _result(trained, shown, {"probabilities": row[None]}, 0)
                found[position] = {"result": result, "score": BEHIND, "model_version": project.live_version}

    def _media_of(self, project: Project) -> MediaCache:
        where = (project.studio_url, project.token)
        media = self._media.get(where, lambda: self.house.media(self.house.studio(project)))
        if media is None:
            raise RuntimeError(f"No media cache for {project.studio_url}.")
        return media

    def _files(self, project: Project, chunk: Mapping[int, Asked], data_key: str) -> dict[int, str]:
        """position -> SHA-256 of the image, fetched now unless the last sync has brought it."""
        media = self._media_of(project)
        urls = {p: task.data.get(data_key) for p, task in chunk.items()}
        wanted = {p: url for p, url in urls.items() if isinstance(url, str) and url}
        ids: dict[int, int] = {}
        for position in wanted:
            task_id = chunk[position].task_id
            ids[position] = -1 - position if task_id is None else task_id
        query = select(Item.task_id, Item.url, Item.content)
        query = query.where(Item.project_id == project.id, Item.task_id.in_(set(ids.values())))
        with self.house.ledger.session() as session:
            known = {(task_id, url): content for task_id, url, content in session.execute(query)}
        contents: dict[int, str] = {}
        for position, url in wanted.items():
            content = known.get((ids[position], url))
            if content is not None and media.has(content):
                contents[position] = content
        fetched = media.fetch([(ids[p], url) for p, url in wanted.items() if p not in contents])
        return contents | {p: fetched.contents[ids[p]] for p in wanted if ids[p] in fetched.contents}

    def _fit_of(self, project: Project) -> Fitted | None:
        """The model of the cycle whose evidence the live ranking stands on; None during the cold start."""
        with self.house.ledger.session() as session:
            live = publication(session, project.id, project.live_version)
            ranked = session.get(Cycle, live.cycle_id) if live is not None else None
            if ranked is None:
                return None
            query = select(Cycle).where(Cycle.project_id == project.id, Cycle.number == ranked.evidence_cycle)
            cycle = session.scalar(query)
            if cycle is None:
                return None
            saved = select(PlanVersion).where(
                PlanVersion.project_id == project.id, PlanVersion.number == cycle.plan_number
            )
            plan = session.scalar(saved)
        used = parse_plan(plan.body, saved=True) if plan is not None else Plan()
        return self._fitted.get((project.id, cycle.number), lambda: self._read_fit(project.id, cycle.number, used))

    def _read_fit(self, project_id: int, cycle: int, plan: Plan) -> Fitted | None:
        model = self.house.arrays.read(model_key(project_id, cycle))
        return None if model is None else Fitted(make_learner(plan, project_id), model)

    # both together, for callers that may block

    def answer(self, project: Project | None, asked: Sequence[Asked], label_config: str | None) -> list[Answer]:
        """One answer per task, within settings.predict_seconds or nearly so."""
        answers = self.stored(project, asked, label_config)
        missing = {position: asked[position] for position, answer in enumerate(answers) if answer is None}
        found: dict[int, Answer] = {}
        if project is not None and missing and self.can_infer(project, label_config):
            deadline = time.monotonic() + self.house.settings.predict_seconds
            self.infer(project, missing, label_config, deadline, found)
        return [answer or found.get(position) or waiting() for position, answer in enumerate(answers)]


@lru_cache(maxsize=256)
def _config(label_config: str) -> Question | None:
    try:
        return read_question(label_config)
    except ConfigError:
        return None


def _configs(project: Project, label_config: str | None) -> tuple[Question | None, Question | None]:
    """The config whose classes the model's columns are, and the one that the annotator sees now."""
    trained = _config(project.label_config)
    return trained, (_config(label_config) if label_config else trained)


def _result(trained: Question | None, shown: Question | None, arrays: Arrays, rank: int) -> list[dict[str, Any]]:
    """What the model says, in the names of the config that is shown; without labels that it does not offer."""
    if trained is None or shown is None or type(trained) is not type(shown):
        return []
    result = predicted_result(trained, arrays, rank)
    if trained == shown:
        return result
    key = "choices" if isinstance(shown, ImageClassification) else shown.label_key
    kept = [region for region in result if set(region["value"].get(key, [None])) <= set(shown.classes)]
    return [{**region, "from_name": shown.from_name, "to_name": shown.to_name} for region in kept]
