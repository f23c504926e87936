"""A project's plan: which plugins, weights, parameters, batch and policy. Versioned, validated, switched at runtime."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.settings import settings
from ml_backend.store.ledger import current_plan, next_number
from ml_backend.store.tables import PlanVersion, Project
from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.labels import ImageClassification
from ml_backend.studio.question import Question, read_question
from ml_backend.studio.regions.config import TimelineConfig, TracksConfig
from plugins import registry
from plugins.contract import PluginError

SAVED = "saved"  # validation context of plans that come from the ledger


class PlanError(ValueError):
    """A plan that cannot be saved; the message is one sentence with field, value and remedy."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Chosen(_Part):
    """A plugin by name with its settings, which must exist when a plan is saved.

    It may be uninstalled later: the plan is still read then, and the plugin is reported and sits out.
    """

    kind: ClassVar[str]

    name: str = Field(description="Name of an installed plugin (`nextlabel plugins` lists them).")
    config: dict[str, Any] = Field(default_factory=dict, description="The plugin's settings; see its schema.")

    @model_validator(mode="after")
    def _exists(self, info: ValidationInfo) -> _Chosen:
        if info.context != SAVED:
            registry.make(self.kind, self.name, self.config)
        return self


class ChosenScorer(_Chosen):
    kind = "scorer"
    weight: float = Field(1.0, gt=0, le=1000, description="Share of this scorer's rank in the mix.")


class ChosenSelector(_Chosen):
    kind = "selector"


class ChosenLearner(_Chosen):
    kind = "learner"


class ColdStart(_Part):
    """What orders the queue until the classes are known; margin on ten labels is worse than random (method.md)."""

    selector: ChosenSelector = Field(default_factory=lambda: ChosenSelector(name="kmeans"))
    labels_per_class: int = Field(
        4, ge=1, le=1000, description="Labels that every class needs before the scorers take over; 4-5 pays best."
    )
    at_most: int = Field(
        15, ge=1, le=1000, description="Ends the cold start after this many labels per class on average, seen or not."
    )


class Policy(_Part):
    """When a project retrains."""

    new_labels: int = Field(
        default_factory=lambda: settings().start_training_each_n_updates,
        ge=1,
        le=100_000,
        description="New or changed labels after which a training starts; fewer keeps the queue fresher.",
    )
    minutes: float = Field(
        10.0, gt=0, le=10_080, description="A training also starts this many minutes after the last, if labels changed."
    )
    paused: bool = Field(False, description="Only START_TRAINING and the admin start a training.")


class Advice(_Part):
    """When cycles warn that a plan may not pay; they change nothing."""

    low_accuracy: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Estimated accuracy below which a cycle says that selection may not beat random order.",
    )


class WholeVideos(_Part):
    """How tasks that show a whole video are looked at, ranked and drawn."""

    frames_per_second: float = Field(
        2.0,
        gt=0,
        le=60,
        description="Frames a second that the detector learns from and looks at; more finds what is brief, and costs "
        "in proportion.",
    )
    best: int = Field(
        10,
        ge=1,
        le=10_000,
        description="Frames of a video, those of highest value, that its own value is made of; so a long video wins by "
        "its worst stretches alone. More favours videos that are doubtful throughout.",
    )
    over: Literal["sum", "mean"] = Field(
        "sum",
        description="sum: expected errors in the best frames; mean: how bad these are, however few frames there are.",
    )
    tolerance_px: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="How far in px a side of a drawn box may lie from the model's between two keyframes; more means "
        "fewer keyframes to correct.",
    )


class Plan(_Part):
    """Everything an admin can switch. The default: coverage until classes are known, then margin."""

    scorers: tuple[ChosenScorer, ...] = Field(
        default_factory=lambda: (ChosenScorer(name="margin"),),
        min_length=1,
        description="Scorers whose percentile ranks are mixed by weight.",
    )
    selector: ChosenSelector = Field(
        default_factory=lambda: ChosenSelector(name="top"), description="Orders the batch from the mixed scores."
    )
    cold_start: ColdStart | None = Field(default_factory=ColdStart, description="null: scorers from the first model.")
    learner: ChosenLearner = Field(default_factory=lambda: ChosenLearner(name="frozen"), description="What is trained.")
    batch: int | None = Field(
        None, ge=1, le=1_000_000, description="Items chosen together; null: 8 x classes, never more than the labels."
    )
    control: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of the queue that is drawn at random, unseen by annotators; it measures the model and the "
        "labels saved. More measures sooner and saves less; 0 measures nothing.",
    )
    policy: Policy = Field(default_factory=Policy)
    advice: Advice | None = Field(default_factory=Advice, description="null: cycles give no advice on the plan.")
    shown_from: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Score from which a detected box is shown to annotators and counted by scorers; where boxes are "
        "drawn. Lower shows more, right and wrong.",
    )
    videos: WholeVideos = Field(default_factory=WholeVideos)
    show_predictions: bool = Field(True, description="Annotators see the model's answer. It is quick, and it anchors.")
    show_reasons: bool = Field(
        False,
        description="Annotators read in a sentence why the model looks at a task; the labeling config needs "
        '<Header value="$nextlabel_why"/>. Nothing tells items of the control arm from the others.',
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Drives every random choice.")

    @field_validator("scorers")
    @classmethod
    def _distinct(cls, scorers: tuple[ChosenScorer, ...]) -> tuple[ChosenScorer, ...]:
        names = [scorer.name for scorer in scorers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"the scorer '{twice}' stands twice; give it once with one weight")
        return scorers

    def batch_size(self, classes: int, labels: int) -> int:
        """Items chosen together: 5-10 x classes and never more than doubles the labels (method.md, last section)."""
        return self.batch or max(classes, min(8 * classes, labels))


def parse_plan(body: dict[str, Any], *, saved: bool = False) -> Plan:
    """A validated plan, or PlanError naming the first bad field; a saved one may name plugins that are gone."""
    try:
        return Plan.model_validate(body, context=SAVED if saved else None)
    except PluginError as error:
        raise PlanError(str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "plan"
        known = f" Fields: {', '.join(Plan.model_fields)}." if first["type"] == "extra_forbidden" else ""
        given = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
        raise PlanError(f"{where}{given}: {first['msg']}.{known}") from None


def read_plan(session: Session, project_id: int) -> tuple[int, Plan]:
    """Number and body of the plan in force; 0 and the default while none was saved."""
    row = current_plan(session, project_id)
    return (0, Plan()) if row is None else (row.number, parse_plan(row.body, saved=True))


def save_plan(session: Session, project_id: int, plan: Plan, *, author: str, note: str = "") -> PlanVersion:
    """Keeps a plan as the newest version."""
    row = PlanVersion(
        project_id=project_id,
        number=next_number(session, PlanVersion, project_id),
        body=plan.model_dump(mode="json"),
        author=author,
        note=note,
    )
    session.add(row)
    session.flush()
    return row


def check_for_project(session: Session, project_id: int, plan: Plan) -> None:
    """PlanError where the learner cannot answer the project's question, or settings name a class it does not have."""
    try:
        question = read_question(session.get_one(Project, project_id).label_config)
    except ConfigError:
        return  # no class can be known; the cycle says what is wrong with the config
    _check_learner(plan, question)
    if plan.control and not isinstance(question, ImageClassification):
        raise PlanError(
            f"control = {plan.control:g}: the control arm compares classes of images, and this project asks for "
            "something else; set 0."
        )
    if isinstance(question, (TracksConfig, TimelineConfig)):
        _check_for_videos(plan)
    chosen: list[_Chosen] = [*plan.scorers, plan.selector]
    if plan.cold_start is not None:
        chosen.append(plan.cold_start.selector)
    for one in chosen:
        try:
            registry.make(one.kind, one.name, one.config).check_classes(question.classes)
        except PluginError as error:
            raise PlanError(str(error)) from None


def _check_learner(plan: Plan, question: Question) -> None:
    wanted = answers_to(question)
    learners = registry.available("learner")
    listing = learners.get(plan.learner.name)
    given = getattr(listing.cls, "answers", wanted) if listing and listing.cls else wanted  # a missing one sits out
    if given != wanted:
        able = [name for name, one in sorted(learners.items()) if getattr(one.cls, "answers", None) == wanted]
        raise PlanError(
            f"The learner '{plan.learner.name}' gives {given}, and the project's labeling config asks for {wanted}; "
            f"choose one of {', '.join(able) or 'those of a package that gives them'}."
        )


def _check_for_videos(plan: Plan) -> None:
    """Selectors and cold starts order items of the evidence, which are frames; a queue of videos has its own order."""
    if plan.selector.name != "top":
        raise PlanError(
            f"The selector '{plan.selector.name}' orders frames, and whole videos are ranked; choose 'top'."
        )
    if plan.cold_start is not None:
        raise PlanError("A cold start covers images, and whole videos are ranked; set cold_start to null.")


def answers_to(question: Question) -> str:
    """What a learner must give: 'classes' or 'boxes'."""
    return "classes" if isinstance(question, (ImageClassification, TimelineConfig)) else "boxes"


def default_plan(question: Question, in_videos: bool = False) -> Plan:
    """The plan of a new project. For boxes: YOLO where it is installed (an extra, for its licence), else Faster R-CNN.

    in_videos: whether its tasks are frames of videos. Boxes have no control arm: it compares classes.
    """
    if isinstance(question, ImageClassification):
        return Plan()
    if isinstance(question, TimelineConfig):
        return Plan(cold_start=None, control=0)
    whole = isinstance(question, TracksConfig)
    learner = "yolo" if find_spec("ultralytics") else "faster_rcnn"
    scorer = ChosenScorer(name="detection_entropy", config={"over": "sum"})
    return Plan(
        learner=ChosenLearner(name=learner),
        scorers=(ChosenScorer(name="temporal_coherence") if in_videos or whole else scorer,),
        selector=ChosenSelector(name="spaced" if in_videos and not whole else "top"),
        cold_start=None,
        control=0,
    )


def changed_plan(plan: Plan, changes: dict[str, Any]) -> Plan:
    """A plan with top-level fields replaced, validated."""
    return parse_plan({**plan.model_dump(mode="json"), **changes})


def plan_history(session: Session, project_id: int) -> list[PlanVersion]:
    """All saved plans, newest first."""
    query = select(PlanVersion).where(PlanVersion.project_id == project_id).order_by(PlanVersion.number.desc())
    return list(session.scalars(query))


def restore_plan(session: Session, project_id: int, number: int, *, author: str) -> PlanVersion:
    """An older plan as a new version; history is never rewritten."""
    query = select(PlanVersion).where(PlanVersion.project_id == project_id, PlanVersion.number == number)
    row = session.scalar(query)
    if row is None:
        have = ", ".join(str(version.number) for version in plan_history(session, project_id)) or "none"
        raise PlanError(f"Plan {number} does not exist; saved plans: {have}.")
    plan = parse_plan(row.body)
    check_for_project(session, project_id, plan)
    return save_plan(session, project_id, plan, author=author, note=f"restored from {number}")


def needs_training(old: Plan, new: Plan) -> bool:
    """Whether a change of plan asks for new evidence rather than only a new ranking."""
    return old.learner != new.learner
