"""What every plugin must say of itself and of its settings."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from plugins.conformance.faults import must
from plugins.contract import Plugin
from plugins.evidence import COLUMNS

LOUD = re.compile(  # a unit, or what happens: one of these stands in every number's description
    r"%|\b(px|nats?|seconds?|ms|bytes|items?|labels?|images?|pictures?|numbers?|iterations?|steps?|epochs?|share|per|"
    r"times|no unit|more|fewer|less|larger|smaller|longer|shorter|higher|lower|above|below|better|worse|slower|faster|"
    r"off|costs?)\b"
)


def says_what_it_is(plugin: type[Plugin[Any]]) -> None:
    for attribute in ("name", "title", "summary", "reference", "__doc__"):
        must(getattr(plugin, attribute), f"`{attribute}` is empty")
    must(re.fullmatch(r"[a-z][a-z0-9_]*", plugin.name), f"the name '{plugin.name}' is not lower_case")
    must(plugin.summary.endswith("."), "its summary does not end with a full stop")
    must(sys.modules[plugin.__module__].__doc__, f"its module {plugin.__module__} has no docstring")
    unknown = sorted({*plugin.needs, *plugin.optional} - set(COLUMNS))
    must(not unknown, f"it needs '{''.join(unknown[:1])}', which is no evidence column; known: {', '.join(COLUMNS)}")


def documents_its_settings(plugin: type[Plugin[Any]]) -> None:
    for name, field in plugin.Config.model_json_schema().get("properties", {}).items():
        description = field.get("description", "")
        must(description.endswith("."), f"setting `{name}` has no description that ends with a full stop")
        for kind in field.get("anyOf", [field]):
            if kind.get("type") in ("integer", "number"):
                low, high = ({bound, f"exclusive{bound.capitalize()}"} for bound in ("minimum", "maximum"))
                must(low & set(kind) and high & set(kind), f"setting `{name}` has no lower or no upper bound")
                must(
                    LOUD.search(description.lower()), f"the description of `{name}` names neither unit nor consequence"
                )


def works_by_default(plugin: type[Plugin[Any]]) -> None:
    must(plugin().config == plugin.Config(), "it does not keep the settings that it was made with")


PLUGIN_CHECKS: tuple[Callable[[type[Plugin[Any]]], None], ...] = (
    says_what_it_is,
    documents_its_settings,
    works_by_default,
)
