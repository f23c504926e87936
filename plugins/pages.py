"""A page of documentation for each plugin, written from its own class, so that it cannot say something else."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plugins.contract import Plugin
from plugins.evidence import COLUMNS
from plugins.registry import GROUPS, Listing, available

Row = Mapping[str, Any]
CHOSEN = {
    "scorer": "nextlabel plan set 'scorers=[{name: %s}]'",
    "selector": "nextlabel plan set 'selector={name: %s}'",
    "learner": "nextlabel plan set 'learner={name: %s}'",
    "tracker": "nextlabel plan set 'scorers=[{name: temporal_coherence, config: {tracker: %s}}]'",
}
RANKS = ("scorer", "selector")  # these ask about items; the others serve them
TRACKERS = "Measured with its precision by `python -m benchmarks trackers`: see [Trackers](../trackers.md)."
LOOP = "the loop itself"  # what every cycle knows without a learner
SEEN = ("video", "frame", "size", "path", "content", "images")  # of an image, without a learner
KNOWN = {"task_id", "counts", "labels", *(f"{side}{name}" for side in ("", "labeled_") for name in SEEN)}
KNOWN |= {"labeled_box_item", "labeled_box", "labeled_box_label"}


def pages(package: str, rows: Sequence[Row]) -> dict[str, str]:
    """File name -> Markdown of every plugin that `package` offers and that can be loaded, and of their index.

    rows: of the benchmark `acquisition`, none if it was never run.
    """
    listed = {kind: [one for one in available(kind).values() if one.package == package and one.cls] for kind in GROUPS}
    written = {f"{one.name}.md": page(one, rows) for found in listed.values() for one in found}
    return {"README.md": _index(package, listed), **written}


def page(listing: Listing, rows: Sequence[Row]) -> str:
    """One plugin's page."""
    cls = listing.cls
    if cls is None:
        raise ValueError(f"The {listing.kind} '{listing.name}' cannot be loaded: {listing.error}.")
    parts = [
        f"# {cls.title}",
        f"`{cls.name}`, a {listing.kind} of the package {listing.package}. {_prose(cls.summary)}",
        "## What it asks about" if listing.kind in RANKS else "## What it does",
        _doc(sys.modules[cls.__module__].__doc__),
        "## Formula",
        _doc(cls.__doc__),
        *_functions(cls),
        f"Source: {_prose(cls.reference)}.",
        "## What it reads",
        _needs(cls),
        "## Parameters",
        _parameters(cls.Config.model_json_schema()),
        "## Cost",
        _cost(cls.name, rows) if listing.kind != "tracker" else TRACKERS,
        "## When to use it",
        _use(listing.kind, cls),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _index(package: str, listed: Mapping[str, Sequence[Listing]]) -> str:
    lines = [f"# Plugins of {package}", "", "Written by `nextlabel plugins docs`; change the classes, not these pages."]
    for kind, found in listed.items():
        if found:
            lines += ["", f"## {kind.capitalize()}s", "", "| name | what it does |", "|---|---|"]
            lines += [f"| [{one.name}]({one.name}.md) | {_cell(one.cls.summary)} |" for one in found if one.cls]
    return "\n".join(lines) + "\n"


def _doc(text: str | None) -> str:
    """A docstring as Markdown: examples become blocks of code.

    >>> _doc("Twice x.\\n\\n>>> twice(2)\\n4")
    'Twice x.\\n\\n```python\\n>>> twice(2)\\n4\\n```'
    """
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(text or "").strip())
    return "\n\n".join(f"```python\n{one}\n```" if one.lstrip().startswith(">>>") else _prose(one) for one in blocks)


def _prose(text: str) -> str:
    """Text in which nothing reads as Markdown but `code`.

    >>> _prose("k * (a < b), see `a_b`")
    'k \\\\* (a &lt; b), see `a_b`'
    """
    parts = text.strip().split("`")  # every second one is code
    parts[::2] = [re.sub(r"([*_\[\]])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)


def _functions(cls: type[Plugin[Any]]) -> list[str]:
    """The public functions that stand beside a class, in the order of its file."""
    module = sys.modules[cls.__module__]
    own: list[tuple[str, Callable[..., Any]]] = [
        (name, function)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_") and function.__doc__
    ]
    own.sort(key=lambda pair: pair[1].__code__.co_firstlineno)
    return [f"### `{name}({', '.join(inspect.signature(f).parameters)})`\n\n{_doc(f.__doc__)}" for name, f in own]


def _needs(cls: type[Plugin[Any]]) -> str:
    if hasattr(cls, "pixels"):  # a tracker
        return "Detections, and the frames' pixels." if cls.pixels else "Detections alone."
    if not cls.needs and not cls.optional:
        return "Nothing beyond the task ids."
    lines = ["| column | what it is | who provides it |", "|---|---|---|"]
    for column in [*sorted(cls.needs), *sorted(cls.optional)]:
        there = "; read where it is there" if column in cls.optional else ""
        lines.append(f"| `{column}` | {_cell(COLUMNS[column])}{there} | {_providers(column)} |")
    return "\n".join(lines)


def _providers(column: str) -> str:
    if column in KNOWN:
        return LOOP
    if column.startswith("truth"):
        return "a simulation alone"
    given = column.removeprefix("labeled_") if "detection" in column else column  # who sees the pool sees these too
    found = [one.name for one in available("learner").values() if given in getattr(one.cls, "provides", ())]
    return f"the learners {', '.join(found)}" if found else "no installed learner"


def _parameters(schema: Mapping[str, Any]) -> str:
    fields = schema.get("properties", {})
    if not fields:
        return "Nothing to set."
    lines = ["| name | type | default | bounds | what it does |", "|---|---|---|---|---|"]
    for name, field in fields.items():
        kinds = field.get("anyOf", [field])
        kind = " or ".join(dict.fromkeys(_kind(one) for one in kinds))
        bounds = ", ".join(bound for one in kinds for bound in _bounds(one))
        default = f"`{json.dumps(field['default'])}`" if "default" in field else ""
        lines.append(f"| `{name}` | {kind} | {default} | {bounds} | {_cell(field.get('description', ''))} |")
    return "\n".join(lines)


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of a value, or the values that it may take."""
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    return str(schema.get("type") or schema.get("$ref", "any").rsplit("/", 1)[-1])


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return [f"{sign} {schema[key]:,}" for key, sign in signs.items() if key in schema]


def _cost(name: str, rows: Sequence[Row]) -> str:
    own = [row for row in rows if row.get("what") == name and row.get("by", "ours") == "ours"]
    if not own:
        return "No figures yet; `python -m benchmarks acquisition` measures every scorer and selector."
    lines = ["| items | classes | seconds | peak MiB above the evidence | note |", "|---:|---:|---:|---:|---|"]
    for row in own:
        seconds = f"{row['seconds']:.3g}" if "seconds" in row else ""
        peak = f"{row['peak_mib']:,.0f}" if "peak_mib" in row else ""
        note = _cell(str(row.get("note", "")))
        lines.append(f"| {row['items']:,} | {row.get('classes', '')} | {seconds} | {peak} | {note} |")
    return "\n".join([*lines, "", "By `python -m benchmarks acquisition`; its result file names versions and machine."])


def _use(kind: str, cls: type[Plugin[Any]]) -> str:
    said = [_prose(cls.summary)]
    if cls.harmful_below is not None:
        said.append(
            f"While the model's accuracy is below {cls.harmful_below:.0%} it was measured to do worse than random "
            "order, and a cycle says so."
        )
    if any(column.startswith("truth") for column in cls.needs):
        said.append("It needs the truth, so it is of use in simulations alone.")
    return f"{' '.join(said)}\n\n```\n{CHOSEN[kind] % cls.name}\n```"


def _cell(text: str) -> str:
    """Text inside a table.

    >>> _cell("|a - b|, in px")
    '\\\\|a - b\\\\|, in px'
    """
    return " ".join(_prose(text).replace("|", "\\|").split())
