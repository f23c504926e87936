"""A new plugin as a package of its own: `nextlabel plugins new NAME` writes it, pip installs it, its tests pass."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from string import Template

from plugins import contract
from plugins.registry import GROUPS

KINDS = {"scorer": "'scorers=[{name: %s}]'", "selector": "'selector={name: %s}'"}  # and how a plan chooses one
PREFIX = "nextlabel-"


class StarterError(ValueError):
    """A package that cannot be written; the message is one sentence with the culprit and the remedy."""


def write_package(name: str, kind: str, output: Path) -> Path:
    """Writes `output`/nextlabel-NAME, ready for pip, and returns that folder. Raises StarterError.

    name: lower-case words joined by '-' or '_'; the plugin is called so, with '_'. kind: 'scorer' or 'selector'.
    """
    if kind not in KINDS:
        raise StarterError(f"'{kind}' is no kind of plugin that can be started from here; use {' or '.join(KINDS)}.")
    filled = names(name)
    for taken, group in GROUPS.items():
        for point in entry_points(group=group, name=filled["name"]):
            package = point.dist.name if point.dist else "unknown"
            raise StarterError(f"The {taken} '{point.name}' of package {package} exists already; choose another name.")
    filled |= {"kind": kind, "chosen": KINDS[kind] % filled["name"]}
    folder = output / filled["distribution"]
    if folder.exists():
        raise StarterError(f"{folder} exists already; remove it, or choose another name or --output.")
    files = {
        "pyproject.toml": "pyproject.template",
        "README.md": "README.template",
        f"{filled['module']}.py": f"{kind}.template",
        f"tests/test_{filled['name']}.py": f"{kind}_test.template",
    }
    try:
        for path, template in files.items():
            text = Template(resources.files(__package__).joinpath(template).read_text(encoding="utf-8"))
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text.substitute(filled), encoding="utf-8")
    except OSError as error:
        raise StarterError(f"{folder} cannot be written ({error.strerror}); choose another --output.") from error
    return folder


def names(name: str) -> dict[str, str]:
    """What the plugin, its package, its module and its class are called. Raises StarterError.

    >>> names("near-miss")["name"], names("near-miss")["distribution"], names("nextlabel-near_miss")["camel"]
    ('near_miss', 'nextlabel-near-miss', 'NearMiss')
    """
    words = re.split("[-_]", name.removeprefix(PREFIX))
    if not all(re.fullmatch(r"[a-z0-9]+", word) for word in words) or not words[0][:1].isalpha() or len(name) > 60:
        raise StarterError(
            f"'{name}' cannot name a plugin; use lower-case words of letters and digits, joined by '-' ('near-miss')."
        )
    camel = "".join(word.capitalize() for word in words)
    if keyword.iskeyword(camel) or any(hasattr(contract, taken) for taken in (camel, f"{camel}Config")):
        raise StarterError(f"'{name}' would make a class `{camel}`, a name that is taken; choose another.")
    return {
        "name": "_".join(words),
        "distribution": PREFIX + "-".join(words),
        "module": "nextlabel_" + "_".join(words),
        "camel": camel,
        "title": " ".join(words).capitalize(),
    }
