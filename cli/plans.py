"""`nextlabel plan`: show, change, preview and keep which plugins order a project's queue."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.table import Table

from cli.common import ASKED, ProjectArgument, ProjectOption, author, console, which

commands = typer.Typer(no_args_is_help=True, help="Show and switch which plugins order a project's queue.")


@commands.command("show")
def show(project: ProjectArgument = None) -> None:
    """The plan in force, as YAML."""
    from ml_backend.loop.house import house
    from ml_backend.loop.plan import read_plan

    with house().ledger.session() as session:
        number, plan = read_plan(session, which(project).id)
    console.print(f"# plan {number}", highlight=False)
    sys.stdout.write(yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False))


@commands.command("set")
def change(
    settings: Annotated[
        list[str], typer.Argument(help="field=value, value as YAML: scorers='[{name: entropy}]' batch=80")
    ],
    project: ProjectOption = None,
    note: Annotated[str, typer.Option(help="Why; it stands in the history.")] = "",
) -> None:
    """Changes fields of the plan; the queue re-ranks in seconds, without training unless the learner changed."""
    from ml_backend.loop.house import house
    from ml_backend.loop.plan import changed_plan, read_plan
    from ml_backend.loop.switch import switch_plan

    row = which(project)
    with house().ledger.session() as session:
        _, plan = read_plan(session, row.id)
    saved = switch_plan(house(), row.id, changed_plan(plan, changes_of(settings)), author=author(), note=note)
    console.print(f"Plan {saved.number} is in force; the queue is being re-ranked ({saved.asked}).")


@commands.command("history")
def history(project: ProjectArgument = None) -> None:
    """Who changed the plan, when and why."""
    from ml_backend.loop.house import house
    from ml_backend.loop.plan import plan_history

    table = Table("plan", "when", "author", "note", "scorers")
    with house().ledger.session() as session:
        for row in plan_history(session, which(project).id):
            names = ", ".join(f"{s['name']} x{s['weight']:g}" for s in row.body["scorers"])
            table.add_row(str(row.number), f"{row.created_at:%F %T}", row.author, row.note, names)
    console.print(table)


@commands.command("restore")
def restore(
    number: Annotated[int, typer.Argument(help="A number of `nextlabel plan history`.")],
    project: ProjectArgument = None,
) -> None:
    """Puts an older plan back in force, as a new version."""
    from ml_backend.loop.house import house
    from ml_backend.loop.switch import restore as put_back

    saved = put_back(house(), which(project).id, number, author=author())
    console.print(
        f"Plan {number} is in force again, as plan {saved.number}; the queue is being re-ranked ({saved.asked})."
    )


@commands.command("schema")
def schema() -> None:
    """The JSON schema of a plan."""
    from ml_backend.loop.plan import Plan

    sys.stdout.write(json.dumps(Plan.model_json_schema(), indent=2) + "\n")


@commands.command()
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


@commands.command()
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


@commands.command()
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
        house(), which(project).id, plan, author=author(), note=note or f"applied from {file.name}"
    )
    for one in changes:
        console.print(f"- {one.sentence}", highlight=False, markup=False)
    if switched is None:
        console.print(f"The plan of {file} is in force already.", highlight=False, markup=False)
    else:
        console.print(f"Plan {switched.number} is in force; {ASKED[switched.asked]}.", highlight=False)


@commands.command()
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
