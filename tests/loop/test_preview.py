"""Preview: the ranking that would come, compared with the live one; nothing that lives is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_backend.loop.house import House
from ml_backend.loop.learning import evidence_key
from ml_backend.loop.overrides import set_override
from ml_backend.loop.plan import Plan, PlanError, changed_plan, save_plan
from ml_backend.loop.preview import NEXT, PreviewError, preview
from ml_backend.loop.publish import ranking_key
from ml_backend.settings import Settings
from ml_backend.store.tables import Cycle, Item, Project, Publication, Table
from tests.loop.conftest import CONFIG

N, L, C = 300, 60, 10
BASE = Plan(cold_start=None, control=0)
POOL = np.arange(1000, 1000 + N)


def probabilities() -> Any:
    return np.random.default_rng(0).dirichlet(np.full(C, 0.5), N).astype(np.float32)


def by_margin() -> list[int]:
    """The slow way: a loop and a sort."""
    tops = [sorted(row.tolist(), reverse=True)[:2] for row in probabilities()]
    return [int(POOL[i]) for i in sorted(range(N), key=lambda i: tops[i][0] - tops[i][1])]


def by_entropy() -> list[int]:
    values = [-sum(p * np.log(p) for p in row.tolist() if p > 0) for row in probabilities().astype(np.float64)]
    return [int(POOL[i]) for i in sorted(range(N), key=lambda i: -values[i])]


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[House]:
    """A project of which cycle 1 trained, under BASE, and whose queue is live by margin."""
    house = House(Settings(_env_file=None, model_dir=tmp_path, redis_url="redis://127.0.0.1:1/0"))
    rng = np.random.default_rng(1)
    house.arrays.write(
        evidence_key(1, 1),
        {
            "task_id": POOL,
            "labeled_task_id": np.arange(L),
            "probabilities": probabilities(),
            "embeddings": rng.normal(size=(N, 4)).astype(np.float32),
            "labeled_embeddings": rng.normal(size=(L, 4)).astype(np.float32),
            "label_history": rng.integers(0, C, (N, 6)).astype(np.uint8),
        },
    )
    house.arrays.write(ranking_key(1, "v1"), {"task_id": np.array(by_margin())})
    with house.ledger.session() as session:
        session.add(
            Project(
                studio_url="http://127.0.0.1:9",
                studio_id=1,
                key="1.1",
                webhook_secret="s",
                label_config=CONFIG,
                live_version="v1",
            )
        )
        session.flush()
        save_plan(session, 1, BASE, author="ada")
        cycle = Cycle(project_id=1, number=1, kind="train", trigger="t", status="published", evidence_cycle=1)
        session.add(cycle)
        session.flush()
        session.add(
            Publication(project_id=1, cycle_id=cycle.id, model_version="v1", total=N, published=N, state="live")
        )
        for task in [*range(L), *POOL.tolist()]:
            label = str(task % C) if task < L else None
            content = hashlib.sha256(str(task).encode()).hexdigest()
            status = "labeled" if label else "unlabeled"
            session.add(Item(project_id=1, task_id=task, url="u", content=content, status=status, label=label))
    yield house
    house.ledger.close()


def everything(house: House) -> dict[str, Any]:
    with house.ledger.session() as session:
        rows = {
            table.name: [tuple(row) for row in session.execute(table.select())]
            for table in Table.metadata.sorted_tables
        }
    return {**rows, "arrays": {key: house.arrays.read(key) is not None for key in house.arrays.keys("projects/1/*")}}


def test_the_same_plan_changes_nothing(rooms: House) -> None:
    seen = preview(rooms, 1, BASE)
    assert (seen.compared, seen.changed, seen.moved, seen.come, seen.go, seen.changes) == (NEXT, 0, 0, (), (), ())
    assert seen.before == seen.after
    assert sum(seen.before.values()) == NEXT


def test_who_comes_and_goes_is_what_two_slow_orders_say(rooms: House) -> None:
    before = everything(rooms)
    seen = preview(rooms, 1, changed_plan(BASE, {"scorers": [{"name": "entropy"}]}))
    old, new = by_margin(), by_entropy()
    come = [task for task in new[:NEXT] if task not in old[:NEXT]]
    assert [place.task_id for place in seen.come] == come
    assert [place.task_id for place in seen.go] == [task for task in old[:NEXT] if task not in new[:NEXT]]
    assert all((place.old, place.new) == (old.index(place.task_id), new.index(place.task_id)) for place in seen.come)
    assert seen.changed == len(come)
    stayed = set(old[:NEXT]) & set(new[:NEXT])
    assert seen.moved == sum(old.index(task) != new.index(task) for task in stayed)
    best = {int(task): str(label) for task, label in zip(POOL, probabilities().argmax(axis=1), strict=True)}
    for order, counts in ((old, seen.before), (new, seen.after)):
        labels = [best[task] for task in order[:NEXT]]
        assert counts == {str(name): labels.count(str(name)) for name in range(C)}
    assert seen.come[0].reason
    assert seen.changes == ("scorer margin: weight 1 -> off", "scorer entropy: off -> weight 1")
    assert seen.seconds > 0
    assert everything(rooms) == before, "nothing was written"


def test_what_is_labeled_since_is_not_compared(rooms: House) -> None:
    first = by_margin()[:5]
    with rooms.ledger.session() as session:
        for task in first:
            item = session.get_one(Item, (1, task))
            item.status, item.label = "labeled", "3"
    seen = preview(rooms, 1, BASE)
    assert (seen.changed, seen.moved) == (0, 0)


def test_overrides_and_the_live_control_arm_hold_in_a_preview(rooms: House) -> None:
    last = by_margin()[-1]
    set_override(rooms, 1, last, "front", author="Ada")
    set_override(rooms, 1, by_margin()[0], "exclude", author="Ada")
    seen = preview(rooms, 1, BASE)
    assert [(place.task_id, place.new) for place in seen.come] == [(last, 0)]
    assert seen.come[0].reason == "pinned to the front by Ada"
    quarter = changed_plan(BASE, {"control": 0.25})
    assert preview(rooms, 1, quarter).come == preview(rooms, 1, quarter).come
    assert sum("control: drawn" in place.reason for place in preview(rooms, 1, quarter).come) > 5


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"learner": {"name": "small_network"}}, "trains another learner"),
        (
            {"scorers": [{"name": "bald"}]},
            "reads 'expected_entropy', 'expected_probabilities', which training 1 does not",
        ),
    ],
)
def test_a_plan_that_needs_more_than_there_is_says_so(rooms: House, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(PreviewError, match=says):
        preview(rooms, 1, changed_plan(BASE, changes))


def test_before_a_training_and_without_evidence(rooms: House) -> None:
    rooms.arrays.delete(evidence_key(1, 1))
    with pytest.raises(PreviewError, match="evidence of training 1 is gone"):
        preview(rooms, 1, BASE)
    with rooms.ledger.session() as session:
        session.query(Cycle).one().evidence_cycle = None
    with pytest.raises(PreviewError, match="no training yet"):
        preview(rooms, 1, BASE)
    with rooms.ledger.session() as session:
        session.query(Item).filter(Item.label != "3").update({"label": None, "status": "unlabeled"})
    assert preview(rooms, 1, BASE).phase == "random"
    with rooms.ledger.session() as session:
        session.query(Item).update({"label": "3", "status": "labeled"})
    with pytest.raises(PreviewError, match="Nothing is left"):
        preview(rooms, 1, BASE)


def test_settings_that_do_not_fit_the_project_are_refused(rooms: House) -> None:
    wrong = changed_plan(BASE, {"selector": {"name": "class_balanced", "config": {"target": {"cow": 1}}}})
    with pytest.raises(PlanError, match="'cow'"):
        preview(rooms, 1, wrong)
