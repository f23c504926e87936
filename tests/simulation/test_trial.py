"""A trial is the product's loop: the same as a literal one, reproducible, and resumable after any kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_backend.learners.contract import Learner
from ml_backend.store.arrays import ArrayStore, DiskFeatures
from plugins import registry
from plugins.balance.wanted import l1_score
from plugins.contract import PluginError
from plugins.uncertainty.margin import margin
from simulation.datasets import load
from simulation.datasets.contract import Dataset, DatasetConfig
from simulation.study import Study, StudyError, Trial, parse_study
from simulation.trial import Ground, Stopped, prepare, read_cycles, run_trial


def study(**condition: Any) -> Study:
    given = {"dataset": {"name": "digits"}, "initial": 40, "step": 15, "budget": 80, **condition}
    return parse_study(
        {
            "methods": {
                "random": {"scorers": [{"name": "random"}]},
                "margin": {"scorers": [{"name": "margin"}]},
                "oracle": {"scorers": [{"name": "oracle"}]},
                "covered": {"draw": "coverage", "scorers": [{"name": "random"}]},
            },
            "conditions": {"digits": given},
        }
    )


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(DatasetConfig(name="digits"))


def ground(folder: Path, digits: Dataset, method: str, seed: int = 0, **condition: Any) -> Ground:
    store = DiskFeatures(ArrayStore(str(folder / "features")))
    return prepare(study(**condition), Trial("digits", method, seed), digits, store)


def test_a_trial_is_the_literal_loop(tmp_path: Path, digits: Dataset) -> None:
    """Fit, score by the formula, take the largest, answer from ground truth: no helper of the simulation."""
    start = ground(tmp_path, digits, "margin", seed=4)
    run_trial(start, tmp_path / "run.jsonl")
    seen = read_cycles(tmp_path / "run.jsonl")
    assert [cycle.labels for cycle in seen] == [40, 55, 70, 80]

    learner: Learner[Any] = registry.make("learner", "frozen")
    learner.scope = "literal"
    store = DiskFeatures(ArrayStore(str(tmp_path / "literal")))
    labeled = sorted(start.initial.tolist())
    for cycle in seen:
        waiting = sorted(set(start.parts.pool.tolist()) - set(labeled))
        fit = learner.fit(
            digits.images.take(np.array(labeled)),
            digits.labels[labeled],
            digits.images.take(np.array(waiting)),
            digits.classes,
            store=store,
            seed=4,
        )
        predicted = learner.predict(fit.model, digits.images.take(start.parts.test), store).argmax(axis=1)
        truth = digits.labels[start.parts.test]
        assert cycle.accuracy == pytest.approx((predicted == truth).mean())
        assert cycle.per_class[3] == pytest.approx((predicted[truth == 3] == 3).mean())
        assert cycle.counts == np.bincount(digits.labels[labeled], minlength=10).tolist()
        assert cycle.balance == l1_score(np.array(cycle.counts))
        best = np.argsort(-margin(fit.probabilities), kind="stable")[: len(cycle.chosen)]
        chosen = [waiting[i] for i in best]
        assert set(cycle.chosen) == set(chosen)
        if chosen:
            right = fit.probabilities[best].argmax(axis=1) == digits.labels[chosen]
            assert cycle.informativeness == pytest.approx(right.mean())
        labeled = sorted([*labeled, *cycle.chosen])
    assert seen[-1].chosen == []
    assert seen[-1].informativeness is None
    assert set(seen[0].seconds) == {"learn", "measure", "rank"}


def test_trials_of_a_seed_start_alike_and_seeds_differ(tmp_path: Path, digits: Dataset) -> None:
    first, second = ground(tmp_path, digits, "random"), ground(tmp_path, digits, "margin")
    assert np.array_equal(first.initial, second.initial)
    assert np.array_equal(first.parts.test, second.parts.test)
    other = ground(tmp_path, digits, "random", seed=1)
    assert not np.array_equal(first.initial, other.initial)
    assert not set(first.parts.pool) & set(first.parts.test)


def test_a_killed_trial_goes_on_and_ends_the_same(tmp_path: Path, digits: Dataset) -> None:
    start = ground(tmp_path, digits, "margin")
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    run_trial(start, whole)
    run_trial(start, parts, up_to=1)
    text = parts.read_bytes()
    parts.write_bytes(text + text[: len(text) // 2])  # killed while it wrote the second line
    calls: list[float] = []

    def once(last: float) -> bool:
        calls.append(last)
        return len(calls) < 2

    with pytest.raises(Stopped):
        run_trial(start, parts, once)
    assert calls[0] > 0
    assert len(read_cycles(parts)) == 2
    run_trial(start, parts)

    def figures(path: Path) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]

    assert figures(parts) == figures(whole)


@pytest.mark.parametrize("kind", ["scorer", "selector"])
def test_every_plugin_of_ours_speaks_in_a_trial(tmp_path: Path, digits: Dataset, kind: str) -> None:
    known = {"task_id", "counts", "labels", "images", "labeled_images", "truth"}
    known |= set().union(*(getattr(one.cls, "provides", ()) for one in registry.available("learner").values()))
    known = {column for column in known if "detection" not in column}  # digits have neither boxes nor videos
    listed = registry.available(kind).items()
    ours = [
        name for name, one in listed if one.package == "nextlabel" and one.cls is not None and one.cls.needs <= known
    ]
    assert len(ours) >= 8
    for name in ours:
        chosen = {"name": name, "config": {"steps": 5} if name == "vaal" else {}}
        plan = {"scorers": [chosen]} if kind == "scorer" else {"selector": chosen}
        condition = {"dataset": {"name": "digits", "pool": 300}, "initial": 40, "step": 10, "budget": 50}
        given = parse_study({"baseline": name, "methods": {name: plan}, "conditions": {"digits": condition}})
        store = DiskFeatures(ArrayStore(str(tmp_path / name)))
        run_trial(prepare(given, Trial("digits", name, 0), digits, store), tmp_path / f"{name}.jsonl")
        first = read_cycles(tmp_path / f"{name}.jsonl")[0]
        assert len(first.chosen) == 10, name


def test_a_plugin_that_fails_stops_the_trial_by_name(tmp_path: Path, digits: Dataset, monkeypatch: Any) -> None:
    def broken(*_: Any) -> None:
        raise PluginError("no")

    monkeypatch.setattr("plugins.coverage.kmeans.KMeansCoverage.select", broken)
    plan = {"selector": {"name": "kmeans"}}
    condition = {"dataset": {"name": "digits"}, "initial": 40, "step": 10, "budget": 50}
    given = parse_study({"baseline": "kmeans", "methods": {"kmeans": plan}, "conditions": {"digits": condition}})
    store = DiskFeatures(ArrayStore(str(tmp_path / "features")))
    with pytest.raises(StudyError, match="Selector 'kmeans' sits out"):
        run_trial(prepare(given, Trial("digits", "kmeans", 0), digits, store), tmp_path / "run.jsonl")


def test_the_oracle_queries_what_the_model_gets_wrong(tmp_path: Path, digits: Dataset) -> None:
    run_trial(ground(tmp_path, digits, "oracle"), tmp_path / "run.jsonl")
    first = read_cycles(tmp_path / "run.jsonl")[0]
    assert first.informativeness == 0.0


def test_coverage_draws_every_class_sooner_than_chance(tmp_path: Path, digits: Dataset) -> None:
    def classes(method: str) -> int:
        grounds = [ground(tmp_path / method, digits, method, seed, initial=12, budget=30) for seed in range(4)]
        return sum(len(np.unique(digits.labels[start.initial])) for start in grounds)

    assert classes("covered") > classes("random")


def test_a_long_tail_starts_balanced_and_has_half_of_the_classes_cut(tmp_path: Path, digits: Dataset) -> None:
    tail = {"name": "digits", "imbalance": 0.1}
    start = ground(tmp_path, digits, "margin", dataset=tail, draw="balanced", methods=["random", "margin"])
    assert np.bincount(digits.labels[start.initial]).tolist() == [4] * 10
    left = np.bincount(digits.labels[start.parts.pool])
    assert sorted(left)[4] < 0.3 * sorted(left)[5]


def test_more_labels_than_there_are_is_refused(tmp_path: Path, digits: Dataset) -> None:
    with pytest.raises(StudyError, match="items to label and a budget of 5000"):
        ground(tmp_path, digits, "margin", budget=5000)


def test_what_detectors_know_before_is_no_matter_of_images(tmp_path: Path, digits: Dataset) -> None:
    with pytest.raises(StudyError, match="`pretrained_on`, which is for detectors"):
        ground(tmp_path, digits, "margin", pretrained_on={"name": "digits"})
