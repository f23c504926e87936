"""`nextlabel plugins`: what is installed, a new package, pages of documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cli.common import console

commands = typer.Typer(invoke_without_command=True, help="List the installed plugins, start a new one, write docs.")


@commands.callback()
def show(context: typer.Context) -> None:
    """Every installed plugin: where it comes from, what it needs, whether it works."""
    from plugins.registry import GROUPS, available

    if context.invoked_subcommand is not None:
        return
    table = Table("kind", "name", "package", "needs", "state", "what it does")
    for kind in GROUPS:
        for listing in available(kind).values():
            needs = ", ".join(sorted(listing.cls.needs)) if listing.cls else ""
            state = "ok" if listing.cls else f"[red]{escape(listing.error or '')}[/red]"
            does = escape(listing.cls.summary) if listing.cls else ""
            table.add_row(kind, listing.name, f"{listing.package} {listing.version}", needs, state, does)
    console.print(table)


@commands.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Lower-case words joined by '-': near-miss.")],
    kind: Annotated[str, typer.Option(help="scorer (gives items a value) or selector (orders a batch).")] = "scorer",
    output: Annotated[Path, typer.Option(help="Folder that the package is written into.")] = Path(),
) -> None:
    """Writes a package with a working plugin, its tests and the contract suite; change it from there."""
    from plugins.starter import write_package

    package = write_package(name, kind, output)
    console.print(f"{package} is written. Next:", soft_wrap=True, highlight=False)
    console.print(f"  cd {package} && pip install --no-build-isolation -e . && pytest", soft_wrap=True, highlight=False)
    console.print("Then restart the worker; `nextlabel plugins` lists it.", highlight=False)


@commands.command("docs")
def docs(
    package: Annotated[str, typer.Option(help="Installed package whose plugins are described.")] = "nextlabel",
    output: Annotated[Path, typer.Option(help="Folder of the pages.")] = Path("docs/plugins"),
    benchmark: Annotated[Path, typer.Option(help="What `python -m benchmarks acquisition` kept, if it ran.")] = Path(
        "benchmarks/results/acquisition.json"
    ),
    check: Annotated[bool, typer.Option(help="Write nothing; fail if a page is not what would be written.")] = False,
) -> None:
    """Writes a page for each plugin of a package from its own class, and an index."""
    from plugins.pages import pages

    rows = json.loads(benchmark.read_text(encoding="utf-8"))["rows"] if benchmark.exists() else []
    written = pages(package, rows)
    if len(written) == 1:
        raise ValueError(f"No installed package '{package}' offers plugins; `nextlabel plugins` lists them.")
    there = {path.name: path.read_text(encoding="utf-8") for path in output.glob("*.md")}
    differing = sorted(name for name in {*written, *there} if written.get(name) != there.get(name))
    if check and differing:
        raise ValueError(f"{output / differing[0]} is not current; run `nextlabel plugins docs` and keep the result.")
    output.mkdir(parents=True, exist_ok=True)
    for name in differing:
        if name in written:
            (output / name).write_text(written[name], encoding="utf-8")
    console.print(f"{len(written)} pages, {sum(name in written for name in differing)} of them changed.")
    stale = [name for name in differing if name not in written]
    if stale:
        console.print(f"Pages of no plugin, yours to remove: {', '.join(stale)}.", highlight=False)
