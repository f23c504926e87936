"""Studies are checked before anything runs: one sentence with the culprit, and plans made of the product's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulation.command import Flags
from simulation.study import StudyError, Trial, parse_study, read_study

ROOT = Path(__file__).resolve().parents[2]


def body(**changes: Any) -> dict[str, Any]:
    return {
        "methods": {"random": {"scorers": [{"name": "random"}]}, "margin": {"scorers": [{"name": "margin"}]}},
        "conditions": {"digits": {"dataset": {"name": "digits"}, "initial": 40, "step": 30, "budget": 100}},
        **changes,
    }


def test_a_study_knows_its_trials_plans_and_schedule() -> None:
    study = parse_study(body(seeds=[3, 5], plan={"selector": {"name": "kmeans"}}))
    assert [trial.name for trial in study.trials()] == [
        "digits/random/3",
        "digits/margin/3",
        "digits/random/5",
        "digits/margin/5",
    ]
    assert study.conditions["digits"].schedule() == (40, 70, 100)
    plan = study.plan_of(Trial("digits", "margin", 5))
    assert (plan.seed, plan.batch, plan.cold_start, plan.control) == (5, 30, None, 0.0)
    assert [scorer.name for scorer in plan.scorers] == ["margin"]
    assert plan.selector.name == "kmeans"


def test_a_condition_may_have_seeds_and_methods_of_its_own() -> None:
    given = body()
    given["conditions"]["more"] = {**given["conditions"]["digits"], "seeds": 2, "methods": ["random"]}
    study = parse_study(given)
    assert study.seeds_of("digits") == (0, 1, 2, 3, 4)
    assert [trial.name for trial in study.trials() if trial.condition == "more"] == ["more/random/0", "more/random/1"]


def test_a_method_may_draw_its_first_labels_otherwise() -> None:
    given = body()
    given["methods"]["covered"] = {"draw": "coverage", "scorers": [{"name": "random"}]}
    study = parse_study(given)
    assert study.draw_of(Trial("digits", "covered", 0)) == "coverage"
    assert study.draw_of(Trial("digits", "margin", 0)) == "random"
    assert study.plan_of(Trial("digits", "covered", 0)).scorers[0].name == "random"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"baseline": "rnd"}, "the baseline 'rnd' is not a method; methods: random, margin"),
        ({"methods": {}}, "methods.*at least 1"),
        ({"methods": {"random": {"scorers": [{"name": "rnd"}]}}}, "Unknown scorer 'rnd'. Did you mean 'random'"),
        ({"methods": {"random": {"scores": []}}}, "scores.*Extra inputs"),
        ({"methods": {"../x": {}}}, r"the name '../x' must begin with a letter"),
        ({"seeds": 0}, "digits has the seeds"),
        ({"seeds": [1, 1]}, "different ones"),
        ({"seedz": 1}, "seedz"),
        ({"conditions": {"d": {"dataset": {"name": "digits"}, "initial": 40, "budget": 40}}}, "must be above"),
        ({"conditions": {"d": {"dataset": {"name": "digit"}}}}, "digit"),
        ({"conditions": {"d": {"dataset": {"name": "digits", "imbalance": 0.1}}}}, "set draw: balanced"),
        ({"conditions": {"d": {"dataset": {"name": "digits"}, "methods": ["margin"]}}}, "leaves out the baseline"),
        ({"conditions": {"d": {"dataset": {"name": "digits"}, "methods": ["random", "x"]}}}, "asks for the method 'x'"),
        ({"conditions": {"d": {"dataset": {"name": "digits"}, "learner": {"name": "frozn"}}}}, "Unknown learner"),
    ],
)
def test_bad_studies_are_refused_in_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StudyError, match=sentence) as caught:
        parse_study(body(**changes))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_study_are_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no study at"):
        read_study(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("methods: [")
    with pytest.raises(StudyError, match="not readable YAML"):
        read_study(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(StudyError, match="is list"):
        read_study(tmp_path / "list.yaml")


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_published_studies_are_valid(path: Path) -> None:
    assert list(read_study(path).trials())


def flags(**changes: Any) -> Flags:
    given = {"dataset": "digits", "methods": ("margin",), "learner": "frozen", "labels": "40:20:100", "seeds": 2}
    return Flags(**{**given, "pool": None, **changes})


def test_flags_make_a_study_with_random_order() -> None:
    study = flags(methods=("margin", "kmeans", "random")).study()
    assert list(study.methods) == ["random", "margin", "kmeans"]
    assert study.plan_of(Trial("digits", "kmeans", 0)).selector.name == "kmeans"
    assert study.conditions["digits"].schedule() == (40, 60, 80, 100)
    named = flags(learner="{name: frozen, config: {l2: 3}}").study()
    assert named.conditions["digits"].learner == {"name": "frozen", "config": {"l2": 3}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": "40:100"}, "not initial:step:budget"),
        ({"labels": "40:x:100"}, "not initial:step:budget"),
        ({"dataset": "project:x"}, "'x' is no project number"),
        ({"dataset": "minst"}, "minst"),
        ({"methods": ("magrin",)}, "Did you mean 'margin'"),
    ],
)
def test_bad_flags_are_refused_in_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(StudyError, match=sentence):
        flags(**changes).study()


def test_any_folder_names_a_condition(tmp_path: Path) -> None:
    folder = tmp_path / "données d'été"
    folder.mkdir()
    (name,) = flags(dataset=str(folder)).study().conditions
    assert name == "donn-es-d--t-"
