"""Ranking: mixing by percentile, cold start, plugins that fail, items that come last."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from rq.timeouts import JobTimeoutException

from ml_backend.loop import ranking as room
from ml_backend.loop.plan import Plan, changed_plan
from ml_backend.loop.ranking import RankingError, rank
from ml_backend.settings import Settings
from plugins import registry
from plugins.calling import Door
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


class _Hangs(Scorer[PluginConfig]):
    name, title, summary, reference = "hangs", "Hangs", "Never answers.", "none"

    def score(self, evidence: Evidence) -> Scores:
        FREED.wait()
        return Scores(np.zeros(len(evidence)), str)


class _Stalls(Selector[PluginConfig]):
    name, title, summary, reference = "stalls", "Stalls", "Never answers.", "none"

    def select(self, evidence: Evidence, values: object, budget: int) -> Selection:
        FREED.wait()
        return Selection(np.arange(budget))


class _Wide(Scorer[PluginConfig]):
    name, title, summary, reference = "wide", "Wide", "The wrong shape.", "none"

    def score(self, evidence: Evidence) -> Scores:
        return Scores(np.zeros((len(evidence), 2)), str)


class _Looks(Scorer[PluginConfig]):
    name, title, summary, reference = "looks", "Looks", "Reads pictures.", "none"
    needs = frozenset({"images"})

    def score(self, evidence: Evidence) -> Scores:
        return Scores(evidence.images.mean(axis=(1, 2, 3)), str)


class _Mute(Scorer[PluginConfig]):
    name, title, summary, reference = "mute", "Mute", "Has values, a note and no reasons.", "none"

    def score(self, evidence: Evidence) -> Scores:
        def reason(item: int) -> str:
            raise KeyError(item)

        return Scores(np.zeros(len(evidence)), reason, notes=("All items are equal.",))


class _Mumbles(_Mute):
    name = "mumbles"


class _Quits(Scorer[PluginConfig]):
    name, title, summary, reference = "quits", "Quits", "Ends the process.", "none"

    def score(self, evidence: Evidence) -> Scores:
        raise SystemExit(3)


FREED = threading.Event()  # set when the tests are over, so that no thread outlives them
STRANGERS = (_Raises, _NotANumber, _Greedy, _Hangs, _Stalls, _Wide, _Looks, _Mute, _Mumbles, _Quits)


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Badly behaved plugins beside the real ones."""
    real = registry.plugin_class
    own = {stranger.name: stranger for stranger in STRANGERS}
    monkeypatch.setattr(registry, "plugin_class", lambda kind, name: own.get(name) or real(kind, name))
    FREED.clear()
    yield
    FREED.set()


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of a second for each call."""
    monkeypatch.setattr(room, "settings", lambda: Settings(plugin_seconds=0.2))


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


@pytest.mark.usefixtures("strangers", "hurry")
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("hangs", r"did not answer within 0\.2 s; raise NEXTLABEL_PLUGIN_SECONDS"),
        ("wide", r"values of shape \(200, 2\) for a pool of 200"),
        ("looks", "'looks' needs the evidence column 'images', which this cycle does not have"),
        ("quits", r"tried to end the process \(SystemExit\(3\)\)"),
    ],
)
def test_the_others_go_on_without_a_plugin_that(name: str, fault: str) -> None:
    plan = changed_plan(SCORED, {"scorers": [{"name": name}, {"name": "random"}]})
    ranking = rank(evidence(), plan, labels=36)
    assert [column.name for column in ranking.columns] == ["random"]
    assert list(ranking.problems) == [name]
    with pytest.raises(RankingError, match=f"Scorer '{name}' sits out: .*{fault}"):
        rank(evidence(), changed_plan(plan, {"scorers": [{"name": name}]}), labels=36)


@pytest.mark.usefixtures("strangers", "hurry")
def test_a_selector_that_hangs_leaves_the_order_of_value() -> None:
    plan = changed_plan(SCORED, {"selector": {"name": "stalls"}})
    ranking = rank(evidence(), plan, labels=36)
    assert ranking.order.tolist() == rank(evidence(), SCORED, labels=36).order.tolist()
    assert ranking.notes == (ranking.problems["stalls"],)
    assert "in order of value: Selector 'stalls' did not answer within 0.2 s" in ranking.problems["stalls"]


def test_a_plugin_without_a_reason_keeps_its_place_and_says_so(strangers: None) -> None:
    plan = changed_plan(SCORED, {"scorers": [{"name": "mute"}, {"name": "mumbles"}]})
    ranking = rank(evidence(), plan, labels=36)
    assert ranking.reason(0).startswith("Scorer 'mute' has no reason to give: ")
    assert ranking.notes == ("All items are equal.",), "once each"


def test_the_end_of_the_whole_job_is_no_fault_of_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    def struck(*_: object, **__: object) -> None:
        raise JobTimeoutException("the job took too long")

    for call in ("score", "select"):
        with monkeypatch.context() as patch:
            patch.setattr(Door, call, struck)
            with pytest.raises(JobTimeoutException):
                rank(evidence(), SCORED, labels=36)


def test_a_trace_tells_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "settings", lambda: Settings(trace=True))
    with structlog.testing.capture_logs() as logs:
        rank(evidence(), SCORED, labels=36)
    calls = [line for line in logs if line["event"] == "plugin_call" and line["log_level"] == "info"]
    assert [(line["kind"], line["plugin"], line["items"]) for line in calls] == [
        ("scorer", "margin", 200),
        ("selector", "top", 200),
    ]
    assert calls[0]["read"] == "probabilities (200, 4)"
    assert calls[0]["gave"].startswith("values (200,) from ")
    assert calls[1]["gave"] == "order (32,)"
    assert all(line["seconds"] >= 0 for line in calls)


def test_a_trace_is_seen_at_any_log_level() -> None:
    assert Settings(trace=True, log_level="ERROR").log_level == "INFO"
    assert Settings(trace=True, log_level="DEBUG").log_level == "DEBUG"
    assert Settings(log_level="ERROR").log_level == "ERROR"


class _Draws(_Mute):
    name = "draws"

    def score(self, evidence: Evidence) -> Scores:
        def drawing(item: int) -> dict[str, object]:
            if item % 2:
                raise KeyError(item)
            return {"boxes": [item]}

        return Scores(np.zeros(len(evidence)), str, drawing=drawing)


def test_what_a_plugin_draws_is_kept_and_what_it_cannot_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = registry.plugin_class
    monkeypatch.setattr(registry, "plugin_class", lambda kind, name: _Draws if name == "draws" else real(kind, name))
    ranking = rank(evidence(20), changed_plan(SCORED, {"scorers": [{"name": "draws"}]}), labels=36)
    for place, item in enumerate(ranking.order.tolist()):
        drawn = ranking.detail(place)["draws"]
        assert drawn.get("drawing") == (None if item % 2 else {"boxes": [item]})
