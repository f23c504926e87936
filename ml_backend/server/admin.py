"""REST under /api: what happens in each project, and the levers: plan, training, rollback."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ml_backend.loop import jobs, publish, upkeep
from ml_backend.loop.balance import balance_history
from ml_backend.loop.gain import WINDOW, read_gain
from ml_backend.loop.gain_sentences import sentences
from ml_backend.loop.house import House
from ml_backend.loop.plan import (
    Plan,
    PlanError,
    changed_plan,
    check_for_project,
    needs_training,
    plan_history,
    read_plan,
    restore_plan,
    save_plan,
)
from ml_backend.server.access import author, require_access, signature
from ml_backend.server.views import (
    BalanceView,
    CycleView,
    GainView,
    ItemView,
    PlanChange,
    PlanChanged,
    PlanRestore,
    PlanView,
    PluginView,
    ProblemView,
    ProjectSummary,
    ProjectView,
    Queue,
    QueueItem,
    Refusal,
    Rollback,
    RolledBack,
    TrainRequested,
    VersionView,
)
from ml_backend.store.ledger import current_plan, newest_cycle, publication, record_change
from ml_backend.store.tables import Cycle, Item, PlanVersion, Problem, Project, Publication, PublishedItem
from ml_backend.studio.client import StudioError
from plugins.registry import GROUPS, Listing, available

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": why}
    for status, why in {
        401: "The credentials are missing or wrong.",
        403: "The caller may look and change nothing, or another site asks in its name.",
        404: "There is no such project or item.",
        409: "The state of the project does not allow it.",
        422: "A value is wrong; the sentence names it.",
        502: "Label Studio refused or did not answer.",
        503: "The ledger or Redis does not answer.",
    }.items()
}
router = APIRouter(prefix="/api", dependencies=[Depends(require_access)], responses=REFUSALS)


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


def _session(request: Request) -> Iterator[Session]:
    """Ends with the commit before the answer leaves."""
    with _house(request).ledger.session() as session:
        yield session


def _signs(request: Request) -> Callable[[str | None], str]:
    """Gives the name that a change carries, where its body may name someone."""
    return lambda named: signature(request, named)


RoomsOf = Annotated[House, Depends(_house)]
Open = Annotated[Session, Depends(_session, scope="function")]
Author = Annotated[str, Depends(author)]
Signs = Annotated[Callable[[str | None], str], Depends(_signs)]
ProjectId = Annotated[int, Path(ge=1, lt=2**31, description="The ledger's number of the project, not Label Studio's.")]
TaskId = Annotated[int, Path(ge=1, lt=2**63, description="Label Studio's number of the task.")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, lt=2**31)]


def _project(session: Open, project_id: ProjectId) -> Project:
    project = session.get(Project, project_id)
    if project is None:
        have = ", ".join(map(str, session.scalars(select(Project.id).order_by(Project.id).limit(20)))) or "none"
        raise HTTPException(404, f"Project {project_id} does not exist; connected: {have}.")
    return project


Known = Annotated[Project, Depends(_project)]


# what there is


@router.get("/projects")
def projects(session: Open) -> list[ProjectSummary]:
    """Every project that was ever connected, the deleted ones (state 'gone') included."""
    return [ProjectSummary.model_validate(row) for row in session.scalars(select(Project).order_by(Project.id))]


@router.get("/projects/{project_id}")
def project(session: Open, project: Known) -> ProjectView:
    """State, counts, plan, problems and the newest cycle."""
    statuses = select(Item.status, func.count()).where(Item.project_id == project.id).group_by(Item.status)
    kinds = select(Problem.kind, func.count()).where(Problem.project_id == project.id, Problem.solved_at.is_(None))
    cycle, plan = newest_cycle(session, project.id), current_plan(session, project.id)
    left, unpublished = upkeep.remaining(session, project.id)
    return ProjectView(
        **ProjectSummary.model_validate(project).model_dump(),
        annotators=project.annotators,
        fresh_labels=project.fresh_labels,
        predictions_shown=project.shown,
        plan_number=plan.number if plan else 0,
        items={status: count for status, count in session.execute(statuses)},
        problems={kind: count for kind, count in session.execute(kinds.group_by(Problem.kind))},
        head_left=left,
        unpublished=unpublished,
        last_cycle=CycleView.model_validate(cycle) if cycle else None,
    )


@router.get("/projects/{project_id}/cycles")
def cycles(session: Open, project: Known, limit: Limit = 50, offset: Offset = 0) -> list[CycleView]:
    """Newest first."""
    query = select(Cycle).where(Cycle.project_id == project.id).order_by(Cycle.number.desc())
    return [CycleView.model_validate(row) for row in session.scalars(query.limit(limit).offset(offset))]


@router.get("/projects/{project_id}/queue")
def queue(session: Open, project: Known, limit: Limit = 100, offset: Offset = 0, waiting: bool = False) -> Queue:
    """The published head of the live ranking, best first; with `waiting`, only what has no label yet."""
    live = publication(session, project.id, project.live_version)
    if live is None:
        return Queue(model_version=None, total=0, published=0, items=[])
    query = (
        select(PublishedItem, Item.status)
        .outerjoin(Item, (Item.task_id == PublishedItem.task_id) & (Item.project_id == project.id))
        .where(PublishedItem.publication_id == live.id)
    )
    if waiting:
        query = query.where(Item.status.in_(("unlabeled", "skipped")))
    rows = session.execute(query.order_by(PublishedItem.rank).limit(limit).offset(offset))
    items = [_queue_item(item, status) for item, status in rows]
    return Queue(model_version=live.model_version, total=live.total, published=live.published, items=items)


@router.get("/projects/{project_id}/items/{task_id}")
def item(session: Open, project: Known, task_id: TaskId) -> ItemView:
    """Why this item: its place, the value each scorer gave it, and its problems."""
    row = session.get(Item, (project.id, task_id))
    if row is None:
        raise HTTPException(404, f"Task {task_id} is not among the items of project {project.id}; was it just added?")
    live = publication(session, project.id, project.live_version)
    place = session.get(PublishedItem, (live.id, task_id)) if live is not None else None
    query = select(Problem).where(Problem.project_id == project.id, Problem.task_id == task_id)
    view = ItemView.model_validate(row)
    view.model_version = live.model_version if live is not None else None
    view.place = _queue_item(place, row.status) if place is not None else None
    view.problems = [ProblemView.model_validate(problem) for problem in session.scalars(query)]
    return view


def _queue_item(item: PublishedItem, status: str | None) -> QueueItem:
    view = QueueItem.model_validate(item)
    view.status = status
    return view


@router.get("/projects/{project_id}/gain")
def gain(
    session: Open,
    project: Known,
    window: Annotated[int, Query(ge=1, le=100_000, description="Newest control answers that are counted.")] = WINDOW,
    since: Annotated[int | None, Query(ge=1, lt=2**31, description="Only queues of this cycle and later.")] = None,
) -> GainView:
    """How good the model is where nobody chose the item, and how many labels selection has saved; with intervals."""
    found = read_gain(session, project.id, window=window, since=since)
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return GainView.model_validate({**fields, "sentences": sentences(found)})


@router.get("/projects/{project_id}/balance")
def balance(session: Open, project: Known, limit: Limit = 50) -> list[BalanceView]:
    """Labels per class at each cycle, how even they are, and what class-balanced selectors proved; newest first."""
    return [BalanceView.model_validate(row) for row in balance_history(session, project.id, limit)]


@router.get("/projects/{project_id}/problems")
def problems(
    session: Open, project: Known, limit: Limit = 100, offset: Offset = 0, solved: bool = False
) -> list[ProblemView]:
    """Open problems, the project's own first; with `solved`, the solved ones too."""
    query = select(Problem).where(Problem.project_id == project.id)
    if not solved:
        query = query.where(Problem.solved_at.is_(None))
    rows = session.scalars(query.order_by(Problem.task_id, Problem.kind).limit(limit).offset(offset))
    return [ProblemView.model_validate(row) for row in rows]


@router.get("/projects/{project_id}/versions")
def versions(session: Open, project: Known, limit: Limit = 100, offset: Offset = 0) -> list[VersionView]:
    """What was published, newest first; 'live' and 'retired' ones can be rolled back to."""
    query = select(Publication, Cycle.number).join(Cycle, Cycle.id == Publication.cycle_id)
    query = query.where(Publication.project_id == project.id).order_by(Publication.id.desc())
    return [
        VersionView(
            model_version=row.model_version,
            state=row.state,
            cycle=number,
            total=row.total,
            published=row.published,
            created_at=row.created_at,
            live_at=row.live_at,
        )
        for row, number in session.execute(query.limit(limit).offset(offset))
    ]


# the plan


@router.get("/projects/{project_id}/plan")
def plan(session: Open, project: Known) -> PlanView:
    """The plan in force."""
    row = current_plan(session, project.id)
    if row is not None:
        return PlanView.model_validate(row)
    return PlanView(number=0, body=Plan().model_dump(mode="json"), author="", note="the default", created_at=None)


@router.get("/projects/{project_id}/plan/history")
def history(session: Open, project: Known) -> list[PlanView]:
    """Saved plans, newest first."""
    return [PlanView.model_validate(row) for row in plan_history(session, project.id)]


@router.patch("/projects/{project_id}/plan")
def change(rooms: RoomsOf, project: Known, body: PlanChange, signs: Signs) -> PlanChanged:
    """Replaces top-level fields; the queue re-ranks in seconds, and trains only where the learner changed."""

    def save(session: Session, old: Plan) -> PlanVersion:
        plan = changed_plan(old, body.changes)
        check_for_project(session, project.id, plan)
        return save_plan(session, project.id, plan, author=signs(body.author), note=body.note)

    return _switch(rooms, project.id, save)


@router.post("/projects/{project_id}/plan/restore")
def restore(rooms: RoomsOf, project: Known, body: PlanRestore, signs: Signs) -> PlanChanged:
    """Puts an older plan in force again, as a new version."""

    def save(session: Session, _old: Plan) -> PlanVersion:
        return restore_plan(session, project.id, body.number, author=signs(body.author))

    return _switch(rooms, project.id, save)


def _switch(rooms: House, project_id: int, save: Any) -> PlanChanged:
    """Saves first and asks for the cycle after the commit, so that the worker finds the new plan."""
    try:
        with rooms.ledger.session() as session:
            _, old = read_plan(session, project_id)
            row: PlanVersion = save(session, old)
            record_change(session, project_id, row.author, f"plan {row.number}: {row.note or 'changed'}")
    except PlanError as error:
        raise HTTPException(422, str(error)) from None
    except IntegrityError:
        raise HTTPException(409, "Someone else saved a plan at the same moment; read it and try again.") from None
    kind = "train" if needs_training(old, Plan.model_validate(row.body)) else "rank"
    request = jobs.request_cycle(rooms, project_id, kind, f"plan {row.number} by {row.author}")
    return PlanChanged(plan=PlanView.model_validate(row), cycle=kind, request=request)


# the levers


@router.post("/projects/{project_id}/train", status_code=202)
def train(rooms: RoomsOf, project: Known, caller: Author) -> TrainRequested:
    """Asks for a training now; one that already waits is not doubled."""
    if project.state == "gone":
        raise HTTPException(409, f"Project {project.id} is gone from Label Studio; connect it again to train.")
    request = jobs.request_cycle(rooms, project.id, "train", f"asked by {caller}")
    if request == "unavailable":
        raise HTTPException(503, "Redis does not answer, so no training starts; check REDIS_URL.")
    return TrainRequested(request=request)


@router.post("/projects/{project_id}/rollback")
def rollback(request: Request, rooms: RoomsOf, project: Known, body: Rollback, signs: Signs) -> RolledBack:
    """Makes an earlier published version live again, with one PATCH in Label Studio."""
    try:
        publish.rollback(rooms, project.id, body.model_version, author=signs(body.author))
    except publish.PublishError as error:
        raise HTTPException(409, str(error)) from None
    except StudioError as error:
        raise HTTPException(502, str(error)) from None
    request.app.state.protocol.answers.forget_projects()
    return RolledBack(live_version=body.model_version)


@router.get("/plugins")
def plugins() -> list[PluginView]:
    """Every installed plugin with the schema of its settings; broken ones say why they are disabled."""
    return [_plugin(listing) for kind in GROUPS for listing in available(kind).values()]


def _plugin(listing: Listing) -> PluginView:
    cls = listing.cls
    return PluginView(
        kind=listing.kind,
        name=listing.name,
        title=cls.title if cls else None,
        summary=cls.summary if cls else None,
        reference=cls.reference if cls else None,
        needs=sorted(cls.needs) if cls else [],
        settings=cls.Config.model_json_schema() if cls else None,
        package=listing.package,
        version=listing.version,
        error=listing.error,
    )
