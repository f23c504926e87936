"""The regions of one annotation that answer one question, each looked at before it is believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ml_backend.studio.regions.config import RegionsConfig

Json = dict[str, Any]
MOST = 1e9  # percent or pixels; beyond it nothing is a place on an image


class RegionError(ValueError):
    """An annotation that cannot be learned from; `kind` names the reason in snake_case."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Region:
    """who: how errors call it. label: position in the config's classes. value, whole: the JSON as it came."""

    who: str
    id: str
    label: int
    value: Json
    whole: Json


def regions_of(annotation: Json, config: RegionsConfig) -> Iterator[Region]:
    """The annotation's answers to the config's question; those to other questions are passed over. Raises RegionError.

    An annotation without regions is an answer too: nothing is there.
    """
    which = f"Annotation {annotation.get('id')}"
    result = annotation.get("result")
    if not isinstance(result, list) or not all(isinstance(region, dict) for region in result):
        raise RegionError("malformed_annotation", f"{which} has no list of regions as its result; submit it again.")
    for position, region in enumerate(result):
        if region.get("from_name") == config.from_name:
            given = region.get("id")
            name = given if isinstance(given, str) and given else f"region-{position}"
            yield _region(f"{which}, region '{name}',", name, region, config)


def _region(who: str, name: str, region: Json, config: RegionsConfig) -> Region:
    if region.get("to_name") != config.to_name or region.get("type") != config.region_type:
        raise RegionError(
            "other_region",
            f"{who} is a '{region.get('type')}' on '{region.get('to_name')}', where the config asks for "
            f"'{config.region_type}' on '{config.to_name}'; delete the region and draw it again.",
        )
    value = region.get("value")
    if not isinstance(value, dict):
        raise RegionError("malformed_region", f"{who} has no value; delete the region and draw it again.")
    return Region(who, name, _label(who, value.get(config.label_key), config), value, region)


def _label(who: str, labels: object, config: RegionsConfig) -> int:
    if not labels:
        raise RegionError("no_label", f"{who} has no label; open the annotation and give it one.")
    if not isinstance(labels, list) or len(labels) != 1:
        raise RegionError("several_labels", f"{who} has the labels {labels!r}; leave it exactly one.")
    if labels[0] not in config.classes:
        raise RegionError(
            "unknown_label",
            f"{who} says '{labels[0]}', which the config does not offer; add that <Label> or correct the annotation.",
        )
    return config.classes.index(labels[0])


def number(region: Region, values: Json, key: str) -> float:
    """A finite number that a region must hold."""
    value = values.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < MOST:
        return float(value)
    raise RegionError(
        "malformed_region", f"{region.who} has {key} {value!r}, not a number; delete the region and draw it again."
    )


def percent(region: Region, values: Json) -> list[float]:
    """x, y, width, height of an upright box in percent; a rotated one is refused, since a box has no rotation here."""
    rotation = values.get("rotation")
    if rotation not in (None, 0):
        raise RegionError(
            "rotated_box", f"{region.who} is rotated by {rotation!r} degrees; draw it upright, around the object."
        )
    return [number(region, values, key) for key in ("x", "y", "width", "height")]


def frame_number(region: Region, value: object, what: str, least: int, most: int) -> int:
    """A whole number of frames, between `least` and `most`. The editor writes 12, other programs may write 12.0."""
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1
    if whole and least <= value <= most:  # type: ignore[operator]  # a number, as the line above says
        return int(value)  # type: ignore[call-overload,no-any-return]  # likewise
    raise RegionError(
        "malformed_region",
        f"{region.who} has {what} {value!r}; it must be a whole number from {least} to {most}.",
    )
