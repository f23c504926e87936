"""One turn of the loop: sync, learn, rank, publish, ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog
from sqlalchemy import select

from ml_backend.loop import balance
from ml_backend.loop.advice import advise, packed
from ml_backend.loop.box_pool import BoxPool
from ml_backend.loop.by_question import AnyPool, rank_items, read_pool, recall, train
from ml_backend.loop.control import with_control
from ml_backend.loop.gain import kept_in_cycle, read_gain
from ml_backend.loop.house import House
from ml_backend.loop.learning import Learned
from ml_backend.loop.overrides import apply_overrides, read_held
from ml_backend.loop.plan import Plan, PlanError, read_plan
from ml_backend.loop.pool import Pool
from ml_backend.loop.publish import PublishError, publish
from ml_backend.loop.ranking import Ranking, RankingError
from ml_backend.loop.reasons import tell_reasons
from ml_backend.loop.reference import measure_savings
from ml_backend.loop.responses import collect
from ml_backend.loop.sync import ProjectGoneError, Synced, UnusableProjectError, sync
from ml_backend.loop.video_strips import keep_strips
from ml_backend.loop.watch import CycleCancelledError, Watch, watched
from ml_backend.store.ledger import next_number, note_problem, solve_problems
from ml_backend.store.tables import Cycle, Project, now
from ml_backend.studio.client import Studio, StudioError
from ml_backend.studio.labels import ImageClassification
from plugins.contract import PluginError

log = structlog.get_logger()

ENOUGH_ANSWERS = 30  # of the control arm, for advice
EXPECTED = (StudioError, PublishError, RankingError, ProjectGoneError, UnusableProjectError, PlanError, PluginError)


@dataclass
class Turn:
    """A cycle under way."""

    house: House
    studio: Studio
    cycle: Cycle
    plan: Plan
    watch: Watch
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times a phase and keeps its name where people and a crashed worker's successor can see it."""
        self.watch.begin(name)
        with self.house.ledger.session() as session:
            row = session.get_one(Cycle, self.cycle.id)
            row.phase, row.seconds = name, dict(self.seconds)
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - began, 3)


def run_cycle(house: House, project_id: int, kind: str, trigger: str) -> Cycle:
    """Runs one cycle ('train' learns, 'rank' re-ranks) and returns its row; what goes wrong is in the ledger.

    The caller holds the project's lock. A failure that is not one of EXPECTED is recorded and raised again.
    """
    cycle, plan, studio = _open(house, project_id, kind, trigger)
    with watched(house, cycle.id) as watch:
        turn = Turn(house, studio, cycle, plan, watch)
        log.info("cycle", project=project_id, number=cycle.number, kind=kind, trigger=trigger)
        _guarded(turn, project_id, kind)
    with house.ledger.session() as session:
        return session.get_one(Cycle, cycle.id)


def _guarded(turn: Turn, project_id: int, kind: str) -> None:
    """Whatever stops the cycle stands in the ledger."""
    try:
        _run(turn, project_id, kind)
    except CycleCancelledError as error:
        _cancel(turn, str(error))
    except EXPECTED as error:
        _fail(turn, project_id, str(error))
    except Exception as error:
        _fail(turn, project_id, f"{type(error).__name__}: {error}")
        raise
    finally:
        turn.studio.close()


def _open(house: House, project_id: int, kind: str, trigger: str) -> tuple[Cycle, Plan, Studio]:
    with house.ledger.session() as session:
        abandoned = select(Cycle).where(Cycle.project_id == project_id, Cycle.status == "running")
        for old in session.scalars(abandoned):
            old.status, old.finished_at = "failed", now()
            old.error = f"The worker died during '{old.phase}'; this cycle takes its place."
        number, plan = read_plan(session, project_id)
        cycle = Cycle(
            project_id=project_id,
            number=next_number(session, Cycle, project_id),
            kind=kind,
            trigger=trigger,
            plan_number=number,
        )
        session.add(cycle)
        session.flush()
        return cycle, plan, house.studio(session.get_one(Project, project_id))


def _run(turn: Turn, project_id: int, kind: str) -> None:
    with turn.phase("sync"):
        synced = sync(turn.house, turn.studio, project_id)
        if isinstance(synced.config, ImageClassification):
            collect(turn.house, project_id)
        pool = read_pool(turn.house, turn.studio, project_id, synced.config, turn.plan, turn.watch.progress)
        _note_problems(turn, synced)
    with turn.phase("learn"):
        learned = _learn(turn, project_id, kind, pool, synced)
        _keep_training(turn, learned)
    if not len(pool.task_id):
        turn.notes.append("Nothing is left to rank: every usable task is labeled.")
        _close(turn, project_id, pool, learned, None, None)
        return
    with turn.phase("rank"):
        with turn.house.ledger.session() as session:
            held = read_held(session, project_id, pool.task_id)
        last = held.undrawn(pool.skipped)
        ranking = rank_items(pool, learned, turn.plan, last=last)
        ranking = with_control(ranking, pool.task_id, turn.plan, turn.cycle.number, last)
        ranking = apply_overrides(ranking, held)
        chosen = ranking.selection.facts if ranking.selection is not None else {}
        turn.notes += [
            *ranking.notes,
            *packed(chosen, min(ranking.batch, len(pool.task_id))),
            *_advice(turn, project_id, learned, pool, synced),
        ]
        if isinstance(pool, BoxPool):
            keep_strips(turn.house, project_id, pool, learned.evidence)
    with turn.phase("publish"):
        version = publish(turn.house, turn.studio, turn.cycle, ranking, pool.task_id, learned, synced.config, turn.plan)
    _close(turn, project_id, pool, learned, ranking, version)
    tell_reasons(turn.house, turn.studio, project_id)
    _compare(turn, project_id, pool, learned)


def _note_problems(turn: Turn, synced: Synced) -> None:
    for kind, count in sorted(synced.problems.items()):
        turn.notes.append(f"{count} items have the problem '{kind}'; `nextlabel problems` lists them.")


def _learn(turn: Turn, project_id: int, kind: str, pool: AnyPool, synced: Synced) -> Learned:
    """A fresh training, or the evidence of the last one where a ranking alone was asked for and it still fits."""
    classes = synced.config.classes
    if kind == "rank":
        with turn.house.ledger.session() as session:
            query = select(Cycle).where(Cycle.project_id == project_id, Cycle.evidence_cycle == Cycle.number)
            last = session.scalar(query.order_by(Cycle.number.desc()).limit(1))
        if last is not None and last.evidence_cycle is not None:
            learned = recall(turn.house, project_id, last.evidence_cycle, turn.plan, pool, classes)
            if learned is not None:
                return Learned(
                    learned.evidence, learned.probabilities, last.evidence_cycle, last.features, notes=learned.notes
                )
        turn.notes.append("No earlier training fits today's classes and plugins, so this ranking trained first.")
        with turn.house.ledger.session() as session:
            session.get_one(Cycle, turn.cycle.id).kind = "train"
    with turn.house.ledger.session() as session:
        session.get_one(Project, project_id).fresh_labels = 0
    return train(turn.house, project_id, turn.cycle.number, turn.plan, pool, classes, turn.watch.progress)


def _advice(turn: Turn, project_id: int, learned: Learned, pool: AnyPool, synced: Synced) -> tuple[str, ...]:
    """On the plan, from the control arm's accuracy where there are enough answers, else from the newest training's."""
    with turn.house.ledger.session() as session:
        remaining = read_gain(session, project_id).remaining
        query = select(Cycle.accuracy).where(Cycle.project_id == project_id, Cycle.accuracy.is_not(None))
        newest = session.scalar(query.order_by(Cycle.number.desc()).limit(1))
    if not isinstance(pool, Pool):
        newest = None  # mAP is no share of right answers, so advice on accuracy does not fit it
    accuracy = remaining.value if remaining is not None and remaining.n >= ENOUGH_ANSWERS else newest
    classes = len(synced.config.classes)
    return advise(
        turn.plan, accuracy=accuracy, labels=len(pool.labeled_task_id), classes=classes, features=learned.features
    )


def _keep_training(turn: Turn, learned: Learned) -> None:
    """What was learned stands in the ledger before it is published: a retry after a failure need not train again."""
    with turn.house.ledger.session() as session:
        cycle = session.get_one(Cycle, turn.cycle.id)
        cycle.evidence_cycle, cycle.features = learned.trained_in, learned.features
        cycle.metrics = learned.metrics or {}
        if learned.accuracy is not None:
            cycle.accuracy = learned.accuracy.value
            cycle.accuracy_low, cycle.accuracy_high = learned.accuracy.low, learned.accuracy.high


def _close(
    turn: Turn, project_id: int, pool: AnyPool, learned: Learned, ranking: Ranking | None, version: str | None
) -> None:
    with turn.house.ledger.session() as session:
        cycle = session.get_one(Cycle, turn.cycle.id)
        project = session.get_one(Project, project_id)
        cycle.status, cycle.phase, cycle.finished_at = "published", "done", now()
        cycle.model_version = version or project.live_version
        cycle.labels, cycle.pool = len(pool.labeled_task_id), len(pool.task_id)
        cycle.metrics = {
            **(learned.metrics or {}),
            "counts": pool.counts.tolist(),
            "balance": balance.kept_in_cycle(session, project_id, cycle.number, pool.counts, ranking),
            "phase": ranking.phase if ranking else "done",
            "batch": ranking.batch if ranking else 0,
            "measured_labels": learned.accuracy.n if learned.accuracy else 0,
            "control": kept_in_cycle(session, project_id),
        }
        cycle.seconds = dict(turn.seconds)
        cycle.notes = [*learned.notes, *turn.notes]
        for plugin, message in (ranking.problems if ranking else {}).items():
            note_problem(session, project_id, f"plugin_{plugin}", message)
        if ranking is not None:
            for name in {chosen.name for chosen in turn.plan.scorers} - set(ranking.problems):
                solve_problems(session, project_id, f"plugin_{name}")
        for kind in ("cycle_failed", "version_lost"):
            solve_problems(session, project_id, kind)
        said = {"version": cycle.model_version, "labels": cycle.labels, "features": cycle.features}
        log.info("published", project=project_id, **said, seconds=turn.seconds)


def _compare(turn: Turn, project_id: int, pool: AnyPool, learned: Learned) -> None:
    """With random labeling; the queue is live by now, and whatever goes wrong here leaves the cycle as it is."""
    if not isinstance(pool, Pool):
        return  # random labels are compared by class
    try:
        measure_savings(turn.house, project_id, turn.cycle.number, turn.plan, pool, learned)
    except Exception as error:
        log.exception("compare_failed", project=project_id, number=turn.cycle.number)
        with turn.house.ledger.session() as session:
            message = f"The comparison with random labels failed: {type(error).__name__}: {error}"
            note_problem(session, project_id, "compare_failed", message)
        return
    with turn.house.ledger.session() as session:
        solve_problems(session, project_id, "compare_failed")


def _cancel(turn: Turn, message: str) -> None:
    """No failure: nothing is tried again by itself, and the next cycle comes when the policy calls for it."""
    with turn.house.ledger.session() as session:
        cycle = session.get_one(Cycle, turn.cycle.id)
        cycle.status, cycle.error, cycle.finished_at = "cancelled", message, now()
        cycle.seconds, cycle.notes = dict(turn.seconds), list(turn.notes)


def _fail(turn: Turn, project_id: int, message: str) -> None:
    with turn.house.ledger.session() as session:
        cycle = session.get_one(Cycle, turn.cycle.id)
        cycle.status, cycle.error, cycle.finished_at = "failed", message, now()
        cycle.seconds, cycle.notes = dict(turn.seconds), list(turn.notes)
        note_problem(session, project_id, "cycle_failed", f"Cycle {cycle.number} stopped at '{cycle.phase}': {message}")
    log.error("cycle_failed", project=project_id, number=turn.cycle.number, error=message)
