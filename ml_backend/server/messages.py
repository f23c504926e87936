"""What Label Studio sends, read at the door: a message or one sentence on what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

BODY_LIMIT = 256 * 2**20  # bytes; Label Studio's own limit on an import is 250 MiB
Id = Annotated[int, Field(ge=0, lt=2**63)]


class MessageError(ValueError):
    """A body that cannot be read; `status` is the HTTP status that says so."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def _listed(value: Any) -> Any:
    """ANNOTATION_CREATED carries an object where ANNOTATIONS_CREATED carries a list."""
    return [value] if isinstance(value, dict) else [] if value is None else value


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class SetupMessage(_Message):
    """/setup: only the project matters; `schema` and `access_token` come from the connection instead."""

    project: str | None = None
    extra_params: Any = None


class TaskMessage(_Message):
    id: Id | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class PredictMessage(_Message):
    """/predict: `project` is Label Studio's '<id>.<created epoch>'; `params` may be null and is not needed."""

    tasks: list[TaskMessage]
    project: str | None = None
    label_config: str | None = None


class WebhookProject(_Message):
    id: Id
    created_at: datetime | None = None
    model_version: str | None = None
    show_collab_predictions: bool | None = None

    @property
    def key(self) -> str:
        """As Label Studio names the project in /setup and /predict."""
        created = self.created_at or datetime.fromtimestamp(0, UTC)
        return f"{self.id}.{int((created if created.tzinfo else created.replace(tzinfo=UTC)).timestamp())}"


class NamedAnnotation(_Message):
    id: Id | None = None
    task: Any = None
    was_cancelled: Any = None

    @property
    def task_id(self) -> int | None:
        task = self.task.get("id") if isinstance(self.task, dict) else self.task
        return task if isinstance(task, int) and not isinstance(task, bool) and 0 <= task < 2**63 else None


class WebhookMessage(_Message):
    """/webhook: the keys besides action and project depend on the action."""

    action: str = Field(min_length=1)
    project: WebhookProject | None = None
    annotation: Annotated[list[NamedAnnotation], BeforeValidator(_listed)] = Field(default_factory=list)
    annotations: Annotated[list[NamedAnnotation], BeforeValidator(_listed)] = Field(default_factory=list)


MessageT = TypeVar("MessageT", bound=_Message)


def read(kind: type[MessageT], body: bytes) -> MessageT:
    """The message, or MessageError with a sentence that names the field."""
    if not body.strip():
        raise MessageError("The body is empty; send JSON, as Label Studio does.")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise MessageError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return f"The body is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}."
    if not where:
        return "The body is not a JSON object; send one, as Label Studio does."
    if first["type"] == "missing":
        return f"`{where}` is missing; Label Studio always sends it."
    value = first.get("input", PydanticUndefined)
    shown = f" is {repr(value)[:80]}" if isinstance(value, (str, int, float, bool, type(None))) else ""
    return f"`{where}`{shown}: {first['msg']}."
