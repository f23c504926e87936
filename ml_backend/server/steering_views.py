"""What the routes that steer a queue answer with."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ml_backend.server.views import View


class OverrideWish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["front", "back", "exclude"] = Field(
        description="front: served next, behind what was pinned before; back: last of all; exclude: not served at all."
    )
    author: str | None = Field(None, min_length=1, max_length=256)


class OverrideView(View):
    """Where a person wants a task. status: of the task as of the last sync; null if it is gone."""

    task_id: int
    kind: str
    author: str
    at: datetime
    status: str | None = None


class OverrideChanged(View):
    """request: 'queued' or 'coalesced' for the ranking that obeys; 'unavailable' without Redis (the next one obeys)."""

    task_id: int
    kind: str | None
    request: str


class ScorerView(View):
    """One scorer's say. percentile: share of the ranked items with a lower value."""

    value: float
    percentile: float
    weight: float
    reason: str = Field(description="Empty where the item was far behind the written head.")


class WhyView(View):
    """Why a task stands where it stands; `sentence` says all of it in plain words."""

    task_id: int
    status: str
    model_version: str | None
    rank: int | None = Field(description="From 0, served next; null where the live ranking does not hold the task.")
    total: int
    written: bool = Field(description="Whether Label Studio holds its place already.")
    predicted: str | None
    confidence: float | None
    arm: str | None = Field(description="'control' if it was drawn at random; annotators are not told.")
    propensity: float | None
    override: str | None
    sentence: str
    scorers: dict[str, ScorerView]


class PlanProposal(BaseModel):
    """Top-level fields of the plan that would be replaced."""

    model_config = ConfigDict(extra="forbid")

    changes: dict[str, Any] = Field(min_length=1)


class PreviewStarted(View):
    id: str = Field(description="Ask for it at GET .../plan/preview/{id}.")
    status: str


class PreviewView(View):
    """status: waiting (for a worker), running, done, failed, or unknown (over ten minutes old). result: see
    ml_backend.loop.preview.Preview."""

    id: str
    status: str
    result: dict[str, Any] | None = None
    error: str | None = None


class SettingChange(View):
    """One setting that differs, in words ('off' or 'by default' where that side does not have it)."""

    setting: str
    old: str
    new: str
    sentence: str


class PlanDiff(View):
    old: int
    new: int
    changes: list[SettingChange]
