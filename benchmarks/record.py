"""What a benchmark is (a module here with TITLE and run() -> dict), and how its figures are shown and kept."""

from __future__ import annotations

import ast
import importlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from simulation.provenance import machine, versions

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
PACKAGES = (
    *("nextlabel", "label-studio-ml", "flask", "gunicorn", "fastapi", "starlette", "uvicorn", "uvloop", "httptools"),
    *("pydantic", "sqlalchemy", "redis", "rq", "numpy", "scipy", "scikit-learn", "torch", "pyarrow"),
)


def available() -> dict[str, str]:
    """Name -> title of every benchmark, found without importing it."""
    found = {path.stem: _title(path) for path in sorted(FOLDER.glob("*.py"))}
    return {name: title for name, title in found.items() if title is not None}


def _title(path: Path) -> str | None:
    """The TITLE that a module assigns at its top, if it also defines run()."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    if not any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in body):
        return None
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            named = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if named == ["TITLE"]:
                return str(node.value.value)
    return None


def run(name: str, console: Console) -> dict[str, Any]:
    """Runs a benchmark, prints its `rows` as a table, and writes results/NAME.json with versions and machine."""
    module = importlib.import_module(f"benchmarks.{name}")
    began = datetime.now(UTC)
    figures: dict[str, Any] = module.run()
    record = {
        "name": name,
        "title": module.TITLE,
        "began": began.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - began).total_seconds(), 1),
        "machine": machine(),
        "versions": versions(PACKAGES),
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2, default=float) + "\n", encoding="utf-8")
    console.print(table(module.TITLE, figures.get("rows", [])))
    console.print(", ".join(f"{key} {value}" for key, value in figures.items() if key != "rows"))
    console.print(f"Kept in {path.relative_to(FOLDER.parent)}.")
    return record


def table(title: str, rows: list[dict[str, Any]]) -> Table:
    """One column per key, in the order in which the rows bring them."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    shown = Table(title=title)
    for column in columns:
        number = any(isinstance(row.get(column), int | float) for row in rows)
        shown.add_column(column.replace("_", " "), justify="right" if number else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(row.get(column)) for column in columns))
    return shown


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,.3g}" if isinstance(value, float) and abs(value) < 100 else f"{value:,.0f}"
    return str(value)
