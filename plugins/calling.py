"""The one door through which the loop calls a scorer or a selector: bounded in time, checked, traced.

A call runs in a thread of its own, since Python code that hangs can be left behind but not stopped. What was left
behind ends with its process; a worker's job is a process.
"""

from __future__ import annotations

import contextvars
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import structlog

from plugins import registry
from plugins.combination import checked
from plugins.contract import FloatArray, Plugin, PluginError, Scores, Selection
from plugins.evidence import Evidence

log = structlog.get_logger()
T = TypeVar("T")


def bounded(work: Callable[[], T], seconds: float, who: str) -> T:
    """What `work()` returns or raises, made in a thread; PluginError that names `who` once `seconds` have passed.

    The wait lets signal handlers run and passes on what they raise. Of what `work` raises, only what would end the
    process (SystemExit, say) is changed, into a PluginError: that is for the process to decide, not for a plugin.

    >>> bounded(lambda: 6 * 7, 10.0, "Scorer 'answer'")
    42
    """
    given: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(work())
        except BaseException as error:  # noqa: BLE001  # it is raised again, in the thread that waits
            raised.append(error)

    context = contextvars.copy_context()  # log fields and NumPy's error state are the caller's
    thread = threading.Thread(target=context.run, args=(run,), daemon=True, name=who)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise PluginError(
            f"{who} did not answer within {seconds:g} s; raise NEXTLABEL_PLUGIN_SECONDS, or take it out of the plan."
        )
    if raised and not isinstance(raised[0], Exception):
        raise PluginError(f"{who} tried to end the process ({raised[0]!r}); raise PluginError instead.") from raised[0]
    if raised:
        raise raised[0]
    return given[0]


class Reasons:
    """A plugin's sentences; one that it cannot give costs that sentence, never the cycle.

    The first is bounded in time like the scores; the others are not, since a thread for each would cost more than they.
    """

    def __init__(self, who: str, reason: Callable[[int], str], seconds: float) -> None:
        self._who, self._reason, self._seconds = who, reason, seconds
        self._asked, self._silent = False, ""

    def __call__(self, item: int) -> str:
        if self._silent:
            return self._silent
        try:
            said: object = self._reason(item) if self._asked else bounded(self._first(item), self._seconds, self._who)
            self._asked = True
            if not isinstance(said, str):
                raise PluginError(f"a reason of type {type(said).__name__}, where a sentence was due")
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything; it is named
            self._silent = f"{self._who} has no reason to give: {error}"
            log.warning("plugin_reason_failed", plugin=self._who, item=item, error=str(error))
            return self._silent
        return said

    def _first(self, item: int) -> Callable[[], object]:
        return lambda: self._reason(item)


@dataclass(frozen=True)
class Door:
    """How plugins are called. seconds: the limit of one call. trace: log each call at level info, else at debug."""

    seconds: float
    trace: bool = False

    def score(self, name: str, config: dict[str, Any], evidence: Evidence) -> Scores:
        """The checked answer of scorer `name` on N items; raises what the plugin raises, PluginError, LookupError."""
        scorer, view = _ready("scorer", name, config, evidence)
        who = f"Scorer '{name}'"
        scores = self._call("scorer", view, name, lambda: _values(name, scorer.score(view), len(evidence)))
        return replace(scores, reason=Reasons(who, scores.reason, self.seconds))

    def select(
        self, name: str, config: dict[str, Any], evidence: Evidence, values: FloatArray, budget: int
    ) -> Selection:
        """The checked answer of selector `name`; values: (N,), at most `budget` positions. Raises as `score`."""
        selector, view = _ready("selector", name, config, evidence)
        who, n = f"Selector '{name}'", len(evidence)
        lent = values.view()
        lent.flags.writeable = False
        selection = self._call(
            "selector", view, name, lambda: _order(who, selector.select(view, lent, budget), n, budget)
        )
        if selection.reason is None:
            return selection
        return replace(selection, reason=Reasons(who, selection.reason, self.seconds))

    def _call(self, kind: str, view: Evidence, name: str, work: Callable[[], T]) -> T:
        began, gave = time.perf_counter(), "nothing"
        try:
            answer = bounded(work, self.seconds, f"{kind.capitalize()} '{name}'")
            gave = _shape(answer)
        except Exception as error:
            gave = f"{type(error).__name__}: {error}"
            raise
        finally:
            say = log.info if self.trace else log.debug
            read = ", ".join(f"{column} {shape}" for column, shape in dict(view.read).items())
            seconds = round(time.perf_counter() - began, 4)
            say("plugin_call", plugin=name, kind=kind, items=len(view), read=read, gave=gave, seconds=seconds)
        return answer


def _ready(kind: str, name: str, config: dict[str, Any], evidence: Evidence) -> tuple[Any, Evidence]:
    """The plugin and its view; what it needs is loaded here, in the caller's thread and outside the plugin's time."""
    plugin: Plugin[Any] = registry.make(kind, name, config)
    view = evidence.for_plugin(name, plugin.needs, plugin.optional)
    for column in sorted({*plugin.needs, *filter(evidence.has, plugin.optional)}):
        evidence.column(column)
    return plugin, view


def _values(name: str, scores: Any, n: int) -> Scores:
    who = f"Scorer '{name}'"
    if not isinstance(scores, Scores):
        raise PluginError(f"{who} gave {type(scores).__name__}; give Scores.")
    return replace(scores, values=checked(name, scores, n), notes=_sentences(who, scores.notes))


def _order(who: str, selection: Any, n: int, budget: int) -> Selection:
    if not isinstance(selection, Selection):
        raise PluginError(f"{who} gave {type(selection).__name__}; give Selection.")
    order = np.asarray(selection.order)
    if order.ndim != 1 or (order.size and order.dtype.kind not in "iu"):
        raise PluginError(
            f"{who} gave an order of shape {order.shape} and type {order.dtype}; give (k,) whole numbers."
        )
    if len(order) > budget:
        raise PluginError(f"{who} gave {len(order)} positions where {budget} were asked for; give at most the budget.")
    if len(order) and (order.min() < 0 or order.max() >= n):
        outside = order.min() if order.min() < 0 else order.max()
        raise PluginError(f"{who} gave position {outside} in a pool of {n}; give positions from 0 to {n - 1}.")
    if len(np.unique(order)) != len(order):
        raise PluginError(f"{who} gave a position twice; give each at most once.")
    notes, facts = _sentences(who, selection.notes), _plain(who, selection.facts)
    return replace(selection, order=order.astype(np.int64, copy=False), notes=notes, facts=facts)


def _sentences(who: str, notes: Any) -> tuple[str, ...]:
    if isinstance(notes, str) or not all(isinstance(note, str) for note in notes):
        raise PluginError(f"{who} gave the notes {notes!r}; give a tuple of sentences.")
    return tuple(notes)


def _plain(who: str, facts: Any) -> dict[str, Any]:
    """Facts as JSON would give them back."""
    try:
        plain = json.loads(json.dumps(facts, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise PluginError(f"{who} gave facts that JSON cannot hold ({error}); give plain finite values.") from None
    if not isinstance(plain, dict):
        raise PluginError(f"{who} gave facts of type {type(facts).__name__}; give a mapping.")
    return plain


def _shape(answer: object) -> str:
    """What came back, for the trace.

    >>> _shape(Selection(np.array([4, 1])))
    'order (2,)'
    """
    if isinstance(answer, Scores):
        values = answer.values
        span = f" from {values.min():.4g} to {values.max():.4g}" if len(values) else ""
        return f"values {values.shape}{span}"
    return f"order {answer.order.shape}" if isinstance(answer, Selection) else type(answer).__name__
