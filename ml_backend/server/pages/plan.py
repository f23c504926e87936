"""Plan: which plugins order the queue, tried out before it is saved, and every version with what it changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ml_backend.loop.plan import Plan, PlanError, answers_to, changed_plan, parse_plan, read_plan
from ml_backend.loop.plan_diff import Difference, diff_versions, plan_differences, plan_version
from ml_backend.loop.plan_file import plan_yaml
from ml_backend.loop.preview_job import PreviewUnavailableError, read_preview, request_preview
from ml_backend.loop.switch import Switched, restore, switch_plan
from ml_backend.server.admin import Known, Open, RoomsOf
from ml_backend.server.forms import Filled, Form, field
from ml_backend.server.pages.frame import Admin, Tab, back, fragment, page
from ml_backend.server.plan_form import plan_form
from ml_backend.server.plan_reading import read_plan_form
from ml_backend.server.queue_cards import classes_of
from ml_backend.server.schema_form import FormError
from ml_backend.store.tables import PlanVersion, Project
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.labels import ImageClassification
from ml_backend.studio.question import read_question
from ml_backend.studio.regions.config import BoxesConfig

TAB = Tab("Plan", "plan", order=30)
VERSIONS = 10  # on a page
NOTE = 2000  # characters
router = APIRouter(prefix="/projects/{project_id}/plan", include_in_schema=False)

Number = Annotated[int, Query(ge=0, lt=2**31)]
ASKED = {
    "queued": "is on its way",
    "coalesced": "is on its way",
    "unavailable": "comes with the next cycle, since Redis does not answer",
}


@dataclass(frozen=True)
class Version:
    """A saved plan and what it changed of the one before."""

    row: PlanVersion
    changes: list[Difference]


@router.get("")
def show(
    request: Request,
    session: Open,
    project: Known,
    offset: Number = 0,
    old: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    new: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
) -> Response:
    """The form with the plan in force; with `old` and `new`, what differs between two versions."""
    return _page(request, session, project, offset=offset, compare=(old, new) if old is not None else None)


def _page(
    request: Request,
    session: Session,
    project: Project,
    *,
    offset: int = 0,
    compare: tuple[int | None, int | None] | None = None,
    sent: Form | None = None,
    fault: str | None = None,
) -> Response:
    number, plan = read_plan(session, project.id)
    differences, missing = _compared(session, project.id, compare, number)
    total = session.scalar(select(func.count()).where(PlanVersion.project_id == project.id)) or 0
    classes = classes_of(project)
    answers, whole = _question(project)
    return page(
        request,
        "plan.html",
        title="Plan",
        project=project,
        status=422 if fault else 200,
        number=number,
        form=plan_form(plan, classes, answers, sent, whole_videos=whole),
        classes=classes,
        note=(sent or {}).get("note", ""),
        versions=_versions(session, project.id, offset),
        offset=offset,
        limit=VERSIONS,
        total=total,
        compare=(compare[0], compare[1] if compare[1] is not None else number) if compare else None,
        differences=differences,
        fault=fault or missing,
    )


def _question(project: Project) -> tuple[str, bool]:
    """(what learners must give, whether a task shows a whole video)."""
    try:
        question = read_question(project.label_config)
    except ConfigError:
        return "classes", False
    return answers_to(question), not isinstance(question, (ImageClassification, BoxesConfig))


def _versions(session: Session, project_id: int, offset: int) -> list[Version]:
    """Newest first; one more is read, since the last on the page is compared with the one before it."""
    query = select(PlanVersion).where(PlanVersion.project_id == project_id).order_by(PlanVersion.number.desc())
    rows = list(session.scalars(query.offset(offset).limit(VERSIONS + 1)))
    plans = [parse_plan(row.body, saved=True) for row in rows] + [Plan()]
    return [Version(row, plan_differences(plans[i + 1], plans[i])) for i, row in enumerate(rows[:VERSIONS])]


def _compared(
    session: Session, project_id: int, compare: tuple[int | None, int | None] | None, number: int
) -> tuple[list[Difference], str | None]:
    """(differences, what is wrong with the question)."""
    if compare is None or compare[0] is None:
        return [], None
    try:
        return diff_versions(session, project_id, compare[0], compare[1] if compare[1] is not None else number), None
    except PlanError as error:
        return [], str(error)


@router.get("/file")
def file(session: Open, project: Known, number: Annotated[int | None, Query(ge=0, lt=2**31)] = None) -> Response:
    """A version as YAML, for people who keep plans in git."""
    try:
        known, plan = (
            read_plan(session, project.id) if number is None else (number, plan_version(session, project.id, number))
        )
    except PlanError as error:
        raise HTTPException(404, str(error)) from None
    name = f"plan-{project.studio_id}-{known}.yaml"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Response(plan_yaml(known, plan), media_type="text/yaml; charset=utf-8", headers=headers)


@router.post("")
def save(request: Request, admin: Admin, form: Filled, rooms: RoomsOf, session: Open, project: Known) -> Response:
    """A new version in force; one that someone else saved meanwhile is not overwritten."""
    number, plan = read_plan(session, project.id)
    try:
        if field(form, "base") != str(number):
            raise PlanError(f"Plan {number} was saved meanwhile; load the page again and repeat your change.")
        wanted = _wanted(form, plan, project)
        if not plan_differences(plan, wanted):
            return back(request, f"/projects/{project.id}/plan", f"Nothing differs from plan {number}.")
        note = form.get("note", "").strip()[:NOTE]
        done = switch_plan(rooms, project.id, wanted, author=admin.name, note=note)
    except (PlanError, FormError) as error:
        return _page(request, session, project, sent=form, fault=str(error))
    except IntegrityError:
        raise HTTPException(409, "Someone else saved a plan at the same moment; load the page again.") from None
    return back(request, f"/projects/{project.id}/plan", _said(done))


def _wanted(form: Form, plan: Plan, project: Project) -> Plan:
    return changed_plan(plan, read_plan_form(form, plan, classes_of(project)))


def _said(done: Switched) -> str:
    what = "the training that it needs" if done.kind == "train" else "a ranking without a training"
    return f"Plan {done.number} is in force; {what} {ASKED[done.asked]}."


@router.post("/restore")
def put_back(request: Request, admin: Admin, form: Filled, rooms: RoomsOf, project: Known) -> Response:
    """An older version in force again, as a new one."""
    text = field(form, "number")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise HTTPException(422, f"'{text[:40]}' is no number of a plan.")
    try:
        done = restore(rooms, project.id, int(text), author=admin.name)
    except PlanError as error:
        return back(request, f"/projects/{project.id}/plan", str(error), bad=True)
    return back(request, f"/projects/{project.id}/plan", _said(done))


@router.post("/preview")
def try_out(
    request: Request,
    admin: Admin,  # noqa: ARG001  # checks who asks
    form: Filled,
    rooms: RoomsOf,
    session: Open,
    project: Known,
) -> Response:
    """Asks a worker what the form's plan would do; the answer is a part of the page that looks again by itself."""
    _, plan = read_plan(session, project.id)
    try:
        asked = request_preview(rooms, project.id, _wanted(form, plan, project))
    except (PlanError, FormError, PreviewUnavailableError) as error:
        return fragment(
            request, "plan_preview.html", project=project, asked=None, status="failed", seen=None, error=str(error)
        )
    return fragment(request, "plan_preview.html", project=project, asked=asked, status="waiting", seen=None, error=None)


@router.get("/preview/{asked}")
def look(request: Request, rooms: RoomsOf, project: Known, asked: Annotated[str, Path(max_length=64)]) -> Response:
    try:
        state = read_preview(rooms, project.id, asked)
    except PreviewUnavailableError as error:
        return fragment(
            request, "plan_preview.html", project=project, asked=None, status="failed", seen=None, error=str(error)
        )
    return fragment(
        request,
        "plan_preview.html",
        project=project,
        asked=asked,
        status=state.status,
        seen=state.result,
        error=state.error,
    )
