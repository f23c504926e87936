"""Forms made from pydantic models: each field with its help, bounds and kind; and what a form says, read back.

Whatever the model then finds wrong is its own sentence; here only text becomes numbers, booleans and lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml
from pydantic import BaseModel

SKIPPED = object()  # a field that the form does not have
LONGEST = 10_000  # characters of a field that holds YAML


class FormError(ValueError):
    """A field that cannot be read; the message is one sentence with field, value and remedy."""


@dataclass(frozen=True)
class FormField:
    """One input. kind: number | integer | switch | choice | text | yaml. value: as the form shows it, '' for null.

    minimum, maximum, step: of numbers, as HTML wants them. optional: an empty field is null, or the default.
    """

    name: str
    label: str
    kind: str
    value: str
    help: str = ""
    minimum: str = ""
    maximum: str = ""
    step: str = "any"
    choices: tuple[str, ...] = ()
    optional: bool = False

    @property
    def bounds(self) -> str:
        """
        >>> FormField("a", "A", "number", "", minimum="0", maximum="1").bounds
        'from 0 to 1'
        """
        if self.minimum and self.maximum:
            return f"from {self.minimum} to {self.maximum}"
        return f"at least {self.minimum}" if self.minimum else f"at most {self.maximum}" if self.maximum else ""


def fields_of(
    model: type[BaseModel], values: Mapping[str, Any], prefix: str, *, only: tuple[str, ...] | None = None
) -> list[FormField]:
    """The fields of a model with their present values (defaults where there is none); named prefix + field.

    only: some of them, in this order.
    """
    schema = _schema(model)
    names = only if only is not None else tuple(schema.get("properties", {}))
    return [
        _field(prefix + name, name, _resolved(schema["properties"][name], schema), values.get(name)) for name in names
    ]


def read_fields(
    model: type[BaseModel], form: Mapping[str, str], prefix: str, names: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Field -> value, as the form's texts say; fields that the form leaves out, or optional ones left empty, are left
    out. Raises FormError."""
    schema = _schema(model)
    found = {}
    for name in names if names is not None else tuple(schema.get("properties", {})):
        one = _field(prefix + name, name, _resolved(schema["properties"][name], schema), None)
        value = _read(one, form)
        if value is not SKIPPED:
            found[name] = value
    return found


@lru_cache(maxsize=256)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Made once for each model: it takes longer than the rest of a page."""
    return model.model_json_schema()


def _resolved(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """With what it refers to."""
    reference = field.get("$ref")
    return {**schema["$defs"][reference.rsplit("/", 1)[1]], **field} if reference else field


def _field(name: str, label: str, schema: dict[str, Any], value: Any) -> FormField:
    default = schema.get("default")
    shown = default if value is None else value
    kind, types = _kind(schema)
    optional = any(part.get("type") == "null" for part in schema.get("anyOf", []))
    bounds = types if kind in ("number", "integer") else {}
    low, high = (
        bounds.get("minimum", bounds.get("exclusiveMinimum")),
        bounds.get("maximum", bounds.get("exclusiveMaximum")),
    )
    return FormField(
        name=name,
        label=label.replace("_", " "),
        kind=kind,
        value=_shown(shown, kind),
        help=str(schema.get("description", "")),
        minimum="" if low is None else f"{low:.12g}",
        maximum="" if high is None else f"{high:.12g}",
        step="1" if kind == "integer" else "any",
        choices=tuple(str(choice) for choice in types.get("enum", ())),
        optional=optional,
    )


def _kind(schema: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(kind of input, the part of the schema that bounds it)."""
    kinds = {"number": "number", "integer": "integer", "boolean": "switch", "string": "text"}
    if "enum" in schema:
        return "choice", schema
    if "const" in schema:
        return "choice", {**schema, "enum": [schema["const"]]}
    parts = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    if len(parts) == 1:
        part = parts[0]
        if "enum" in part:
            return "choice", part
        return kinds.get(str(part.get("type")), "yaml"), part
    return "yaml", {}


def _shown(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if kind == "yaml":
        return (
            value
            if isinstance(value, str)
            else yaml.safe_dump(value, default_flow_style=True, width=1000).strip().removesuffix("\n...")
        )
    if isinstance(value, bool):
        return "on" if value else ""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _read(field: FormField, form: Mapping[str, str]) -> Any:
    if field.kind == "switch":
        return form.get(field.name) == "on" if f"{field.name}.there" in form else SKIPPED
    text = form.get(field.name)
    if text is None:
        return SKIPPED
    text = text.strip()
    if not text:
        return None if field.optional else SKIPPED
    try:
        if field.kind == "integer":
            return int(text)
        if field.kind == "number":
            return float(text)
    except ValueError:
        wanted = "a whole number" if field.kind == "integer" else "a number"
        raise FormError(f"{field.label} = '{text[:60]}' is no number; write {wanted}.") from None
    return _yaml(field, text) if field.kind == "yaml" else text


def _yaml(field: FormField, text: str) -> Any:
    if len(text) > LONGEST:
        raise FormError(f"{field.label} is longer than {LONGEST} characters; shorten it.")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise FormError(
            f"{field.label} = '{text[:60]}' is no YAML; write it as in [1, 2] or {{cat: 1, dog: 2}}."
        ) from None
