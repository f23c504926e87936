"""The control arm's draw: how many, where, how probable, and nothing lost for the ranking."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from ml_backend.loop.control import control_slots, interleave, with_control
from ml_backend.loop.plan import Plan, PlanError, changed_plan, parse_plan
from ml_backend.loop.ranking import Ranking, rank
from plugins.evidence import uniform_by_id
from tests.loop.test_ranking import SCORED, evidence

NOBODY = np.empty(0, dtype=np.int64)
shares = st.floats(0.001, 1) | st.sampled_from([0.05, 0.1, 0.3, 1 / 3, 2 / 3, 0.9, 1.0])


def literal_interleave(ranked: list[int], drawn: list[int], slots: set[int]) -> list[int]:
    """Word for word: at a slot the first drawn item without a place, else the first ranked item without one."""
    queue: list[int] = []
    for place in range(len(ranked)):
        source = drawn if place in slots else ranked
        queue.append(next(item for item in source if item not in queue))
    return queue


def ranking(order: list[int], phase: str = "scored") -> Ranking:
    return Ranking(np.array(order, dtype=np.int64), phase, 10)


@given(n=st.integers(0, 300), share=shares, seed=st.integers(0, 10_000))
def test_every_prefix_holds_the_share_rounded_down_or_up(n: int, share: float, seed: int) -> None:
    slots = control_slots(n, share, uniform_by_id(np.arange(n), seed))
    assert (np.diff(slots) > 0).all()
    for prefix in range(n + 1):
        held = int((slots < prefix).sum())
        assert math.floor(share * prefix - 1e-9) <= held <= math.ceil(share * prefix + 1e-9)


def test_no_slots_without_a_share_and_no_period_with_one() -> None:
    assert control_slots(50, 0.0, np.zeros(50)).tolist() == []
    gaps = np.diff(control_slots(10_000, 0.05, uniform_by_id(np.arange(10_000), 1)))
    assert len(set(gaps.tolist())) > 20, "gaps vary between 1 and 39"


@given(n=st.integers(1, 40), share=shares, seed=st.integers(0, 10_000))
def test_the_queue_is_the_literal_one_and_delays_nothing_by_more_than_the_slots(
    n: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    ranked, drawn = rng.permutation(n), rng.permutation(n)
    slots = control_slots(n, share, rng.random(n))
    queue = interleave(ranked, drawn, slots)
    assert queue.tolist() == literal_interleave(ranked.tolist(), drawn.tolist(), set(slots.tolist()))
    assert sorted(queue.tolist()) == list(range(n))
    place = {item: at for at, item in enumerate(queue.tolist())}
    for at, item in enumerate(ranked.tolist()):
        assert place[item] <= at + int((slots <= place[item]).sum())
    others = [item for at, item in enumerate(queue.tolist()) if at not in set(slots.tolist())]
    assert others == sorted(others, key=ranked.tolist().index), "the ranked items keep their order"


@pytest.mark.parametrize("which", [0, 1, 2])
def test_each_slot_is_uniform_over_what_was_left_whatever_was_placed_before(which: int) -> None:
    """Chi-square over 3000 cycles: in which third of the items left, by the ranking, does the slot's item stand?"""
    ids, plan = np.arange(100, 112), changed_plan(Plan(), {"control": 0.25})
    seen, expected = np.zeros(3), np.zeros(3)
    for cycle in range(1, 3001):
        mixed = with_control(ranking(list(range(12))), ids, plan, cycle, NOBODY)
        assert mixed.propensity is not None
        slot = int(np.flatnonzero(~np.isnan(mixed.propensity))[which])
        left = sorted(mixed.order[slot:].tolist())
        assert mixed.propensity[slot] == pytest.approx(1 / len(left))
        seen[left.index(int(mixed.order[slot])) * 3 // len(left)] += 1
        expected += np.bincount(np.arange(len(left)) * 3 // len(left), minlength=3) / len(left)
    assert chisquare(seen, expected).pvalue > 1e-3


def test_a_real_ranking_keeps_its_order_and_says_who_was_drawn() -> None:
    given_ = evidence(200)
    plain = rank(given_, SCORED, labels=36)
    mixed = with_control(plain, given_.task_id, SCORED, 3, NOBODY)
    drawn = [place for place in range(200) if mixed.drawn(place) is not None]
    assert len(drawn) == 10
    others = [int(mixed.order[place]) for place in range(200) if place not in drawn]
    assert others == [item for item in plain.order.tolist() if item in set(others)]
    assert mixed.reason(drawn[0]) == (
        f"control: drawn at random from the {200 - drawn[0]} items that were left, to measure the model"
    )
    assert "control" not in mixed.reason(next(place for place in range(200) if place not in drawn))
    assert set(mixed.detail(drawn[0])) == {"margin"}


def test_the_draw_is_a_function_of_seed_cycle_and_ids_alone() -> None:
    given_ = evidence(120)
    plain = rank(given_, SCORED, labels=36)

    def draw(cycle: int, seed: int = 0) -> list[int]:
        plan = changed_plan(SCORED, {"seed": seed})
        mixed = with_control(plain, given_.task_id, plan, cycle, NOBODY)
        return [int(given_.task_id[mixed.order[place]]) for place in range(120) if mixed.drawn(place)]

    assert draw(1) == draw(1)
    assert len({tuple(draw(1)), tuple(draw(2)), tuple(draw(1, seed=1))}) == 3


def test_skipped_items_stay_last_and_are_never_drawn() -> None:
    last = np.array([0, 5, 7])
    plan = changed_plan(SCORED, {"control": 1})
    given_ = evidence(60)
    mixed = with_control(rank(given_, plan, labels=36, last=last), given_.task_id, plan, 1, last)
    assert set(mixed.order[-3:].tolist()) == set(last.tolist())
    assert [mixed.drawn(place) is None for place in (56, 57, 59)] == [False, True, True]


def test_a_queue_without_a_model_is_drawn_altogether_whatever_the_share() -> None:
    plan = changed_plan(Plan(), {"control": 0})
    given_ = evidence(50, counts=(3, 0, 0, 0))
    plain = rank(given_, plan, labels=3, last=np.array([4]))
    mixed = with_control(plain, given_.task_id, plan, 1, np.array([4]))
    assert mixed.order.tolist() == plain.order.tolist()
    assert [mixed.drawn(place) for place in (0, 48, 49)] == [pytest.approx(1 / 49), 1.0, None]
    assert "no model" in mixed.reason(0)


def test_the_share_is_a_field_of_the_plan() -> None:
    assert Plan().control == 0.05
    assert (
        with_control(ranking([2, 0, 1]), np.arange(3), changed_plan(Plan(), {"control": 0}), 1, NOBODY).drawn(0) is None
    )
    with pytest.raises(PlanError, match=r"control = 1\.5"):
        parse_plan({"control": 1.5})
