"""Two plans side by side: every setting that differs, and none that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.loop.plan import Plan, PlanError, changed_plan, parse_plan, save_plan
from ml_backend.loop.plan_diff import diff_versions, flat, plan_differences
from ml_backend.store.ledger import Ledger
from ml_backend.store.tables import Project


def words(old: Plan, **changes: object) -> list[str]:
    return [difference.sentence for difference in plan_differences(old, changed_plan(old, changes))]


def test_each_kind_of_change_in_words() -> None:
    two = changed_plan(Plan(), {"scorers": [{"name": "margin"}, {"name": "entropy", "weight": 2}]})
    assert words(Plan(), batch=80, show_predictions=False) == [
        "batch: by default -> 80",
        "show_predictions: on -> off",
    ]
    assert words(two, scorers=[{"name": "entropy", "weight": 3}]) == [
        "scorer margin: weight 1 -> off",
        "scorer entropy: weight 2 -> weight 3",
    ]
    assert words(Plan(), cold_start=None)[0] == "cold_start: on -> off"
    assert words(Plan(), policy={"minutes": 20}) == ["policy.minutes: 10 -> 20"]
    assert words(two, scorers=[{"name": "margin"}, {"name": "entropy", "weight": 2, "config": {"temperature": 3}}]) == [
        "scorer entropy, temperature: 1 -> 3"
    ]
    switched = words(Plan(), selector={"name": "class_balanced", "config": {"target": {"cat": 0.7, "dog": 0.3}}})
    assert switched[0] == "selector: top -> class_balanced"
    assert "selector class_balanced, target: by default -> cat 0.7, dog 0.3" in switched


def test_a_setting_that_is_written_out_at_its_default_is_no_difference() -> None:
    spelled = changed_plan(Plan(), {"scorers": [{"name": "entropy", "config": {"temperature": 1.0}}]})
    assert plan_differences(changed_plan(Plan(), {"scorers": [{"name": "entropy"}]}), spelled) == []


@given(
    batch=st.none() | st.integers(1, 500),
    control=st.floats(0, 1),
    seed=st.integers(0, 9),
    names=st.lists(st.sampled_from(["margin", "entropy", "random"]), min_size=1, unique=True),
)
def test_a_plan_differs_from_another_exactly_where_their_settings_do(
    batch: int | None, control: float, seed: int, names: list[str]
) -> None:
    changes = {"batch": batch, "control": control, "seed": seed, "scorers": [{"name": name} for name in names]}
    other = changed_plan(Plan(), changes)
    assert plan_differences(other, other) == []
    there, back = plan_differences(Plan(), other), plan_differences(other, Plan())
    assert {(one.setting, str(one.old), str(one.new)) for one in there} == {
        (one.setting, str(one.new), str(one.old)) for one in back
    }
    before, after = flat(Plan()), flat(other)
    told = {one.setting for one in there}
    for name in before.keys() | after.keys():
        differs = before.get(name) != after.get(name)
        assert (name in told) == (differs and not (name.startswith("scorer") and ", " in name)), name


def test_versions_of_a_project_and_a_plugin_that_is_gone(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    with ledger.session() as session:
        session.add(Project(studio_url="u", studio_id=1, key="1.1", webhook_secret="s"))
        session.flush()
        save_plan(session, 1, changed_plan(Plan(), {"seed": 4}), author="ada")
        gone = {**Plan().model_dump(mode="json"), "selector": {"name": "gone", "config": {"k": 2}}}
        save_plan(session, 1, parse_plan(gone, saved=True), author="ada")
        assert [one.sentence for one in diff_versions(session, 1, 0, 1)] == ["seed: 0 -> 4"]
        assert [one.sentence for one in diff_versions(session, 1, 1, 2)] == [
            "selector: top -> gone",
            "seed: 4 -> 0",
            "selector gone, k: by default -> 2",
        ]
        with pytest.raises(PlanError, match="Plan 7 does not exist; saved plans: 2, 1, and 0"):
            diff_versions(session, 1, 7, 1)
    ledger.close()
