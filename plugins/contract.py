"""The whole plugin API: a plugin is one class in one file that subclasses Scorer, Selector or Learner's base below.

A class states what it is (`name`, `title`, `summary`, `reference`), which evidence it reads (`needs`) and what can be
set (`Config`, whose field descriptions and bounds become the form, the flags and the docs).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from plugins.evidence import Evidence

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


class PluginConfig(BaseModel):
    """Base of every plugin's settings: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


ConfigT = TypeVar("ConfigT", bound=PluginConfig)


class PluginError(Exception):
    """A plugin broke its contract; the message is one sentence with the plugin, the fault and the remedy."""


@dataclass(frozen=True)
class Scores:
    """values: (N,) float64, finite, higher = label sooner; reason(i): one sentence on item i, made on demand.

    notes: sentences on the whole pool, for the person who chooses the plan. drawing(i): what a page draws over item i,
    made on demand, as JSON holds it; None where a plugin draws nothing.
    """

    values: FloatArray
    reason: Callable[[int], str]
    notes: tuple[str, ...] = ()
    drawing: Callable[[int], dict[str, Any]] | None = None


@dataclass(frozen=True)
class Selection:
    """order: (k,) distinct positions in the pool, best first, k <= budget; what the selector can prove about it.

    facts: plain numbers, strings, lists and mappings of them that the ledger keeps with the cycle and pages draw.
    """

    order: IntArray
    reason: Callable[[int], str] | None = None
    gap: float | None = None
    bound: float | None = None
    notes: tuple[str, ...] = field(default=())
    facts: Mapping[str, Any] = field(default_factory=dict)


class Plugin(ABC, Generic[ConfigT]):
    """What every plugin has; `class Entropy(Scorer[EntropyConfig])` sets Config by itself."""

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    reference: ClassVar[str]
    needs: ClassVar[frozenset[str] | set[str]] = frozenset()
    optional: ClassVar[frozenset[str] | set[str]] = frozenset()  # evidence that it reads where it is there
    harmful_below: ClassVar[float | None] = None  # accuracy under which it was measured to do worse than random order
    Config: ClassVar[type[PluginConfig]] = PluginConfig

    def __init__(self, config: ConfigT | None = None) -> None:
        self.config: ConfigT = config if config is not None else self.Config()  # type: ignore[assignment]  # the same class

    def check_classes(self, classes: tuple[str, ...]) -> None:
        """Called when a plan is saved: PluginError where the settings name a class that the project does not have."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__dict__.get("__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, PluginConfig):
                    cls.Config = argument


class Scorer(Plugin[ConfigT]):
    """Gives every pool item a value."""

    @abstractmethod
    def score(self, evidence: Evidence) -> Scores:
        """Values of all N pool items, higher = label sooner."""


class Selector(Plugin[ConfigT]):
    """Orders a batch.

    orders_all: whether it is asked for the whole pool, since what follows the batch matters and costs little.
    """

    orders_all: ClassVar[bool] = False

    @abstractmethod
    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        """At most `budget` positions of the pool, best first.

        values: (N,) those of the plan's one scorer, in its unit, or the mean percentile ranks of several.
        """
