"""Names of classes, between a model that learned its own and a labeling config that offers others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType


class LabelMapError(ValueError):
    """A class of the model and the labels of the config do not fit; one sentence that names both sides."""


def map_labels(
    model_classes: Sequence[str], config_classes: Sequence[str], *, skip: Collection[str] = ()
) -> Mapping[str, str]:
    """The config's label of each class of the model: the same name, else the same name but for its case.

    skip: names on either side that may stay without a partner; a detector of 80 classes in a project of three needs it.
    Raises LabelMapError for any other name without a partner, and where a partner is not certain.

    >>> dict(map_labels(["car", "person", "kite"], ["Car", "person"], skip={"kite"}))
    {'car': 'Car', 'person': 'person'}
    """
    mapped = {name: partner for name in model_classes if (partner := _partner(name, config_classes, skip)) is not None}
    taken: dict[str, str] = {}
    for name, partner in mapped.items():
        if partner in taken:
            raise LabelMapError(
                f"The model's classes '{taken[partner]}' and '{name}' both fit the config's label '{partner}'; "
                "skip one of them."
            )
        taken[partner] = name
    for label in config_classes:
        if label not in taken and label not in skip:
            raise LabelMapError(
                f"The config's label '{label}' is no class of the model, which has {_listed(model_classes)}; "
                "train a model that knows it, or skip it."
            )
    return MappingProxyType(mapped)


def _partner(name: str, labels: Sequence[str], skip: Collection[str]) -> str | None:
    if name in skip:
        return None
    if name in labels:
        return name
    alike = [label for label in labels if label.casefold() == name.casefold() and label not in skip]
    if len(alike) > 1:
        raise LabelMapError(
            f"The model's class '{name}' fits the config's labels {_listed(alike)} but for its case; rename one."
        )
    if not alike:
        raise LabelMapError(
            f"The model's class '{name}' is no label of the config, which offers {_listed(labels)}; "
            f'add <Label value="{name}"/>, or skip it.'
        )
    return alike[0]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:10]) or "none"
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")
