"""Every registered plugin passes the contract suite, and the suite catches plugins that break it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import Field

from plugins import conformance
from plugins.conformance import every_plugin, scorers, selectors, suite
from plugins.contract import FloatArray, Plugin, PluginConfig, Scorer, Scores, Selection, Selector
from plugins.evidence import Evidence
from plugins.registry import available, make

CHEAP: dict[str, dict[str, Any]] = {"vaal": {"steps": 2, "batch": 8, "latent": 4}}  # settings where defaults take long


def ready(kind: str) -> list[Any]:
    return [make(kind, name, CHEAP.get(name)) for name in available(kind)]


def everything() -> list[type[Plugin[Any]]]:
    kinds = ("scorer", "selector", "learner")
    return [listing.cls for kind in kinds for listing in available(kind).values() if listing.cls]


def by_name(item: Any) -> str:
    return str(getattr(item, "name", None) or item.__name__)


@pytest.mark.parametrize("scorer", ready("scorer"), ids=by_name)
@pytest.mark.parametrize("check", conformance.SCORER_CHECKS, ids=by_name)
def test_scorer(check: Callable[[Scorer[Any]], None], scorer: Scorer[Any]) -> None:
    conformance.run(check, scorer)


@pytest.mark.parametrize("selector", ready("selector"), ids=by_name)
@pytest.mark.parametrize("check", conformance.SELECTOR_CHECKS, ids=by_name)
def test_selector(check: Callable[[Selector[Any]], None], selector: Selector[Any]) -> None:
    conformance.run(check, selector)


@pytest.mark.parametrize("plugin", everything(), ids=by_name)
@pytest.mark.parametrize("check", conformance.PLUGIN_CHECKS, ids=by_name)
def test_plugin(check: Callable[[type[Plugin[Any]]], None], plugin: type[Plugin[Any]]) -> None:
    conformance.run(check, plugin)


Values = Callable[[Evidence], FloatArray]


def scorer_of(values: Values, reason: Callable[[int], str] = str, needs: tuple[str, ...] = ()) -> Scorer[Any]:
    class Stranger(Scorer[PluginConfig]):
        """Somebody's."""

        name, title, summary, reference = "stranger", "Stranger", "Does something.", "none"

        def score(self, evidence: Evidence) -> Scores:
            return Scores(values(evidence), reason=reason)

    Stranger.needs = frozenset(needs)
    return Stranger()


def greedy_memory(evidence: Evidence) -> FloatArray:
    return np.asarray(np.zeros((len(evidence), 40)).sum(axis=1))


def one_per_call(evidence: Evidence, calls: list[int] = []) -> FloatArray:  # noqa: B006  # it remembers, which is the fault
    calls.append(1)
    return np.full(len(evidence), float(len(calls)))


@pytest.mark.parametrize(
    ("check", "scorer", "fault"),
    [
        (scorers.scores_pools_of_any_size, scorer_of(lambda e: np.zeros((len(e), 1))), r"shape \(0, 1\) for 0"),
        (scorers.scores_pools_of_any_size, scorer_of(lambda e: np.full(len(e), np.inf)), "not finite"),
        (scorers.scores_pools_of_any_size, scorer_of(lambda e: np.zeros(len(e)), lambda _: "a\nb"), "not one line"),
        (scorers.scores_are_repeatable_under_any_seed, scorer_of(one_per_call), "two answers"),
        (scorers.scores_ignore_the_pool_order, scorer_of(lambda e: np.arange(len(e)) * 1.0), "order of the pool"),
        (
            scorers.scores_report_what_is_not_finite,
            scorer_of(lambda e: e.probabilities.argmax(axis=1) * 1.0, needs=("probabilities",)),
            "NaN in 'probabilities' went unnoticed",
        ),
        (scorers.scores_in_bounded_memory, scorer_of(greedy_memory), "times the evidence"),
    ],
)
def test_the_suite_catches_a_scorer(check: Callable[[Scorer[Any]], None], scorer: Scorer[Any], fault: str) -> None:
    with pytest.raises(conformance.BrokenContractError, match=f"'stranger' does not pass {check.__name__}: .*{fault}"):
        conformance.run(check, scorer)


class First(Selector[PluginConfig]):
    """Takes what comes first."""

    name, title, summary, reference = "first", "First", "The first ones.", "none"

    def select(self, evidence: Evidence, values: FloatArray, budget: int) -> Selection:
        return Selection(np.arange(min(budget, len(values))))


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        (selectors.selects_repeatably_whatever_the_pool_order, "order of the pool"),
        (selectors.selects_among_ties_by_the_seed, "ties the same way"),
        (selectors.selects_by_finite_values_only, "went unnoticed"),
    ],
)
def test_the_suite_catches_a_selector(check: Callable[[Selector[Any]], None], fault: str) -> None:
    with pytest.raises(conformance.BrokenContractError, match=fault):
        conformance.run(check, First())


class Undocumented(PluginConfig):
    """One setting."""

    size: int = Field(3, ge=1, description="How large")


class Unbounded(PluginConfig):
    """One setting."""

    size: int | None = Field(None, ge=1, description="Side in px.")


class Mute(PluginConfig):
    """One setting."""

    size: int = Field(3, ge=1, le=5, description="The size.")


@pytest.mark.parametrize(
    ("config", "fault"),
    [(Undocumented, "full stop"), (Unbounded, "no upper bound"), (Mute, "neither unit nor consequence")],
)
def test_the_suite_catches_settings(config: type[PluginConfig], fault: str) -> None:
    class Set(First):
        """Has settings."""

    Set.Config = config
    with pytest.raises(conformance.BrokenContractError, match=fault):
        conformance.run(every_plugin.documents_its_settings, Set)


def test_the_suite_of_a_class_names_its_checks_and_takes_settings() -> None:
    names = [check.__name__ for check in suite(First)]
    assert names[:3] == ["says_what_it_is", "documents_its_settings", "works_by_default"]
    assert names[3:] == [check.__name__ for check in conformance.SELECTOR_CHECKS]
    with pytest.raises(conformance.BrokenContractError, match="'first' does not pass selects_among_ties_by_the_seed"):
        dict(zip(names, suite(First), strict=True))["selects_among_ties_by_the_seed"]()
    with pytest.raises(ValueError, match="heat"):
        suite(First, {"heat": 1})
    with pytest.raises(TypeError, match="Nothing is neither a Scorer nor a Selector"):
        suite(Nothing)


class Nothing(Plugin[PluginConfig]):
    """No kind of plugin that is called in a ranking."""
