"""An annotator that answers from ground truth, through Label Studio's own endpoints: next task, submit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ml_backend.studio.client import Studio
from ml_backend.studio.labels import ImageClassification

Task = dict[str, Any]


@dataclass(frozen=True)
class Annotator:
    """Labels one project as the token's user; `truth(task)` is the answer of a task."""

    studio: Studio
    project: int
    config: ImageClassification
    truth: Callable[[Task], str]

    def label(self, count: int, progress: Callable[[], object] | None = None) -> int:
        """Asks for the next task and submits, `count` times or until the queue is empty; returns how many it did."""
        for done in range(count):
            task = self.studio.next_task(self.project)
            if task is None:
                return done
            choice = {
                "from_name": self.config.from_name,
                "to_name": self.config.to_name,
                "type": "choices",
                "value": {"choices": [self.truth(task)]},
            }
            self.studio.annotate(int(task["id"]), [choice], lead_time=1.0)
            if progress is not None:
                progress()
        return count
