"""Steering against a real Label Studio: what is excluded is not written, heads leave it out, extra_params arrive."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from ml_backend.loop import jobs
from ml_backend.loop.cycle import run_cycle
from ml_backend.loop.extra_params import AUTHOR
from ml_backend.loop.overrides import set_override, undo_override
from ml_backend.loop.plan import Plan, changed_plan, plan_history
from ml_backend.loop.reconcile import reconcile
from ml_backend.loop.stored_ranking import StoredRankings
from ml_backend.loop.sync import sync
from ml_backend.loop.upkeep import extend
from ml_backend.store.tables import Problem, PublishedItem
from tests.loop.conftest import Loop, until
from tests.loop.test_queue import QUIET

pytestmark = pytest.mark.studio


def test_overrides_reach_the_queue_and_are_kept(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("publish", "upkeep"):
        monkeypatch.setattr(f"ml_backend.loop.{module}.head_length", lambda *_: 10)
    loop.create(60)
    loop.label_some(25)
    loop.start_backend()
    loop.connect(changed_plan(QUIET, {"control": 0}))
    full = loop.order() + [task for task in sorted(loop.truth) if task not in loop.order()]
    out, behind, first = full[0], full[1], loop.order()[5]
    set_override(loop.house, loop.project, out, "exclude", author="Ada")
    set_override(loop.house, loop.project, behind, "back", author="Ada")
    set_override(loop.house, loop.project, first, "front", author="Ada")
    for kind in ("rank", "train", "rank"):
        cycle = run_cycle(loop.house, loop.project, kind, "test")
        assert (cycle.status, cycle.pool) == ("published", 34), cycle.error
        assert loop.order()[0] == first
        assert not {out, behind} & set(loop.order())
        version = loop.row().live_version or ""
        assert version not in {row["model_version"] for row in loop.studio.task(out)["predictions"]}
    jobs.started(loop.house, "cycle", loop.project)  # there is no worker, so what waits is taken away
    jobs.work_off(loop.house, loop.project, lambda *_: None)
    assert reconcile(loop.house, loop.project).kind is None, "an excluded task is no new task"

    order = loop.order()
    assert loop.next_ids(6) == order[:6]
    sync(loop.house, loop.studio, loop.project)
    later = extend(loop.house, loop.project, loop.studio)
    assert later == 10
    stretch = loop.order()[10:]
    assert loop.next_ids(9) == order[6:10] + stretch[:5]
    sync(loop.house, loop.studio, loop.project)
    ranked = cycle_order(loop)
    gone = ranked[22]
    set_override(loop.house, loop.project, gone, "exclude", author="Ada")
    assert extend(loop.house, loop.project, loop.studio) == 9, "excluded since the ranking: not written"
    assert gone not in loop.order()
    assert loop.order()[-1] != behind

    undo_override(loop.house, loop.project, out, author="Ada")
    undo_override(loop.house, loop.project, gone, author="Ada")
    assert run_cycle(loop.house, loop.project, "rank", "test").pool == 34 - 15 + 1
    assert cycle_order(loop)[-1] == behind
    with loop.house.ledger.session() as session:
        query = select(PublishedItem.reason).where(PublishedItem.reason.startswith("pinned to the front by Ada"))
        assert session.scalars(query).first() is not None


def cycle_order(loop: Loop) -> list[int]:
    """The whole live ranking, the part that is not written too."""
    ranking = StoredRankings(loop.house).of(loop.project, loop.row().live_version)
    assert ranking is not None
    return [int(task) for task in ranking.task_id]


def test_extra_params_in_label_studio_become_the_plan(loop: Loop) -> None:
    loop.create(40)
    loop.label_some(20)
    loop.start_backend()
    loop.connect(QUIET)

    def plans() -> list[tuple[str, Plan]]:
        with loop.house.ledger.session() as session:
            rows = plan_history(session, loop.project)
            return [(row.author, Plan.model_validate(row.body)) for row in rows]

    before = len(plans())
    (backend,) = [row for row in loop.studio.backends(loop.number) if row["url"] == loop.house.settings.backend_url]
    change = {"url": backend["url"], "project": loop.number, "title": backend["title"], "auth_method": "BASIC_AUTH"}
    who = {
        "basic_auth_user": loop.environment["BASIC_AUTH_USER"],
        "basic_auth_pass": loop.environment["BASIC_AUTH_PASS"],
    }
    loop.studio.update_backend(backend["id"], **change, **who, extra_params={"batch": 33})
    until(lambda: len(plans()) == before + 1, what="the plan from Label Studio")
    author, plan = plans()[0]
    assert (author, plan.batch, plan.policy) == (AUTHOR, 33, QUIET.policy)
    loop.studio.update_backend(backend["id"], **change, **who, description="said twice")
    loop.studio.backends(loop.number)
    loop.studio.update_backend(backend["id"], **change, **who, extra_params={"batch": 0})

    def problem() -> str | None:
        with loop.house.ledger.session() as session:
            return session.scalar(select(Problem.message).where(Problem.kind == "extra_params"))

    assert "batch = 0" in str(until(problem, what="the problem"))
    assert len(plans()) == before + 1
