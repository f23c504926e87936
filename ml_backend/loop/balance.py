"""Balance in the ledger: counts per class at each training, how even they are, and what the selector proved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.loop.ranking import Ranking
from ml_backend.store.tables import Cycle
from plugins.balance.wanted import l1_score
from plugins.contract import IntArray


@dataclass(frozen=True)
class BalanceRow:
    """One cycle. counts (C,): labels then. score: their L1 score (Eq. 4.10). added, added_score: of the labels that
    came since the cycle before with other counts. facts: what the selector said of its batch, `gap` and `weight` (the
    lambda of Eq. 4.8) among them; empty where it balances nothing."""

    cycle: int
    counts: list[int]
    score: float
    added: list[int]
    added_score: float | None
    facts: dict[str, Any]


def kept_in_cycle(session: Session, project_id: int, number: int, counts: IntArray, ranking: Ranking | None) -> Any:
    """What the cycle's metrics keep under 'balance', as JSON."""
    query = select(Cycle.metrics).where(
        Cycle.project_id == project_id, Cycle.number < number, Cycle.status == "published"
    )
    older = (metrics.get("counts") for metrics in session.scalars(query.order_by(Cycle.number.desc())))
    now = counts.tolist()
    before = next((known for known in older if known is not None and known != now), None)
    same = before is not None and len(before) == len(now)  # classes may have been added to the config
    added = np.maximum(counts - np.array(before), 0).tolist() if same else now
    chosen = ranking.selection if ranking is not None else None
    facts: dict[str, Any] = {}
    if chosen is not None:
        facts = {**chosen.facts, **{k: v for k, v in (("gap", chosen.gap), ("bound", chosen.bound)) if v is not None}}
    return {
        "score": l1_score(counts),
        "added": added,
        "added_score": l1_score(np.array(added)) if sum(added) else None,
        "facts": facts,
    }


def balance_history(session: Session, project_id: int, limit: int = 50) -> list[BalanceRow]:
    """Of the newest `limit` published cycles those that kept their balance (older releases did not), newest first."""
    query = select(Cycle.number, Cycle.metrics).where(Cycle.project_id == project_id, Cycle.status == "published")
    rows = session.execute(query.order_by(Cycle.number.desc()).limit(limit))
    return [
        BalanceRow(cycle=number, counts=metrics["counts"], **metrics["balance"])
        for number, metrics in rows
        if "balance" in metrics
    ]


def balance_table(rows: Sequence[BalanceRow], classes: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Head and lines for a terminal, oldest first; the counts stand in the order of the classes."""
    head = ["cycle", "labels per class", "L1", "added", "expected", "lambda", "gap"]
    lines = []
    for row in reversed(rows):
        expected = row.facts.get("expected")
        numbers = (
            row.score,
            row.added_score,
            None if expected is None else l1_score(np.array(expected)),
            row.facts.get("weight"),
            row.facts.get("gap"),
        )
        counts = " ".join(map(str, row.counts)) if len(row.counts) == len(classes) else "of other classes"
        lines.append([str(row.cycle), counts, *("" if n is None else f"{n:.3g}" for n in numbers)])
    return head, lines
