"""Rank: enabled scorers turn evidence into values, percentile ranks mix them, a selector orders the batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import structlog

from ml_backend.loop.plan import ChosenSelector, Plan
from ml_backend.settings import settings
from ml_backend.store.arrays import Arrays
from plugins import registry
from plugins.calling import Door
from plugins.combination import combine, percentile_ranks
from plugins.contract import FloatArray, IntArray, Scores, Selection
from plugins.evidence import Evidence, uniform_by_id

log = structlog.get_logger()


class RankingError(Exception):
    """No scorer could give values; the live queue stays as it is."""


@dataclass(frozen=True)
class Column:
    """One scorer's part in a ranking."""

    name: str
    weight: float
    scores: Scores
    percentiles: FloatArray


@dataclass(frozen=True)
class Ranking:
    """order: (N,) positions of the whole pool, best first; the first `batch` were chosen together.

    propensity: (N,) by rank; where the item was drawn for the control arm, one over the items it was drawn from (they
    were all as probable), and nan where the ranking put it there. None while nothing was drawn. moved: position of an
    item that a person moved -> the sentence that says so. shows: for an order, the arrays that predictions are made of,
    by rank (`predicted`); None where a row of the evidence is an item.
    """

    order: IntArray
    phase: str  # random | coverage | scored
    batch: int
    columns: tuple[Column, ...] = ()
    selection: Selection | None = None
    notes: tuple[str, ...] = ()
    problems: dict[str, str] = field(default_factory=dict)  # plugin -> what went wrong
    propensity: FloatArray | None = None
    moved: Mapping[int, str] = field(default_factory=dict)
    shows: Callable[[IntArray], Arrays] | None = None

    @cached_property
    def selected(self) -> frozenset[int]:
        """Positions that the selector chose."""
        return frozenset() if self.selection is None else frozenset(self.selection.order.tolist())

    def drawn(self, rank: int) -> float | None:
        """The propensity of the item at a rank if it was drawn for the control arm."""
        return None if self.propensity is None or np.isnan(self.propensity[rank]) else float(self.propensity[rank])

    def reason(self, rank: int) -> str:
        """Why the item at a rank stands there, in one sentence."""
        item = int(self.order[rank])
        if item in self.moved:
            return self.moved[item]
        if self.phase == "random":
            return "drawn at random: there is no model yet"
        if (propensity := self.drawn(rank)) is not None:
            return control_reason(propensity)
        if self.selection is not None and self.selection.reason is not None and item in self.selected:
            return self.selection.reason(item)
        if self.phase == "coverage":
            return "drawn at random, after the batch that covers the pool"
        if not self.columns:
            return "no scorer spoke"
        leading = max(self.columns, key=lambda column: column.weight * column.percentiles[item])
        return leading.scores.reason(item)

    def detail(self, rank: int) -> dict[str, Any]:
        """Each scorer's value, percentile, weight and sentence for the item at a rank, and what it draws over it."""
        item = int(self.order[rank])
        return {
            column.name: {
                "value": float(column.scores.values[item]),
                "percentile": float(column.percentiles[item]),
                "weight": column.weight,
                "reason": column.scores.reason(item),
                **_drawing(column, item),
            }
            for column in self.columns
        }


def _drawing(column: Column, item: int) -> dict[str, Any]:
    """Under 'drawing', what a page draws over an item; a plugin that cannot costs the drawing, never the cycle."""
    if column.scores.drawing is None:
        return {}
    try:
        return {"drawing": json.loads(json.dumps(column.scores.drawing(item), allow_nan=False))}
    except Exception as error:
        if _job_ended(error):
            raise
        log.warning("plugin_drawing_failed", plugin=column.name, item=item, error=str(error))
        return {}


def control_reason(propensity: float) -> str:
    """Why an item of the control arm stands where it stands.

    >>> control_reason(1 / 80)
    'control: drawn at random from the 80 items that were left, to measure the model'
    """
    return f"control: drawn at random from the {round(1 / propensity)} items that were left, to measure the model"


def rank(evidence: Evidence, plan: Plan, *, labels: int, last: IntArray | None = None) -> Ranking:
    """Orders the whole pool under a plan.

    labels: L, labeled so far. last: positions that must come last (skipped items). Raises RankingError.
    """
    counts = np.asarray(evidence.counts)
    batch = plan.batch_size(len(evidence.classes), labels)
    blind = why_blind(evidence, counts)
    if blind is not None:
        order = _complete(_apart(evidence, plan, batch), _at_random(evidence))
        return Ranking(put_last(order, last), "random", batch, notes=(blind,))
    columns, problems = score_columns(evidence, plan)
    cold = _cold_start(plan, counts, labels)
    if cold is not None:
        return _cover(evidence, plan, columns, problems, batch, cold, last)
    if not columns:
        raise RankingError(f"No scorer could speak: {'; '.join(problems.values())}")
    return _order(evidence, plan, columns, problems, batch, last)


def why_blind(evidence: Evidence, counts: IntArray) -> str | None:
    """Why there is no model to rank by, or None."""
    if evidence.has("labeled_box"):
        nothing = "Random queue: the detector learns from the first labeled image that has a box."
        return None if evidence.has("detection_score") else nothing
    classes = np.count_nonzero(counts)
    return f"Random queue: labels of two classes are needed, {classes} of them so far." if classes < 2 else None


def _apart(evidence: Evidence, plan: Plan, batch: int) -> IntArray:
    """A random batch, by the plan's selector where that can do without a model: it may keep frames of a video apart."""
    listing = registry.available("selector").get(plan.selector.name)
    if listing is None or listing.cls is None:
        return np.zeros(0, dtype=np.int64)
    needs, optional = listing.cls.needs, listing.cls.optional
    if not all(map(evidence.has, needs)) or optional & {"probabilities", "detection_score"}:
        return np.zeros(0, dtype=np.int64)
    values = -uniform_by_id(evidence.task_id, evidence.seed + 1)
    return _select(plan.selector, evidence, values, batch, {}).order


def _at_random(evidence: Evidence) -> IntArray:
    return np.argsort(uniform_by_id(evidence.task_id, evidence.seed + 1), kind="stable")


def _cold_start(plan: Plan, counts: FloatArray, labels: int) -> str | None:
    """Why coverage still leads, or None."""
    cold = plan.cold_start
    if cold is None or labels >= cold.at_most * len(counts) or counts.min() >= cold.labels_per_class:
        return None
    short = int((counts < cold.labels_per_class).sum())
    return (
        f"Coverage leads: {short} of {len(counts)} classes have fewer than {cold.labels_per_class} labels, "
        "and scorers pay only after that."
    )


def score_columns(evidence: Evidence, plan: Plan) -> tuple[tuple[Column, ...], dict[str, str]]:
    """Every scorer that speaks, and what is wrong with those that do not."""
    columns: list[Column] = []
    problems: dict[str, str] = {}
    door = Door(settings().plugin_seconds, trace=settings().trace)
    for chosen in plan.scorers:
        try:
            scores = door.score(chosen.name, chosen.config, evidence)
        except Exception as error:  # a plugin may raise anything; it is named and sits out
            if _job_ended(error):
                raise
            problems[chosen.name] = f"Scorer '{chosen.name}' sits out: {error}"
            log.warning("plugin_failed", plugin=chosen.name, error=str(error))
            continue
        columns.append(Column(chosen.name, chosen.weight, scores, percentile_ranks(scores.values)))
    return tuple(columns), problems


def _job_ended(error: Exception) -> bool:
    """Whether RQ's limit on the whole job struck while a plugin was called, which is no fault of the plugin."""
    from rq.timeouts import BaseTimeoutException  # here, since RQ takes a second to import and studies need none

    return isinstance(error, BaseTimeoutException)


def joined_notes(columns: tuple[Column, ...], *first: str) -> tuple[str, ...]:
    """What there is to say on the pool, each sentence once."""
    return tuple(dict.fromkeys([*first, *(note for column in columns for note in column.scores.notes)]))


def _cover(
    evidence: Evidence,
    plan: Plan,
    columns: tuple[Column, ...],
    problems: dict[str, str],
    batch: int,
    note: str,
    last: IntArray | None,
) -> Ranking:
    cold = plan.cold_start
    if cold is None:
        raise ValueError("a cold start without its settings")
    nothing = np.zeros(len(evidence))
    selection = _select(cold.selector, evidence, nothing, batch, problems)
    order = put_last(_complete(selection.order, _at_random(evidence)), last)
    return Ranking(
        order, "coverage", batch, columns, selection, joined_notes(columns, note, *selection.notes), problems
    )


def _order(
    evidence: Evidence,
    plan: Plan,
    columns: tuple[Column, ...],
    problems: dict[str, str],
    batch: int,
    last: IntArray | None,
) -> Ranking:
    values = columns[0].scores.values  # one scorer's own: a selector may weigh nats against something else
    if len(columns) > 1:
        values = combine([(column.scores.values, column.weight) for column in columns])
    budget = len(evidence) if _orders_all(plan) else batch
    selection = _select(plan.selector, evidence, values, budget, problems)
    rest = np.lexsort((evidence.jitter, -values))
    order = put_last(_complete(selection.order, rest), last)
    return Ranking(order, "scored", batch, columns, selection, joined_notes(columns, *selection.notes), problems)


def _orders_all(plan: Plan) -> bool:
    listing = registry.available("selector").get(plan.selector.name)
    return bool(getattr(listing.cls, "orders_all", False)) if listing else False


def _select(
    chosen: ChosenSelector, evidence: Evidence, values: FloatArray, budget: int, problems: dict[str, str]
) -> Selection:
    """The chosen selector's batch; one that fails is named, and the batch is then in order of value."""
    door = Door(settings().plugin_seconds, trace=settings().trace)
    try:
        return door.select(chosen.name, chosen.config, evidence, values, budget)
    except Exception as error:  # a plugin may raise anything; it is named and sits out
        if _job_ended(error):
            raise
        problems[chosen.name] = f"Selector '{chosen.name}' sits out, the batch is in order of value: {error}"
        log.warning("plugin_failed", plugin=chosen.name, error=str(error))
        return Selection(np.lexsort((evidence.jitter, -values))[:budget], notes=(problems[chosen.name],))


def _complete(head: IntArray, rest: IntArray) -> IntArray:
    """The head, then everything else in the order of `rest`."""
    chosen = np.zeros(len(rest), dtype=bool)
    chosen[head] = True
    return np.concatenate([np.asarray(head, dtype=np.int64), rest[~chosen[rest]]])


def put_last(order: IntArray, last: IntArray | None) -> IntArray:
    """The order with the positions `last` behind all others."""
    if last is None or not len(last):
        return order
    late = np.zeros(len(order), dtype=bool)
    late[last] = True
    return np.concatenate([order[~late[order]], order[late[order]]])
