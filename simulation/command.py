"""`nextlabel simulate`: from a file or flags to a finished report, in as many goes as it takes."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from ml_backend.learners.pixels import cores
from ml_backend.loop.house import house
from plugins import registry
from simulation import provenance, report
from simulation.experiment import FEATURES, STUDY, Progress, create
from simulation.results import Results
from simulation.running import run_here, run_on_workers
from simulation.study import Study, StudyError, parse_study, read_study

HOME = Path("studies")  # where reports go by default
ON_A_GPU = 4  # processes; more only wait for each other


@dataclass(frozen=True)
class Flags:
    """The options of the command line that make a study of one condition."""

    dataset: str
    methods: tuple[str, ...]
    learner: str
    labels: str
    seeds: int
    pool: int | None

    def study(self) -> Study:
        """Random order and each named scorer, on one data set."""
        initial, step, budget = _three(self.labels)
        names = dict.fromkeys(("random", *self.methods))
        condition = {
            "dataset": {**_dataset(self.dataset), "pool": self.pool},
            "learner": _learner(self.learner),
            "initial": initial,
            "step": step,
            "budget": budget,
        }
        return parse_study(
            {
                "title": f"{', '.join(names)} on {self.dataset}",
                "seeds": self.seeds,
                "methods": {name: _method(name) for name in names},
                "conditions": {_folder_name(self.dataset): condition},
            }
        )


def _three(labels: str) -> tuple[int, int, int]:
    parts = labels.split(":")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise StudyError(f"--labels {labels} is not initial:step:budget, three whole numbers; 40:20:400, say.")
    return int(parts[0]), int(parts[1]), int(parts[2])


def _dataset(given: str) -> dict[str, Any]:
    """A data set's settings from what people type: a name, a folder, an export or a project."""
    kind, colon, number = given.partition(":")
    if kind == "project" and colon:
        if not number.isdecimal():
            raise StudyError(f"--dataset {given}: '{number}' is no project number; project:7, say.")
        return {"name": "label_studio", "project": int(number)}
    path = Path(given)
    if path.is_dir():
        return {"name": "folder", "path": str(path.resolve())}
    if path.suffix == ".json":
        return {"name": "export", "path": str(path.resolve())}
    return {"name": given}


def _learner(given: str) -> dict[str, Any]:
    found = yaml.safe_load(given)
    return found if isinstance(found, dict) else {"name": str(found)}


def _method(name: str) -> dict[str, Any]:
    """A scorer alone, or a selector over the default scorer."""
    if name not in registry.available("scorer") and name in registry.available("selector"):
        return {"selector": {"name": name}}
    return {"scorers": [{"name": name}]}


def _folder_name(given: str) -> str:
    """The last part of a path, in letters that a folder's name may have."""
    stem = Path(given).stem.replace(":", "-")
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", stem).lstrip("_.+-")[:64] or "data"


def run_study(
    file: Path | None,
    flags: Flags,
    output: Path | None,
    *,
    processes: int | None,
    minutes: float | None,
    jobs: int | None,
    console: Console,
) -> bool:
    """Runs what is left of a study and writes its report; True when nothing is left and nothing failed."""
    study = read_study(file) if file is not None else flags.study()
    folder = output or _default(file, study)
    with console.status("Reading the data; road scenes are drawn when they are first asked for ..."):
        create(folder, study)
    until = None if minutes is None else time.time() + 60 * minutes
    try:
        if jobs is not None:
            states = run_on_workers(folder, study, house(), jobs=jobs, until=until, console=console)
        else:
            states = run_here(folder, study, processes=processes or _side_by_side(), until=until, console=console)
    except KeyboardInterrupt:
        console.print(f"Stopped. The same command goes on where it was; everything is in {folder}.")
        return False
    conclude(report.write(folder), folder, console)
    finished = all(state.finished for state in states)
    if finished:
        shutil.rmtree(folder / FEATURES, ignore_errors=True)  # they can be computed again, and are large
    return finished


def _side_by_side() -> int:
    """Trials at a time: one per core, or a few that share a GPU."""
    return min(cores(), ON_A_GPU) if provenance.machine()["gpu"] else cores()


def _default(file: Path | None, study: Study) -> Path:
    """studies/NAME; a file that lies in a study's own directory goes on there."""
    if file is not None:
        return file.parent if file.name == STUDY else HOME / file.stem
    return HOME / "-".join([*study.conditions, *study.methods])


def conclude(results: Results, folder: Path, console: Console) -> None:
    """Verdicts on the console, and where the rest is."""
    for condition in results.conditions:
        table = Table(
            "method", f"final {condition.measure}, %", "labels", "verdict", title=condition.name, title_justify="left"
        )
        for method in condition.methods:
            final = f"{100 * method.final.value:.1f} [{100 * method.final.low:.1f}, {100 * method.final.high:.1f}]"
            table.add_row(method.method, final, str(method.curve.labels[-1]), method.verdict)
        console.print(table)
    _say_unfinished(results.unfinished, console)
    console.print(f"Report: {folder / report.PAGE}; numbers: {folder / report.NUMBERS}; figures beside them.")


def _say_unfinished(unfinished: tuple[Progress, ...], console: Console) -> None:
    failed = [state for state in unfinished if state.error]
    for state in failed[:5]:
        console.print(f"[red]{state.trial.name} failed:[/red] {state.error}", highlight=False)
    if unfinished:
        console.print(
            f"{len(unfinished)} trials are not finished ({len(failed)} failed); the same command goes on with them."
        )
