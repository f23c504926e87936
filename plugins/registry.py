"""Which plugins there are: found by entry points, our own through the same door as everyone's.

A plugin that cannot be loaded is listed with its error and never takes the others down.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from plugins.contract import Plugin, PluginError
from plugins.evidence import COLUMNS

GROUPS = {
    "scorer": "nextlabel.scorers",
    "selector": "nextlabel.selectors",
    "learner": "nextlabel.learners",
    "tracker": "nextlabel.trackers",
}
OURS = "nextlabel"  # the package whose plugins keep their names


@dataclass(frozen=True)
class Listing:
    """One plugin that an installed package offers; `error` says why it cannot be used."""

    kind: str
    name: str
    package: str
    version: str
    cls: type[Plugin[Any]] | None
    error: str | None = None


def _load(kind: str, point: EntryPoint) -> Listing:
    package = point.dist.name if point.dist else "unknown"
    version = point.dist.version if point.dist else "unknown"
    try:
        cls = point.load()
    except Exception as error:  # noqa: BLE001  # a stranger's import may raise anything; it is reported by name
        return Listing(kind, point.name, package, version, None, f"{type(error).__name__}: {error}")
    wanted = ("name", "title", "summary", "reference", "Config")
    lacking = [attribute for attribute in wanted if not hasattr(cls, attribute)]
    if not (isinstance(cls, type) and issubclass(cls, Plugin)):
        return Listing(kind, point.name, package, version, None, f"{point.value} is not a subclass of Plugin")
    if lacking:
        return Listing(kind, point.name, package, version, None, f"{point.value} lacks `{lacking[0]}`")
    if cls.name != point.name:
        fault = f"entry point '{point.name}' and class name '{cls.name}' differ; make them equal"
        return Listing(kind, point.name, package, version, None, fault)
    unknown = sorted({*cls.needs, *cls.optional} - set(COLUMNS))
    if unknown:
        fault = f"it needs '{unknown[0]}', which is no evidence column; known: {', '.join(COLUMNS)}"
        return Listing(kind, point.name, package, version, None, fault)
    return Listing(kind, point.name, package, version, cls)


@cache
def available(kind: str) -> dict[str, Listing]:
    """Name -> listing of every plugin of a kind ('scorer', 'selector', 'learner', 'tracker'), broken ones included."""
    found = [_load(kind, point) for point in entry_points(group=GROUPS[kind])]
    listings: dict[str, Listing] = {}
    for listing in sorted(found, key=lambda listing: (listing.name, listing.package != OURS, listing.package)):
        holder = listings.get(listing.name)
        if holder is None:
            listings[listing.name] = listing
        else:  # listed under a name that no plan can ask for
            fault = f"package {holder.package} already offers a {kind} of this name; rename one"
            listings[f"{listing.name} of {listing.package}"] = replace(listing, cls=None, error=fault)
    return listings


def plugin_class(kind: str, name: str) -> type[Plugin[Any]]:
    """The class behind a name, or PluginError that says what exists."""
    listings = available(kind)
    if name not in listings:
        close = difflib.get_close_matches(name, listings, n=1)
        hint = f"Did you mean '{close[0]}'? " if close else ""
        raise PluginError(f"Unknown {kind} '{name}'. {hint}Available: {', '.join(listings)}.")
    listing = listings[name]
    if listing.cls is None:
        raise PluginError(f"The {kind} '{name}' of package {listing.package} cannot be loaded: {listing.error}.")
    return listing.cls


def make(kind: str, name: str, config: dict[str, Any] | None = None) -> Any:
    """A ready plugin, its config validated against its schema; PluginError names the field and the bound."""
    cls = plugin_class(kind, name)
    try:
        return cls(cls.Config.model_validate(config or {}))
    except ValidationError as error:
        where, given, said = _first_fault(error)
        fields = ", ".join(cls.Config.model_fields) or "none"
        raise PluginError(f"{kind.capitalize()} '{name}': {where} = {given!r}: {said}. Settings: {fields}.") from None


def _first_fault(error: ValidationError) -> tuple[str, Any, str]:
    """Where, what was given, and what is wrong with it. Of a setting that may be of several types, what each asks for;
    only those that the value came furthest with."""
    faults = error.errors()
    first = faults[0]["loc"][:1]
    own = [fault for fault in faults if fault["loc"][:1] == first]
    depth = max(len(fault["loc"]) for fault in own)
    own = [fault for fault in own if len(fault["loc"]) == depth]
    inner = own[0]["loc"][2:]  # behind the name stands which of the types was tried
    where = ".".join(str(part) for part in (*first, *inner)) or "config"
    return where, own[0]["input"], " or ".join(dict.fromkeys(fault["msg"] for fault in own))
