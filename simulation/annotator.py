"""An annotator that answers from ground truth, through Label Studio's own endpoints: next task, submit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ml_backend.studio.client import Studio

Task = dict[str, Any]


@dataclass(frozen=True)
class Annotator:
    """Labels one project as the token's user; `answer(task)` is the `result` of its annotation of a task."""

    studio: Studio
    project: int
    answer: Callable[[Task], list[dict[str, Any]]]

    def label(self, count: int, progress: Callable[[], object] | None = None) -> int:
        """Asks for the next task and submits, `count` times or until the queue is empty; returns how many it did."""
        for done in range(count):
            task = self.studio.next_task(self.project)
            if task is None:
                return done
            self.studio.annotate(int(task["id"]), self.answer(task), lead_time=1.0)
            if progress is not None:
                progress()
        return count
