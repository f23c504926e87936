"""What the admin interface answers with."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class View(BaseModel):
    """Made from a row of the ledger or from named values."""

    model_config = ConfigDict(from_attributes=True)


class CycleView(View):
    """One turn of the loop; `seconds` per phase, accuracy with its 95 % interval on held-out labels."""

    number: int
    kind: str
    trigger: str
    status: str
    phase: str
    plan_number: int
    evidence_cycle: int | None
    model_version: str | None
    features: str
    labels: int
    pool: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    metrics: dict[str, Any]
    seconds: dict[str, Any]
    notes: list[str]
    error: str | None
    started_at: datetime
    finished_at: datetime | None


class ProjectSummary(View):
    id: int
    studio_url: str
    studio_id: int
    key: str
    title: str
    state: str
    live_version: str | None
    created_at: datetime
    reconciled_at: datetime | None


class ProjectView(ProjectSummary):
    """`items` counts tasks by status, `problems` open problems by kind; `head_left` published items without a label."""

    annotators: int
    fresh_labels: int
    predictions_shown: bool | None
    plan_number: int
    items: dict[str, int]
    problems: dict[str, int]
    head_left: int
    unpublished: int
    last_cycle: CycleView | None


class QueueItem(View):
    """Why an item stands where it stands. detail: scorer -> {value, percentile, weight, reason}. arm: 'control' if it
    was drawn at random, each of 1 / propensity items as probable, else 'ranked'."""

    task_id: int
    rank: int
    score: float
    label: str | None
    confidence: float | None
    reason: str
    detail: dict[str, Any]
    arm: str
    propensity: float | None
    status: str | None = Field(None, description="unlabeled, labeled, skipped or unusable, as of the last sync.")


class Queue(View):
    model_version: str | None
    total: int = Field(description="Ranked items.")
    published: int = Field(description="Items written to Label Studio, the first of the ranking.")
    items: list[QueueItem]


class ProblemView(View):
    task_id: int = Field(description="0 for a problem of the whole project.")
    kind: str
    message: str
    count: int
    first_seen: datetime
    last_seen: datetime
    solved_at: datetime | None


class ItemView(View):
    """One task as last read, its place in the live queue, its problems."""

    task_id: int
    url: str
    status: str
    label: str | None
    lead_time: float | None
    labeled_at: str | None
    model_version: str | None = None
    place: QueueItem | None = None
    problems: list[ProblemView] = Field(default_factory=list)


class VersionView(View):
    model_version: str
    state: str
    cycle: int
    total: int
    published: int
    created_at: datetime
    live_at: datetime | None


class AccuracyView(View):
    """Share of right predictions among `n` control answers, with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


class RangeView(View):
    """A median with its 95 % interval; null where it lies beyond all labels there are, so that nobody can tell."""

    value: float | None
    low: float | None
    high: float | None


class SavingsView(View):
    """Today's labels beside random ones. `labels`: behind `accuracy`, on all items, of a model that has not seen the
    item (nine tenths of the labels there were); `needed`: random labels for the same; `saved`: the difference;
    `curve`: random labels -> accuracy, measured; `draws`: control answers behind it all."""

    labels: int
    draws: int
    accuracy: RangeView
    needed: RangeView
    saved: RangeView
    curve: dict[int, RangeView]


class GainView(View):
    """What the control arm says so far; `sentences` say it in plain words, headline first."""

    sentences: list[str] = Field(description="Plain words.")
    share: float = Field(description="Of the queue that is drawn at random, by the plan.")
    answered: int = Field(description="Control items with an answer.")
    measured: int = Field(description="Those among them that a model had predicted without having seen them.")
    skipped: int = Field(description="Control items that annotators skipped.")
    unusable: int = Field(description="Control items whose annotation cannot be learned.")
    out_of_turn: int = Field(description="Control items labeled although the queue had not come to them: not counted.")
    waiting: int = Field(description="Control items in the live queue without an answer.")
    remaining: AccuracyView | None = Field(description="On what is still unlabeled, from the newest `window` answers.")
    cycles: tuple[int, int] | None = Field(description="First and last cycle whose queues `remaining` was measured on.")
    overall: AccuracyView | None = Field(description="As `remaining`, from all answers, while the model changed.")
    collection: AccuracyView | None = Field(description="On labeled and unlabeled items together.")
    savings: SavingsView | None = Field(description="Null until there are enough control answers.")
    savings_cycle: int | None = Field(description="The cycle that compared.")
    shown: bool = Field(description="Whether annotators see predictions, which draws their answers to them.")


class BalanceView(View):
    """Classes at one cycle. `score`: L1 score (0 even, 1 one class) of all labels; `added`: labels that came since;
    `facts`: what the selector said of its batch: what was wanted and is expected of each class, lambda, gap, path."""

    cycle: int
    counts: list[int]
    score: float
    added: list[int]
    added_score: float | None
    facts: dict[str, Any]


class PlanView(View):
    """A saved plan; number 0 is the default that holds while none was saved."""

    number: int
    body: dict[str, Any]
    author: str
    note: str
    created_at: datetime | None


class PlanChange(BaseModel):
    """Top-level fields of the plan to replace; see GET .../plan for the plan in force."""

    model_config = ConfigDict(extra="forbid")

    changes: dict[str, Any] = Field(min_length=1)
    author: str | None = Field(None, min_length=1, max_length=256)
    note: str = Field("", max_length=2000)


class PlanRestore(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: Annotated[int, Field(ge=1, lt=2**31)]
    author: str | None = Field(None, min_length=1, max_length=256)


class PlanChanged(View):
    """The plan now in force and what its change started: cycle 'rank' or 'train', request 'queued' or 'coalesced', or
    'unavailable' without Redis (the plan is saved and the next cycle uses it)."""

    plan: PlanView
    cycle: str
    request: str


class TrainRequested(View):
    request: str


class Rollback(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model_version: str = Field(min_length=1, max_length=128)
    author: str | None = Field(None, min_length=1, max_length=256)


class RolledBack(View):
    live_version: str


class PluginView(View):
    """One plugin that a package offers; `error` says why it cannot be used, `settings` is its Config's JSON schema."""

    kind: str
    name: str
    title: str | None = None
    summary: str | None = None
    reference: str | None = None
    needs: list[str] = Field(default_factory=list)
    settings: dict[str, Any] | None = None
    package: str
    version: str
    error: str | None = None


class Refusal(BaseModel):
    """One sentence with the culprit, its value and the remedy."""

    detail: str
