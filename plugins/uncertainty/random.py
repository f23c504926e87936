"""Random: ask about any item, the baseline that every other scorer must beat."""

from __future__ import annotations

from plugins.contract import PluginConfig, Scorer, Scores
from plugins.evidence import Evidence, uniform_by_id

SALT = 0x52414E444F4D  # keeps the order apart from the jitter that breaks ties


class RandomConfig(PluginConfig):
    """Nothing to set; the order follows from the project's seed."""


class Random(Scorer[RandomConfig]):
    """values: uniform in [0, 1), a function of seed and task id alone."""

    name, title = "random", "Random"
    summary = "Any order, the same one every time; use it before the model knows something, and as the baseline."
    reference = "Steele, Lea & Flood 2014 (splitmix64)"
    needs = frozenset({"task_id"})

    def score(self, evidence: Evidence) -> Scores:
        values = uniform_by_id(evidence.task_id, evidence.seed ^ SALT)
        return Scores(values, reason=lambda _: "drawn at random, whatever the model thinks of it")
