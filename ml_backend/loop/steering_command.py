"""The command line's part in steering: pin, last, exclude, undo, why; plan preview, diff, apply and export."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # SQLAlchemy is loaded when a command runs, not with the command line
    from ml_backend.store.tables import Project

console = Console()

ProjectNumber = Annotated[int, typer.Argument(help="Number of the project in Label Studio.")]
TaskNumber = Annotated[int, typer.Argument(help="Number of the task in Label Studio.")]
ProjectOption = Annotated[int | None, typer.Option(help="Number of the project in Label Studio.")]
ASKED = {
    "queued": "the queue is being re-ranked",
    "coalesced": "the queue is being re-ranked",
    "unavailable": "Redis does not answer, so the next ranking obeys",
}


def register(app: typer.Typer, plan_app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for name, kind, says in (
        ("pin", "front", "Serves a task next, behind what was pinned before."),
        ("last", "back", "Serves a task last of all."),
        ("exclude", "exclude", "Takes a task out of the queue."),
    ):
        app.command(name, help=says)(_override(kind))
    app.command("undo")(undo)
    app.command("overrides")(overrides)
    app.command("why")(why)
    for command in (preview, diff, apply, export):
        plan_app.command(command.__name__)(command)


def which(number: int | None) -> Project:
    """The connected project with Label Studio's number, or the only one."""
    from sqlalchemy import select

    from ml_backend.loop.house import house
    from ml_backend.store.tables import Project

    with house().ledger.session() as session:
        projects = list(session.scalars(select(Project).where(Project.state != "gone")))
    matching = [project for project in projects if number is None or project.studio_id == number]
    if len(matching) == 1:
        return matching[0]
    have = ", ".join(f"{p.studio_id} ({p.title})" for p in projects) or "none; `nextlabel connect` adds one"
    asked = "None" if number is None else str(number)
    raise ValueError(f"Which project? {asked} matches {len(matching)}. Connected: {have}.")


def _override(kind: str) -> Any:
    def command(project: ProjectNumber, task: TaskNumber) -> None:
        from ml_backend.loop.house import house
        from ml_backend.loop.overrides import KINDS, set_override

        asked = set_override(house(), which(project).id, task, kind, author=getpass.getuser())
        console.print(f"Task {task} is {KINDS[kind]}; {ASKED[asked]}.", highlight=False)

    return command


def undo(project: ProjectNumber, task: TaskNumber) -> None:
    """Takes back what `pin`, `last` or `exclude` did to a task."""
    from ml_backend.loop.house import house
    from ml_backend.loop.overrides import undo_override

    asked = undo_override(house(), which(project).id, task, author=getpass.getuser())
    console.print(f"Task {task} has its own place again; {ASKED[asked]}.", highlight=False)


def overrides(project: Annotated[int | None, typer.Argument(help="Number of the project.")] = None) -> None:
    """What people pinned, sent to the back and excluded."""
    from ml_backend.loop.house import house
    from ml_backend.loop.overrides import KINDS, read_overrides

    table = Table("task", "what", "by", "when")
    with house().ledger.session() as session:
        for row in read_overrides(session, which(project).id):
            table.add_row(str(row.task_id), KINDS[row.kind], row.author, f"{row.at:%F %T}")
    console.print(table)


def why(task: TaskNumber, project: Annotated[int | None, typer.Argument(help="Number of the project.")] = None) -> None:
    """Why a task stands where it stands, however far behind, or why it has no place."""
    from ml_backend.loop.house import house
    from ml_backend.loop.stored_ranking import StoredRankings
    from ml_backend.loop.why import explain

    row = which(project)
    with house().ledger.session() as session:
        told = explain(session, StoredRankings(house()), row.id, task)
    console.print(told.sentence, highlight=False, markup=False)
    if told.predicted is not None:
        sure = "" if told.confidence is None else f" ({told.confidence:.2f})"
        console.print(f"The model says {told.predicted}{sure}.", highlight=False, markup=False)
    for name, part in told.scorers.items():
        reason = f": {part['reason']}" if part["reason"] else ""
        stands = f"{part['value']:.4f}, percentile {part['percentile']:.3f}"
        console.print(f"- {name} (weight {part['weight']:g}): {stands}{reason}", highlight=False, markup=False)


def preview(
    settings: Annotated[
        list[str] | None, typer.Argument(help="field=value, value as YAML: scorers='[{name: entropy}]' batch=80")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A plan as YAML instead, see `nextlabel plan export`.")] = None,
    project: ProjectOption = None,
) -> None:
    """What a changed plan would do to the next 50 items; nothing is saved or published."""
    from ml_backend.loop.house import house
    from ml_backend.loop.plan import changed_plan, read_plan
    from ml_backend.loop.plan_file import read_plan_file
    from ml_backend.loop.preview import preview as try_out

    row = which(project)
    with house().ledger.session() as session:
        _, plan = read_plan(session, row.id)
    wanted = read_plan_file(file) if file is not None else changed_plan(plan, changes_of(settings or []))
    with console.status("Ranking ..."):
        seen = try_out(house(), row.id, wanted)
    for sentence in (*seen.changes, *seen.notes, *seen.problems.values()):
        console.print(f"- {sentence}", highlight=False, markup=False)
    console.print(
        f"Of the next {seen.compared}, {seen.changed} are others and {seen.moved} stand elsewhere; "
        f"{seen.seconds:.1f} s without a training. Nothing is saved.",
        highlight=False,
    )
    table = Table("comes", "goes")
    rows = max(len(seen.come), len(seen.go))
    come = [f"{place.task_id}: {place.reason}" for place in seen.come] + [""] * rows
    go = [f"{place.task_id}" for place in seen.go] + [""] * rows
    for i in range(rows):
        table.add_row(come[i], go[i])
    if rows:
        console.print(table)
    if seen.before:
        counts = Table("predicted", "before", "after")
        for name, count in seen.before.items():
            counts.add_row(name, str(count), str(seen.after[name]))
        console.print(counts)


def changes_of(settings: list[str]) -> dict[str, Any]:
    """
    >>> changes_of(["batch=80", "scorers=[{name: entropy}]"])
    {'batch': 80, 'scorers': [{'name': 'entropy'}]}
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"'{setting}' is not field=value.")
        changes[name] = yaml.safe_load(value)
    return changes


def diff(
    old: Annotated[int, typer.Argument(help="A number of `nextlabel plan history`; 0 is the default plan.")],
    new: Annotated[int, typer.Argument(help="Another.")],
    project: ProjectOption = None,
) -> None:
    """Every setting that differs between two versions of the plan."""
    from ml_backend.loop.house import house
    from ml_backend.loop.plan_diff import diff_versions

    with house().ledger.session() as session:
        found = diff_versions(session, which(project).id, old, new)
    for one in found:
        console.print(one.sentence, highlight=False, markup=False)
    if not found:
        console.print(f"Plans {old} and {new} are equal.", highlight=False)


def apply(
    file: Annotated[Path, typer.Argument(help="A plan as YAML; what it leaves out has its default.")],
    project: ProjectOption = None,
    note: Annotated[str, typer.Option(help="Why; it stands in the history.")] = "",
) -> None:
    """Puts the plan of a file in force, unless it is already."""
    from ml_backend.loop.house import house
    from ml_backend.loop.plan_file import apply_plan, read_plan_file

    plan = read_plan_file(file)
    changes, switched = apply_plan(
        house(), which(project).id, plan, author=getpass.getuser(), note=note or f"applied from {file.name}"
    )
    for one in changes:
        console.print(f"- {one.sentence}", highlight=False, markup=False)
    if switched is None:
        console.print(f"The plan of {file} is in force already.", highlight=False, markup=False)
    else:
        console.print(f"Plan {switched.number} is in force; {ASKED[switched.asked]}.", highlight=False)


def export(
    number: Annotated[
        int | None, typer.Argument(help="A number of `nextlabel plan history`; the one in force.")
    ] = None,
    project: ProjectOption = None,
    output: Annotated[Path | None, typer.Option(help="File to write; standard output by default.")] = None,
) -> None:
    """Writes a plan with every setting as YAML, to be kept in git and applied again."""
    from ml_backend.loop.house import house
    from ml_backend.loop.plan import read_plan
    from ml_backend.loop.plan_diff import plan_version
    from ml_backend.loop.plan_file import plan_yaml

    row = which(project)
    with house().ledger.session() as session:
        if number is None:
            number, plan = read_plan(session, row.id)
        else:
            plan = plan_version(session, row.id, number)
    text = plan_yaml(number, plan)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
        console.print(f"Plan {number} is in {output}.", highlight=False, markup=False)
