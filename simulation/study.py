"""A study: conditions (data, learner, budget) x methods (plans) x seeds; from YAML or flags, checked before it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ml_backend.loop.plan import Plan, PlanError, parse_plan
from simulation.datasets.contract import DatasetConfig

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$"  # a folder's name


class StudyError(ValueError):
    """A study that cannot run; the message is one sentence with the culprit and the remedy."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Draw = Literal["random", "balanced", "coverage"]


class Method(BaseModel):
    """Changes to the plan (any of its fields), and how the initial labels are drawn if not as the condition says."""

    model_config = ConfigDict(extra="allow", frozen=True)

    draw: Draw | None = Field(None, description="How this method's initial labels are drawn; null: as the condition.")

    @property
    def changes(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Condition(_Part):
    """What the methods are compared on."""

    dataset: DatasetConfig = Field(description="Where images and answers come from.")
    learner: dict[str, Any] = Field(
        default_factory=lambda: {"name": "frozen"}, description="The plan's learner: its name and its settings."
    )
    pretrained_on: DatasetConfig | None = Field(
        None,
        description="Of detectors: data that it has learned before the first training, once for all seeds, as a "
        "stand-in for published weights. Null: training begins where the learner's settings say.",
    )
    initial: int = Field(100, ge=2, description="Labels before the first training.")
    draw: Draw = Field(
        "random",
        description="How the initial labels are drawn. balanced: equal counts per class; coverage: by the plan's cold "
        "start selector (k-means), which knows no label.",
    )
    step: int = Field(50, ge=1, description="Labels between trainings; fewer costs more trainings.")
    budget: int = Field(1000, ge=3, description="Labels at the last training.")
    seeds: int | tuple[int, ...] | None = Field(None, description="As the study's, for this condition alone.")
    methods: tuple[str, ...] | None = Field(None, description="Names of the methods to run here; null: all.")

    @model_validator(mode="after")
    def _grows(self) -> Condition:
        if self.budget <= self.initial:
            raise ValueError(f"the budget ({self.budget} labels) must be above the initial labels ({self.initial})")
        return self

    def schedule(self) -> tuple[int, ...]:
        """Labels at each training.

        >>> from simulation.datasets.contract import DatasetConfig
        >>> Condition(dataset=DatasetConfig(name="digits"), initial=40, step=50, budget=150).schedule()
        (40, 90, 140, 150)
        """
        return (*range(self.initial, self.budget, self.step), self.budget)


class Study(_Part):
    """Everything that decides the figures."""

    title: str = Field("A study", description="Stands above the report.")
    baseline: str = Field("random", description="The method that the others are compared with.")
    seeds: int | tuple[int, ...] = Field(5, description="How many runs of each method, or which seeds.")
    plan: dict[str, Any] = Field(default_factory=dict, description="Changes to the default plan for all methods.")
    methods: dict[str, Method] = Field(description="Name -> changes to the plan.", min_length=1)
    conditions: dict[str, Condition] = Field(description="Name -> what the methods are compared on.", min_length=1)

    @field_validator("methods", "conditions")
    @classmethod
    def _names(cls, named: dict[str, Any]) -> dict[str, Any]:
        for name in named:
            if not re.match(NAME, name):
                raise ValueError(f"the name '{name}' must begin with a letter or digit and hold letters, digits, _.+-")
        return named

    @model_validator(mode="after")
    def _complete(self) -> Study:
        if self.baseline not in self.methods:
            raise ValueError(f"the baseline '{self.baseline}' is not a method; methods: {', '.join(self.methods)}")
        for name, condition in self.conditions.items():
            unknown = sorted(set(condition.methods or ()) - set(self.methods))
            if unknown:
                raise ValueError(f"{name} asks for the method '{unknown[0]}'; methods: {', '.join(self.methods)}")
            if condition.methods and self.baseline not in condition.methods:
                raise ValueError(f"{name} leaves out the baseline '{self.baseline}', without which nothing is compared")
            for method in self.methods_of(name):
                self._check_plan(Trial(name, method, 0))
            drawn = {self.draw_of(Trial(name, method, 0)) for method in self.methods_of(name)}
            if condition.dataset.imbalance is not None and drawn != {"balanced"}:
                raise ValueError(f"{name} has a long tail, which begins with balanced labels; set draw: balanced")
            seeds = self.seeds_of(name)
            if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
                raise ValueError(f"{name} has the seeds {seeds}; give different ones from 0, at least one")
        return self

    def _check_plan(self, trial: Trial) -> None:
        try:
            self.plan_of(trial)
        except PlanError as error:
            raise ValueError(f"the plan of '{trial.method}' on {trial.condition}: {error}") from None

    def methods_of(self, condition: str) -> tuple[str, ...]:
        return self.conditions[condition].methods or tuple(self.methods)

    def seeds_of(self, condition: str) -> tuple[int, ...]:
        own = self.conditions[condition].seeds
        seeds = self.seeds if own is None else own
        return tuple(range(seeds)) if isinstance(seeds, int) else seeds

    def trials(self) -> Iterator[Trial]:
        """Seed by seed, so that an unfinished study is paired as far as it goes."""
        for condition in self.conditions:
            for seed in self.seeds_of(condition):
                for method in self.methods_of(condition):
                    yield Trial(condition, method, seed)

    def draw_of(self, trial: Trial) -> Draw:
        """How the initial labels of a trial are drawn."""
        return self.methods[trial.method].draw or self.conditions[trial.condition].draw

    def plan_of(self, trial: Trial) -> Plan:
        """The plan of a trial: the product's default, less the cold start and the control arm unless the study asks."""
        condition = self.conditions[trial.condition]
        base = {"cold_start": None, "control": 0.0, "batch": condition.step, "learner": condition.learner}
        return parse_plan({**base, **self.plan, **self.methods[trial.method].changes, "seed": trial.seed})


@dataclass(frozen=True, order=True)
class Trial:
    """One run: a method on a condition under a seed."""

    condition: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.condition}/{self.method}/{self.seed}"


def parse_study(body: Any) -> Study:
    """A validated study, or StudyError naming the first bad field."""
    if not isinstance(body, dict):
        raise StudyError(f"A study is a mapping with methods and conditions; this is {type(body).__name__}.")
    try:
        return Study.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "study"
        given = "" if isinstance(first["input"], dict | Study) else f" = {first['input']!r}"
        said = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise StudyError(f"{where}{given}: {said}.") from None


def read_study(path: Path) -> Study:
    """A study from a YAML file."""
    try:
        return parse_study(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StudyError(f"There is no study at {path}; docs/studies has examples.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StudyError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
