"""Commands that place single tasks by hand, and say why one stands where it stands."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from cli.common import ASKED, ProjectArgument, ProjectNumber, author, console, which

commands = typer.Typer()

TaskNumber = Annotated[int, typer.Argument(help="Number of the task in Label Studio.")]


def _override(kind: str) -> Any:
    def command(project: ProjectNumber, task: TaskNumber) -> None:
        from ml_backend.loop.house import house
        from ml_backend.loop.overrides import KINDS, set_override

        asked = set_override(house(), which(project).id, task, kind, author=author())
        console.print(f"Task {task} is {KINDS[kind]}; {ASKED[asked]}.", highlight=False)

    return command


for _name, _kind, _says in (
    ("pin", "front", "Serves a task next, behind what was pinned before."),
    ("last", "back", "Serves a task last of all."),
    ("exclude", "exclude", "Takes a task out of the queue."),
):
    commands.command(_name, help=_says)(_override(_kind))


@commands.command()
def undo(project: ProjectNumber, task: TaskNumber) -> None:
    """Takes back what `pin`, `last` or `exclude` did to a task."""
    from ml_backend.loop.house import house
    from ml_backend.loop.overrides import undo_override

    asked = undo_override(house(), which(project).id, task, author=author())
    console.print(f"Task {task} has its own place again; {ASKED[asked]}.", highlight=False)


@commands.command()
def overrides(project: ProjectArgument = None) -> None:
    """What people pinned, sent to the back and excluded."""
    from ml_backend.loop.house import house
    from ml_backend.loop.overrides import KINDS, read_overrides

    table = Table("task", "what", "by", "when")
    with house().ledger.session() as session:
        for row in read_overrides(session, which(project).id):
            table.add_row(str(row.task_id), KINDS[row.kind], row.author, f"{row.at:%F %T}")
    console.print(table)


@commands.command()
def why(task: TaskNumber, project: ProjectArgument = None) -> None:
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
