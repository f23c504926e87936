"""Commands on a connected project: connect, look after it, train, roll back."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from cli.common import ProjectArgument, ProjectNumber, author, console, which

commands = typer.Typer()


@commands.command()
def connect(
    url: Annotated[str, typer.Argument(help="Label Studio as the backend reaches it, http://host:port.")],
    token: Annotated[str, typer.Argument(help="A personal access token (or a legacy token).")],
    project: Annotated[int, typer.Argument(help="The number in the project's address.")],
) -> None:
    """Connects a project: checks both directions, adds backend and webhook, publishes the first queue."""
    from ml_backend.loop.connect import connect as tie
    from ml_backend.loop.house import house

    with console.status("Connecting, reading tasks and images, ranking ..."):
        done = tie(house(), url, token, project, author=author())
    for note in done.attachment.notes:
        console.print(f"- {note}")
    if done.cycle is not None and done.cycle.status == "failed":
        raise ValueError(
            f"Connected, but the first cycle failed: {done.cycle.error} It will be tried again by the worker."
        )
    classes = ", ".join(done.attachment.config.classes)
    console.print(f"[green]Project {project} ({done.project.title}) is connected.[/green] Classes: {classes}.")
    if done.cycle is not None:
        print_cycle(done.cycle)


@commands.command()
def disconnect(project: ProjectNumber) -> None:
    """Removes our backend and webhook from a project; its history stays in the ledger."""
    from ml_backend.loop.connect import disconnect as untie
    from ml_backend.loop.house import house

    untie(house(), which(project).id, author=author())
    console.print(f"Project {project} is disconnected.")


@commands.command()
def doctor(project: ProjectArgument = None) -> None:
    """Checks everything between Label Studio and a good queue, with a remedy for each fault."""
    from sqlalchemy import select

    from ml_backend.loop.health import house_checks, project_checks
    from ml_backend.loop.house import house
    from ml_backend.store.tables import Project

    groups = [("This installation", house_checks(house()))]
    with house().ledger.session() as session:
        projects = list(session.scalars(select(Project).where(Project.state != "gone")))
    for row in projects if project is None else [which(project)]:
        groups.append((f"Project {row.studio_id} ({row.title})", project_checks(house(), row.id)))
    for title, checks in groups:
        table = Table("", "check", "result", "remedy", title=title, title_justify="left")
        for check in checks:
            sign = {True: "[green]ok[/green]", False: "[red]no[/red]", None: "[yellow]?[/yellow]"}[check.ok]
            table.add_row(sign, check.name, check.result, "" if check.ok else check.remedy)
        console.print(table)
    if any(check.ok is False for _, checks in groups for check in checks):
        raise typer.Exit(1)


@commands.command()
def status(project: ProjectArgument = None) -> None:
    """The last cycles of a project, and what is left of its queue."""
    from sqlalchemy import select

    from ml_backend.loop.gain import read_gain
    from ml_backend.loop.gain_sentences import sentences
    from ml_backend.loop.house import house
    from ml_backend.loop.upkeep import remaining
    from ml_backend.store.tables import Cycle

    row = which(project)
    with house().ledger.session() as session:
        cycles = list(
            session.scalars(select(Cycle).where(Cycle.project_id == row.id).order_by(Cycle.number.desc()).limit(10))
        )
        left, unwritten = remaining(session, row.id)
        said = sentences(read_gain(session, row.id))
    console.print(f"Project {row.studio_id} ({row.title}): live version {row.live_version}")
    console.print(
        f"{left} published items wait, {unwritten} more are ranked; {row.fresh_labels} labels since training."
    )
    console.print(f"{said[0]} `nextlabel gain` says more.", highlight=False)
    for cycle in cycles:
        print_cycle(cycle)


@commands.command()
def gain(
    project: ProjectArgument = None,
    window: Annotated[int, typer.Option(min=1, help="Newest control answers that the accuracy is from.")] = 100,
    since: Annotated[int | None, typer.Option(min=1, help="Only queues of this cycle and later.")] = None,
) -> None:
    """How good the model is on what nobody labeled, and how many labels the queue saved, with 95 % intervals."""
    from ml_backend.loop.gain import read_gain
    from ml_backend.loop.gain_sentences import curve_rows, sentences
    from ml_backend.loop.house import house

    with house().ledger.session() as session:
        found = read_gain(session, which(project).id, window=window, since=since)
    for sentence in sentences(found):
        console.print(sentence, highlight=False)
    if found.savings is not None:
        table = Table("labels", "accuracy on all items", "between", title=f"As of cycle {found.savings_cycle}")
        for row in curve_rows(found.savings):
            table.add_row(*row)
        console.print(table)


@commands.command()
def balance(project: ProjectArgument = None) -> None:
    """Labels per class at each cycle, their L1 score (0 even, 1 one class), and what the selector proved."""
    from ml_backend.loop.balance import balance_history, balance_table
    from ml_backend.loop.house import house
    from ml_backend.studio.question import read_question

    row = which(project)
    with house().ledger.session() as session:
        found = balance_history(session, row.id)
    if not found:
        raise ValueError(f"Project {row.studio_id} has no cycle that kept its balance yet; the next one will.")
    classes = read_question(row.label_config).classes
    head, lines = balance_table(found, classes)
    table = Table(
        *head, caption="L1 scores (0 even, 1 one class) of all labels, of those added, and as expected of a batch."
    )
    for line in lines:
        table.add_row(*line)
    console.print(table)
    console.print(f"Classes in this order: {', '.join(classes)}.", highlight=False)


def print_cycle(cycle: Any) -> None:
    measure = "mAP@.5" if cycle.metrics.get("measure") == "map50" else "accuracy"
    seen = (
        ""
        if cycle.accuracy is None
        else f", {measure} {cycle.accuracy:.3f} [{cycle.accuracy_low:.3f}, {cycle.accuracy_high:.3f}]"
    )
    took = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in cycle.seconds.items())
    console.print(
        f"Cycle {cycle.number} ({cycle.kind}, {cycle.trigger}): {cycle.status}, {cycle.labels} labels{seen}; {took}"
    )
    for note in filter(None, [cycle.features and f"Features: {cycle.features}", cycle.error, *cycle.notes]):
        console.print(f"  {note}", highlight=False)


@commands.command()
def train(project: ProjectArgument = None) -> None:
    """Asks for a training now."""
    from ml_backend.loop import jobs
    from ml_backend.loop.house import house

    console.print(f"The training is {jobs.request_cycle(house(), which(project).id, 'train', f'asked by {author()}')}.")


@commands.command()
def versions(project: ProjectArgument = None) -> None:
    """The versions that a rollback can reach."""
    from sqlalchemy import select

    from ml_backend.loop.house import house
    from ml_backend.store.tables import Publication

    table = Table("version", "state", "ranked", "written", "live since")
    with house().ledger.session() as session:
        query = select(Publication).where(Publication.project_id == which(project).id, Publication.state != "pruned")
        for row in session.scalars(query.order_by(Publication.id.desc())):
            table.add_row(
                row.model_version,
                row.state,
                str(row.total),
                str(row.published),
                f"{row.live_at:%F %T}" if row.live_at else "",
            )
    console.print(table)


@commands.command()
def rollback(
    version: Annotated[str, typer.Argument(help="One of `nextlabel versions`.")], project: ProjectArgument = None
) -> None:
    """Makes an earlier version of the queue live again."""
    from ml_backend.loop.house import house
    from ml_backend.loop.publish import rollback as back

    back(house(), which(project).id, version, author=author())
    console.print(f"{version} is live.")


@commands.command()
def problems(project: ProjectArgument = None) -> None:
    """What is wrong with items or with the project, counted."""
    from sqlalchemy import select

    from ml_backend.loop.house import house
    from ml_backend.store.tables import Problem

    table = Table("task", "kind", "times", "last seen", "what and remedy")
    with house().ledger.session() as session:
        query = select(Problem).where(Problem.project_id == which(project).id, Problem.solved_at.is_(None))
        for row in session.scalars(query.order_by(Problem.last_seen.desc()).limit(200)):
            table.add_row(
                str(row.task_id or "project"), row.kind, str(row.count), f"{row.last_seen:%F %T}", row.message
            )
    console.print(table)
