"""Plans from elsewhere: a YAML file, and Label Studio's extra_params."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_backend.loop.extra_params import AUTHOR, adopt, digest
from ml_backend.loop.house import House
from ml_backend.loop.plan import Plan, PlanError, changed_plan, plan_history, read_plan, save_plan
from ml_backend.loop.plan_file import apply_plan, parse_plan_yaml, plan_yaml, read_plan_file
from ml_backend.loop.switch import restore, switch_plan
from ml_backend.settings import Settings
from ml_backend.store.tables import Change, Problem, Project
from tests.loop.conftest import CONFIG


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[House]:
    house = House(Settings(_env_file=None, model_dir=tmp_path, redis_url="redis://127.0.0.1:1/0"))
    with house.ledger.session() as session:
        session.add(
            Project(studio_url="u", studio_id=1, key="1.1", webhook_secret="s", label_config=CONFIG, live_version="v")
        )
    yield house
    house.ledger.close()


def plans(rooms: House) -> list[tuple[int, str, Plan]]:
    """Newest first."""
    with rooms.ledger.session() as session:
        return [(row.number, row.author, Plan.model_validate(row.body)) for row in plan_history(session, 1)]


def open_problems(rooms: House) -> list[str]:
    with rooms.ledger.session() as session:
        return [row.message for row in session.query(Problem).filter(Problem.solved_at.is_(None))]


# a file


@given(
    batch=st.none() | st.integers(1, 10_000),
    control=st.floats(0, 1),
    weight=st.floats(0.001, 1000),
    cold=st.booleans(),
)
def test_what_is_exported_is_applied_as_the_same_plan(
    batch: int | None, control: float, weight: float, cold: bool
) -> None:
    changes: dict[str, Any] = {"batch": batch, "control": control, "scorers": [{"name": "entropy", "weight": weight}]}
    plan = changed_plan(Plan(), changes if cold else {**changes, "cold_start": None})
    assert parse_plan_yaml(plan_yaml(3, plan), "plan.yaml") == plan


def test_a_file_is_applied_once_and_what_it_leaves_out_has_its_default(rooms: House, tmp_path: Path) -> None:
    with rooms.ledger.session() as session:
        save_plan(session, 1, changed_plan(Plan(), {"batch": 7, "seed": 3}), author="ada")
    path = tmp_path / "plan.yaml"
    path.write_text("# ours\nscorers:\n- {name: entropy, weight: 2}\nseed: 3\n")
    changes, switched = apply_plan(rooms, 1, read_plan_file(path), author="ben", note="plan.yaml")
    assert [one.sentence for one in changes] == [
        "scorer margin: weight 1 -> off",
        "batch: 7 -> by default",
        "scorer entropy: off -> weight 2",
    ]
    assert switched is not None
    assert (switched.number, switched.kind) == (2, "rank")
    assert apply_plan(rooms, 1, read_plan_file(path), author="ben", note="again") == ([], None)
    assert [(number, author) for number, author, _ in plans(rooms)] == [(2, "ben"), (1, "ada")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scorers: [", r"plan\.yaml is no YAML: line 1"),
        ("", r"plan\.yaml holds nothing; write the plan's fields"),
        ("- margin", "holds a list"),
        ("1: 2", "a mapping with other keys than names"),
        ("batch: 0", r"plan\.yaml: batch = 0"),
        ("scorers: [{name: entrpy}]", r"plan\.yaml: .*Did you mean 'entropy'"),
        ("colour: red", "colour"),
        ("a: !!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(text: str, says: str) -> None:
    with pytest.raises(PlanError, match=says):
        parse_plan_yaml(text, "plan.yaml")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"none\.yaml cannot be read: No such file"):
        read_plan_file(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match="no text in UTF-8"):
        read_plan_file(tmp_path / "binary.yaml")


# every switch


def test_every_switch_stands_in_the_audit_once(rooms: House) -> None:
    switch_plan(rooms, 1, changed_plan(Plan(), {"batch": 33}), author="ada")
    apply_plan(rooms, 1, changed_plan(Plan(), {"batch": 44}), author="bob", note="from a file")
    restore(rooms, 1, 1, author="ada")
    with rooms.ledger.session() as session:
        assert [(row.author, row.what) for row in session.query(Change).order_by(Change.id)] == [
            ("ada", "plan 1: changed"),
            ("bob", "plan 2: from a file"),
            ("ada", "plan 3: restored from 1"),
        ]


# extra_params


def test_extra_params_become_a_version_of_the_plan_once(rooms: House) -> None:
    text = json.dumps({"batch": 33, "scorers": [{"name": "entropy"}]})
    assert (adopt(rooms, 1, text).what, adopt(rooms, 1, text).what) == ("saved", "unchanged")
    assert adopt(rooms, 1, json.loads(text)).what == "unchanged", "as an object it says the same"
    ((number, author, plan),) = plans(rooms)
    assert (number, author, plan.batch, plan.scorers[0].name) == (1, AUTHOR, 33, "entropy")
    with rooms.ledger.session() as session:
        assert [(row.author, row.what) for row in session.query(Change)] == [(AUTHOR, "plan 1: read from Label Studio")]


def test_extra_params_do_not_fight_with_changes_made_elsewhere(rooms: House) -> None:
    adopt(rooms, 1, {"batch": 33})
    with rooms.ledger.session() as session:
        save_plan(session, 1, changed_plan(Plan(), {"batch": 50}), author="ada")
    for silent in ({"batch": 33}, None, {"batch": 33}, '{"batch": 33}'):
        assert adopt(rooms, 1, silent).what == "unchanged"
    assert plans(rooms)[0][2].batch == 50
    assert adopt(rooms, 1, {"batch": 34}).what == "saved"
    assert plans(rooms)[0][2].batch == 34
    assert adopt(rooms, 1, {}).what == "empty"
    assert plans(rooms)[0][2].batch == 34, "taking the text away changes nothing"
    assert adopt(rooms, 1, {"batch": 34}).what == "same"
    assert len(plans(rooms)) == 3


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"batch": 0}, "batch = 0"),
        ('{"batch": ', "is no JSON object"),
        ([1, 2], "is no JSON object"),
        ({"threshold": 0.5}, "threshold"),
        ({"scorers": [{"name": "entrpy"}]}, "Did you mean 'entropy'"),
        ({"selector": {"name": "class_balanced", "config": {"target": {"cow": 1}}}}, "'cow'"),
    ],
)
def test_bad_extra_params_are_a_named_problem_and_change_nothing(rooms: House, params: Any, says: str) -> None:
    assert adopt(rooms, 1, params).what == "refused"
    assert adopt(rooms, 1, params).what == "unchanged"
    assert plans(rooms) == []
    (message,) = open_problems(rooms)
    assert message.startswith("The extra_params in Label Studio change nothing: ")
    assert says in message
    assert adopt(rooms, 1, {"batch": 8}).what == "saved"
    assert open_problems(rooms) == []


@settings(max_examples=40)
@given(
    params=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_has_one_digest_however_it_is_written(params: Any) -> None:
    if not isinstance(params, str):
        assert digest(json.dumps(params, indent=3)) == digest(params)


def test_the_plan_that_was_read_holds(rooms: House) -> None:
    adopt(rooms, 1, {"seed": 9})
    with rooms.ledger.session() as session:
        assert read_plan(session, 1)[1] == changed_plan(Plan(), {"seed": 9})
