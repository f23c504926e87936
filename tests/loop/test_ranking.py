"""Ranking: mixing by percentile, cold start, plugins that fail, items that come last."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_backend.loop.plan import Plan, changed_plan
from ml_backend.loop.ranking import RankingError, rank
from plugins import registry
from plugins.contract import PluginConfig, Scorer, Scores, Selection, Selector
from plugins.evidence import Evidence

SCORED = Plan(cold_start=None)


def evidence(n: int = 200, c: int = 4, seed: int = 0, counts: tuple[int, ...] | None = None) -> Evidence:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(c), 9)
    return Evidence(
        {
            "task_id": rng.permutation(10 * n)[:n].astype(np.int64),
            "probabilities": rng.dirichlet(np.ones(c), n),
            "embeddings": rng.normal(size=(n, 5)).astype(np.float32),
            "labels": labels,
            "labeled_embeddings": rng.normal(size=(len(labels), 5)).astype(np.float32),
            "counts": np.array(counts) if counts else np.bincount(labels, minlength=c),
        },
        classes=tuple(f"class {i}" for i in range(c)),
    )


class _Raises(Scorer[PluginConfig]):
    name, title, summary, reference = "raises", "Raises", "Raises.", "none"

    def score(self, evidence: Evidence) -> Scores:
        raise RuntimeError("boom")


class _NotANumber(Scorer[PluginConfig]):
    name, title, summary, reference = "nan", "NaN", "NaN.", "none"

    def score(self, evidence: Evidence) -> Scores:
        return Scores(np.full(len(evidence), np.nan), lambda _: "")


class _Greedy(Selector[PluginConfig]):
    name, title, summary, reference = "greedy", "Greedy", "Gives too much.", "none"

    def select(self, evidence: Evidence, values: object, budget: int) -> Selection:
        return Selection(np.arange(budget + 1))


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three badly behaved plugins beside the real ones."""
    real = registry.plugin_class
    own = {"raises": _Raises, "nan": _NotANumber, "greedy": _Greedy}
    monkeypatch.setattr(registry, "plugin_class", lambda kind, name: own.get(name) or real(kind, name))


def test_one_scorer_orders_exactly_by_its_value() -> None:
    given_ = evidence()
    ranking = rank(given_, SCORED, labels=36)
    top2 = np.sort(given_.probabilities, axis=1)[:, -2:]
    margin = top2[:, 1] - top2[:, 0]
    assert (np.diff(margin[ranking.order]) >= 0).all()
    assert ranking.phase == "scored"
    assert set(ranking.detail(0)) == {"margin"}
    assert ranking.reason(0)


def test_two_scorers_mix_by_weighted_percentile() -> None:
    plan = changed_plan(SCORED, {"scorers": [{"name": "margin", "weight": 3}, {"name": "random", "weight": 1}]})
    given_ = evidence()
    ranking = rank(given_, plan, labels=36)
    mixed = sum(column.weight * column.percentiles for column in ranking.columns)
    assert (np.diff(np.asarray(mixed)[ranking.order]) <= 1e-12).all()


@given(seed=st.integers(0, 1000), n=st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_the_order_is_a_permutation_that_does_not_depend_on_position(seed: int, n: int) -> None:
    given_ = evidence(n, seed=seed)
    shuffle = np.random.default_rng(seed + 1).permutation(n)
    columns = {name: given_.column(name) for name in ("labels", "labeled_embeddings", "counts")}
    moved = {name: given_.column(name)[shuffle] for name in ("task_id", "probabilities", "embeddings")}
    other = Evidence({**columns, **moved}, classes=given_.classes)
    one, two = rank(given_, SCORED, labels=36), rank(other, SCORED, labels=36)
    assert sorted(one.order.tolist()) == list(range(n))
    assert given_.task_id[one.order].tolist() == other.task_id[two.order].tolist()


def test_before_two_classes_the_queue_is_random_and_says_so() -> None:
    ranking = rank(evidence(counts=(3, 0, 0, 0)), Plan(), labels=3)
    assert ranking.phase == "random"
    assert "two classes" in ranking.notes[0]
    assert "random" in ranking.reason(0)


def test_coverage_leads_until_every_class_has_a_few_labels() -> None:
    few = rank(evidence(counts=(4, 4, 3, 4)), Plan(), labels=15)
    assert few.phase == "coverage"
    assert "1 of 4 classes" in few.notes[0]
    assert rank(evidence(counts=(4, 4, 4, 4)), Plan(), labels=16).phase == "scored"
    assert rank(evidence(counts=(60, 0, 1, 0)), Plan(), labels=61).phase == "scored", "a class may not exist at all"


def test_a_plugin_that_fails_is_named_and_sits_out(strangers: None) -> None:
    plan = changed_plan(SCORED, {"scorers": [{"name": "margin"}, {"name": "raises"}, {"name": "nan"}]})
    ranking = rank(evidence(), plan, labels=36)
    assert [column.name for column in ranking.columns] == ["margin"]
    assert "boom" in ranking.problems["raises"]
    assert "nan" in ranking.problems


def test_without_any_scorer_the_ranking_fails_and_names_them(strangers: None) -> None:
    plan = changed_plan(SCORED, {"scorers": [{"name": "raises"}]})
    with pytest.raises(RankingError, match="'raises' sits out: boom"):
        rank(evidence(), plan, labels=36)


def test_a_selector_that_breaks_its_contract_is_named(strangers: None) -> None:
    ranking = rank(evidence(), changed_plan(SCORED, {"selector": {"name": "greedy"}}), labels=36)
    assert "greedy" in ranking.problems
    assert sorted(ranking.order.tolist()) == list(range(200))


def test_skipped_items_come_last() -> None:
    last = np.array([0, 5, 7])
    ranking = rank(evidence(), SCORED, labels=36, last=last)
    assert set(ranking.order[-3:].tolist()) == set(last.tolist())


def test_a_missing_column_names_plugin_column_and_learner() -> None:
    bare = Evidence(
        {"task_id": np.arange(5), "counts": np.array([9, 9])},
        classes=("a", "b"),
        providers={"frozen": ["probabilities"]},
    )
    with pytest.raises(RankingError, match=r"'margin' needs the evidence column 'probabilities'.*frozen"):
        rank(bare, SCORED, labels=18)
