"""How far a running cycle is and how long it will take, judged by the cycles before it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.store.runs import CycleRun
from ml_backend.store.tables import Cycle, now

PHASES = ("sync", "learn", "rank", "publish")
EARLIER = 10  # cycles


@dataclass(frozen=True)
class Progress:
    """Of a running cycle. share: done, 0 to 1, None without earlier cycles; left: seconds; late: the phase takes longer
    than it usually does, so `left` counts the later ones alone."""

    phase: str
    seconds: float
    share: float | None
    left: float | None
    late: bool
    log: tuple[str, ...]
    machine: str
    cancelled_by: str | None


def estimate(earlier: Sequence[dict[str, float]], phase: str, elapsed: float) -> tuple[float, float, bool] | None:
    """(share done, seconds left, late) from the seconds of each phase in earlier cycles; None without any.

    elapsed: seconds in the present phase. Medians, since one slow cycle says little.

    >>> estimate([{"sync": 1, "learn": 10, "rank": 2, "publish": 2}], "learn", 4)
    (0.333..., 10.0, False)
    >>> estimate([{"sync": 1, "learn": 10, "rank": 2, "publish": 2}], "learn", 40)
    (0.733..., 4.0, True)
    """
    if not earlier or phase not in PHASES:
        return None
    usual = {name: statistics.median(float(one.get(name, 0.0)) for one in earlier) for name in PHASES}
    whole = sum(usual.values())
    if whole <= 0:
        return None
    after = sum(usual[name] for name in PHASES[PHASES.index(phase) + 1 :])
    left = after + max(0.0, usual[phase] - elapsed)
    return 1 - left / whole, left, elapsed > usual[phase]


def read_progress(session: Session, cycle: Cycle) -> Progress:
    """Of a cycle that runs."""
    run = session.get(CycleRun, cycle.id)
    query = select(Cycle.seconds).where(
        Cycle.project_id == cycle.project_id, Cycle.kind == cycle.kind, Cycle.status == "published"
    )
    earlier: list[dict[str, Any]] = list(session.scalars(query.order_by(Cycle.number.desc()).limit(EARLIER)))
    elapsed = (now() - (run.phase_at if run is not None else cycle.started_at)).total_seconds()
    guess = estimate(earlier, cycle.phase, elapsed)
    return Progress(
        phase=cycle.phase,
        seconds=(now() - cycle.started_at).total_seconds(),
        share=guess[0] if guess else None,
        left=guess[1] if guess else None,
        late=guess[2] if guess else False,
        log=tuple(run.log) if run is not None else (),
        machine=run.machine if run is not None else "",
        cancelled_by=run.cancelled_by if run is not None else None,
    )
