"""The hooks for label-studio-ml's own server: the same answers and the same policy as ours, behind its base class.

Written for both signatures, 1.0.9's `predict(tasks, **kwargs)` and `fit(tasks, workdir, **kwargs)` and 2.x's
`predict(tasks, context, **kwargs)` and `fit(event, data, **kwargs)`. Prefer `nextlabel serve`: that server keeps one
model object for all projects and asks for no credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from label_studio_ml.model import LabelStudioMLBase

from ml_backend.loop import events, jobs
from ml_backend.loop.answers import Answer, Answers, Asked, waiting
from ml_backend.loop.connect import project_key
from ml_backend.loop.events import Hint
from ml_backend.loop.house import House, house
from ml_backend.store.tables import Project


@lru_cache(maxsize=4)
def _answers(rooms: House) -> Answers:
    return Answers(rooms)


class NextLabelModel(LabelStudioMLBase):  # type: ignore[misc]  # the package has no types
    """Answers from the ledger; `fit` asks the worker for a training and never trains itself."""

    TRAIN_EVENTS = tuple(sorted(events.ACTIONS))  # the base class leaves START_TRAINING out
    house: Callable[[], House] = staticmethod(house)  # a test puts its own here

    def predict(self, tasks: Sequence[Mapping[str, Any]], context: Any = None, **kwargs: Any) -> list[Answer]:  # noqa: ARG002  # the base class' signature
        """One prediction per task; tasks of several projects may come together, since the server mixes them."""
        answers = _answers(self.house())
        asked = [Asked(_integer(task.get("id")), _mapping(task.get("data"))) for task in tasks]
        projects = [self._project(answers, task.get("project")) for task in tasks]
        config = self._label_config()
        found: dict[int, Answer] = {}
        for project in {each.id: each for each in projects if each is not None}.values():
            places = [i for i, each in enumerate(projects) if each is not None and each.id == project.id]
            # 1.0.9 hands over the config of whichever project asked last
            shown = config if config == project.label_config else None
            found |= zip(places, answers.answer(project, [asked[i] for i in places], shown), strict=True)
        return [found.get(i) or waiting() for i in range(len(asked))]

    def fit(self, *arguments: Any, **kwargs: Any) -> dict[str, Any]:
        """Hands the event to the policy: START_TRAINING trains, labels count, PROJECT_UPDATED never trains.

        1.0.9 gives fit(tasks, workdir, event=, data=), or only tasks from its /train; 2.x gives fit(event, data).
        """
        event, data, tasks = _arguments(arguments, kwargs)
        answers = _answers(self.house())
        if event is None:
            project = next((self._project(answers, task.get("project")) for task in tasks), None)
            return _told(project, jobs.request_cycle(self.house(), project.id, "train", "fit") if project else "")
        project = self._described(answers, _mapping(data.get("project")))
        if project is None or event not in events.ACTIONS:
            return _told(project, "ignored")
        return _told(project, events.receive(self.house(), project.id, event, _hints(data)))

    def _described(self, answers: Answers, theirs: Mapping[str, Any]) -> Project | None:
        """The project of an event; its creation tells two Label Studios with the same numbers apart."""
        try:
            return answers.project(project_key(dict(theirs)))
        except (KeyError, ValueError):
            return self._project(answers, theirs.get("id"), str(theirs.get("label_config") or ""))

    def _label_config(self) -> str | None:
        config = getattr(self, "label_config", None)
        return config if isinstance(config, str) and config else None

    def _project(self, answers: Answers, studio_id: Any, label_config: str = "") -> Project | None:
        """By Label Studio's number, which tasks and events carry; 2.x names it when it makes the model."""
        number = _integer(studio_id)
        if number is None:
            number = _integer(str(getattr(self, "project_id", "") or "").partition(".")[0])
        return answers.project_of(number, label_config or self._label_config()) if number is not None else None


def _arguments(
    arguments: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[str | None, Mapping[str, Any], list[Mapping[str, Any]]]:
    first = arguments[0] if arguments else kwargs.get("tasks", ())
    event = kwargs.get("event", first if isinstance(first, str) else None)
    data = kwargs.get("data", arguments[1] if isinstance(first, str) and len(arguments) > 1 else {})
    tasks = [] if isinstance(first, str) else [task for task in first if isinstance(task, Mapping)]
    return (str(event) if event else None), _mapping(data), tasks


def _hints(data: Mapping[str, Any]) -> list[Hint]:
    annotation = data.get("annotation") or data.get("annotations") or []
    listed = annotation if isinstance(annotation, list) else [annotation]
    return [Hint(_integer(each.get("task")), _integer(each.get("id"))) for each in listed if isinstance(each, Mapping)]


def _told(project: Project | None, what: str) -> dict[str, Any]:
    """Kept by 1.0.9 as the job's result; its next model gets it as train_output and needs nothing of it."""
    return {"project": project.key if project is not None else None, "status": what or "unknown project"}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < 2**63 else None
