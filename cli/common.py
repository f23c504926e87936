"""What the commands share: where they print, which project is meant, and who asks."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:  # SQLAlchemy is loaded when a command runs, not with the command line
    from ml_backend.store.tables import Project

console = Console()

ProjectNumber = Annotated[int, typer.Argument(help="Number of the project in Label Studio.")]
ProjectArgument = Annotated[
    int | None, typer.Argument(help="Number of the project in Label Studio.", show_default=False)
]
ProjectOption = Annotated[int | None, typer.Option(help="Number of the project in Label Studio.")]
ASKED = {
    "queued": "the queue is being re-ranked",
    "coalesced": "the queue is being re-ranked",
    "unavailable": "Redis does not answer, so the next ranking obeys",
}


def author() -> str:
    return getpass.getuser()


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
