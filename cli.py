"""The one command line: nextlabel run | serve | worker | connect | doctor | demo | plan | plugins | ..."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml_backend.loop import steering_command
from ml_backend.server.commands import add_commands
from simulation.scenes_command import scenes
from simulation.siamfc_command import train_tracker

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Label Studio's queue, most valuable item first.")
plan_app = typer.Typer(no_args_is_help=True, help="Show and switch which plugins order a project's queue.")
app.add_typer(plan_app, name="plan")
plugins_app = typer.Typer(invoke_without_command=True, help="List the installed plugins, start a new one, write docs.")
app.add_typer(plugins_app, name="plugins")
add_commands(app)
console = Console()
errors = Console(stderr=True)

ProjectArgument = Annotated[
    int | None, typer.Argument(help="Number of the project in Label Studio.", show_default=False)
]


def main() -> None:
    """Runs the command line; a known error is one sentence, not a traceback."""
    from redis.exceptions import RedisError
    from sqlalchemy.exc import OperationalError

    from ml_backend.logs import configure_logs
    from ml_backend.loop.cycle import EXPECTED
    from ml_backend.settings import settings
    from ml_backend.studio.config_xml import ConfigError

    try:
        configure_logs(settings().log_level if settings().trace else "WARNING")  # server and worker set their own
        app()
    except (*EXPECTED, ConfigError, ValueError) as error:
        _stop(str(error))
    except RedisError as error:
        _stop(f"Redis does not answer ({error}); start it, or set REDIS_URL.")
    except OperationalError as error:
        _stop(f"The ledger cannot be opened ({error.orig}); check DATABASE_URL or the rights on MODEL_DIR.")


def _stop(message: str) -> None:
    errors.print(f"[red]{message}[/red]", soft_wrap=True, highlight=False)
    raise SystemExit(1)


def _author() -> str:
    return getpass.getuser()


def _project(number: int | None) -> Any:
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
    raise ValueError(
        f"Which project? {'None' if number is None else number} matches {len(matching)}. Connected: {have}."
    )


@app.command()
def serve() -> None:
    """Answers Label Studio and the REST interface."""
    from ml_backend.server.serve import serve as start
    from ml_backend.settings import settings

    start(settings())


@app.command()
def worker(
    burst: Annotated[bool, typer.Option(help="End when the queue is empty.")] = False,
    simulations: Annotated[bool, typer.Option(help="Work on studies (`nextlabel simulate --jobs`) alone.")] = False,
) -> None:
    """Runs cycles from the Redis queue; start as many as you like, on any machine."""
    from ml_backend.loop.worker import run_worker

    run_worker(burst=burst, simulations=simulations)


@app.command()
def run() -> None:
    """Starts Label Studio, Redis, backend and worker here, with a demo project."""
    from stack.run import main as start

    raise SystemExit(start())


@app.command()
def demo(
    labels: Annotated[
        int | None, typer.Option(min=20, max=5000, help="Labels to give: 200 on each of two projects; 60 with --video.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the first labels, or the scenes.")] = 0,
    video: Annotated[
        bool,
        typer.Option("--video", help="Road scenes: boxes on frames of videos, and the frames that look wrong first."),
    ] = False,
    output: Annotated[Path, typer.Option(help="Where the curves are saved (PNG; numbers beside it as JSON).")] = Path(
        "demo.png"
    ),
) -> None:
    """Labels like an annotator, once in our order and once at random, and draws both learning curves."""
    if video:
        from simulation.demo_video import run_video_demo

        run_video_demo(labels=labels or 60, seed=seed, output=output, console=console)
        return
    from simulation.demo import run_demo

    run_demo(labels=labels or 200, seed=seed, output=output, console=console)


@app.command()
def simulate(
    study: Annotated[
        Path | None, typer.Argument(help="A study as YAML; without one the options below make it.")
    ] = None,
    dataset: Annotated[
        str,
        typer.Option(help="mnist, cifar10, cifar100, tiny_imagenet, digits; a folder, an export.json, or project:7."),
    ] = "digits",
    method: Annotated[
        list[str] | None,
        typer.Option(help="A scorer (or selector) to compare with random order, several times; margin by default."),
    ] = None,
    learner: Annotated[
        str, typer.Option(help="frozen, small_network or finetune; settings as YAML: '{name: ...}'.")
    ] = "frozen",
    labels: Annotated[str, typer.Option(help="Labels at the first training, step and budget.")] = "40:20:400",
    seeds: Annotated[
        int, typer.Option(min=1, max=10_000, help="Runs of each method; under 5 there is no verdict.")
    ] = 5,
    pool: Annotated[int | None, typer.Option(min=3, help="Images drawn for each seed; all by default.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for everything; the same one goes on.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, max=256, help="Trials side by side; one per core.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so long; the same command goes on.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Run as so many jobs of `nextlabel worker --simulations`.")
    ] = None,
) -> None:
    """Would it have saved labels? Runs the loop on data whose answers are known, over many seeds, and reports."""
    from simulation.command import Flags, run_study

    flags = Flags(dataset, tuple(method or ["margin"]), learner, labels, seeds, pool)
    if not run_study(study, flags, output, processes=processes, minutes=minutes, jobs=jobs, console=console):
        raise typer.Exit(1)


app.command()(scenes)
app.command("train-tracker")(train_tracker)


@app.command("import-video")
def import_video(
    paths: Annotated[list[Path], typer.Argument(help="MP4, AVI, MKV or WebM files, or folders of frames.")],
    project: Annotated[int, typer.Option(help="Number of the project in Label Studio.")],
    every: Annotated[int, typer.Option(help="Take one frame in so many.")] = 1,
    fps: Annotated[float | None, typer.Option(help="Take so many frames a second of the video's time instead.")] = None,
    as_: Annotated[str, typer.Option("--as", help="frames: a task each; video: a task for each file.")] = "frames",
    folder_fps: Annotated[float | None, typer.Option(help="Frames a second that a folder of frames holds.")] = None,
    copy: Annotated[bool, typer.Option(help="With --as video: copy files to where Label Studio serves them.")] = False,
    studio_root: Annotated[
        str | None,
        typer.Option(help="LOCAL_FILES_DOCUMENT_ROOT as Label Studio sees it, if it has another path there."),
    ] = None,
    serve: Annotated[
        str, typer.Option(help="local: Label Studio's local files; links: by this backend, under signed links.")
    ] = "local",
    link_address: Annotated[
        str | None, typer.Option(help="The backend as browsers reach it, if that is not NEXTLABEL_URL.")
    ] = None,
    link_days: Annotated[float | None, typer.Option(help="Days until links end; never by default.")] = None,
) -> None:
    """Makes tasks of videos: every n-th frame, so many a second, or whole files; the same command goes on."""
    from ml_backend.loop.import_command import run_import
    from ml_backend.loop.import_wish import make_wish

    wish = make_wish(
        paths,
        project,
        every=every,
        fps=fps,
        kind=as_,
        folder_fps=folder_fps,
        copy=copy,
        seen=studio_root,
        serve=serve,
        link_address=link_address,
        link_days=link_days,
    )
    if not run_import(wish, console):
        raise typer.Exit(1)


@app.command()
def connect(
    url: Annotated[str, typer.Argument(help="Label Studio as the backend reaches it, http://host:port.")],
    token: Annotated[str, typer.Argument(help="A personal access token (or a legacy token).")],
    project: Annotated[int, typer.Argument(help="The number in the project's address.")],
) -> None:
    """Connects a project: checks both directions, adds backend and webhook, publishes the first queue."""
    from ml_backend.loop.connect import connect as tie
    from ml_backend.loop.house import house

    with console.status("Connecting, reading tasks and images, ranking ..."):
        done = tie(house(), url, token, project, author=_author())
    for note in done.attachment.notes:
        console.print(f"- {note}")
    if done.cycle is not None and done.cycle.status == "failed":
        _stop(f"Connected, but the first cycle failed: {done.cycle.error} It will be tried again by the worker.")
    classes = ", ".join(done.attachment.config.classes)
    console.print(f"[green]Project {project} ({done.project.title}) is connected.[/green] Classes: {classes}.")
    if done.cycle is not None:
        _print_cycle(done.cycle)


@app.command()
def disconnect(project: Annotated[int, typer.Argument(help="Number of the project in Label Studio.")]) -> None:
    """Removes our backend and webhook from a project; its history stays in the ledger."""
    from ml_backend.loop.connect import disconnect as untie
    from ml_backend.loop.house import house

    untie(house(), _project(project).id, author=_author())
    console.print(f"Project {project} is disconnected.")


@app.command()
def doctor(project: ProjectArgument = None) -> None:
    """Checks everything between Label Studio and a good queue, with a remedy for each fault."""
    from sqlalchemy import select

    from ml_backend.loop.health import house_checks, project_checks
    from ml_backend.loop.house import house
    from ml_backend.store.tables import Project

    groups = [("This installation", house_checks(house()))]
    with house().ledger.session() as session:
        projects = list(session.scalars(select(Project).where(Project.state != "gone")))
    for row in projects if project is None else [_project(project)]:
        groups.append((f"Project {row.studio_id} ({row.title})", project_checks(house(), row.id)))
    for title, checks in groups:
        table = Table("", "check", "result", "remedy", title=title, title_justify="left")
        for check in checks:
            sign = {True: "[green]ok[/green]", False: "[red]no[/red]", None: "[yellow]?[/yellow]"}[check.ok]
            table.add_row(sign, check.name, check.result, "" if check.ok else check.remedy)
        console.print(table)
    if any(check.ok is False for _, checks in groups for check in checks):
        raise typer.Exit(1)


@app.command()
def status(project: ProjectArgument = None) -> None:
    """The last cycles of a project, and what is left of its queue."""
    from sqlalchemy import select

    from ml_backend.loop.gain import read_gain
    from ml_backend.loop.gain_sentences import sentences
    from ml_backend.loop.house import house
    from ml_backend.loop.upkeep import remaining
    from ml_backend.store.tables import Cycle

    row = _project(project)
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
        _print_cycle(cycle)


@app.command()
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
        found = read_gain(session, _project(project).id, window=window, since=since)
    for sentence in sentences(found):
        console.print(sentence, highlight=False)
    if found.savings is not None:
        table = Table("labels", "accuracy on all items", "between", title=f"As of cycle {found.savings_cycle}")
        for row in curve_rows(found.savings):
            table.add_row(*row)
        console.print(table)


@app.command()
def balance(project: ProjectArgument = None) -> None:
    """Labels per class at each cycle, their L1 score (0 even, 1 one class), and what the selector proved."""
    from ml_backend.loop.balance import balance_history, balance_table
    from ml_backend.loop.house import house
    from ml_backend.studio.question import read_question

    row = _project(project)
    with house().ledger.session() as session:
        found = balance_history(session, row.id)
    if not found:
        _stop(f"Project {row.studio_id} has no cycle that kept its balance yet; the next one will.")
    classes = read_question(row.label_config).classes
    head, lines = balance_table(found, classes)
    table = Table(
        *head, caption="L1 scores (0 even, 1 one class) of all labels, of those added, and as expected of a batch."
    )
    for line in lines:
        table.add_row(*line)
    console.print(table)
    console.print(f"Classes in this order: {', '.join(classes)}.", highlight=False)


def _print_cycle(cycle: Any) -> None:
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


@app.command()
def train(project: ProjectArgument = None) -> None:
    """Asks for a training now."""
    from ml_backend.loop import jobs
    from ml_backend.loop.house import house

    console.print(
        f"The training is {jobs.request_cycle(house(), _project(project).id, 'train', f'asked by {_author()}')}."
    )


@app.command()
def versions(project: ProjectArgument = None) -> None:
    """The versions that a rollback can reach."""
    from sqlalchemy import select

    from ml_backend.loop.house import house
    from ml_backend.store.tables import Publication

    table = Table("version", "state", "ranked", "written", "live since")
    with house().ledger.session() as session:
        query = select(Publication).where(Publication.project_id == _project(project).id, Publication.state != "pruned")
        for row in session.scalars(query.order_by(Publication.id.desc())):
            table.add_row(
                row.model_version,
                row.state,
                str(row.total),
                str(row.published),
                f"{row.live_at:%F %T}" if row.live_at else "",
            )
    console.print(table)


@app.command()
def rollback(
    version: Annotated[str, typer.Argument(help="One of `nextlabel versions`.")], project: ProjectArgument = None
) -> None:
    """Makes an earlier version of the queue live again."""
    from ml_backend.loop.house import house
    from ml_backend.loop.publish import rollback as back

    back(house(), _project(project).id, version, author=_author())
    console.print(f"{version} is live.")


@app.command()
def problems(project: ProjectArgument = None) -> None:
    """What is wrong with items or with the project, counted."""
    from sqlalchemy import select

    from ml_backend.loop.house import house
    from ml_backend.store.tables import Problem

    table = Table("task", "kind", "times", "last seen", "what and remedy")
    with house().ledger.session() as session:
        query = select(Problem).where(Problem.project_id == _project(project).id, Problem.solved_at.is_(None))
        for row in session.scalars(query.order_by(Problem.last_seen.desc()).limit(200)):
            table.add_row(
                str(row.task_id or "project"), row.kind, str(row.count), f"{row.last_seen:%F %T}", row.message
            )
    console.print(table)


@plugins_app.callback()
def plugins(context: typer.Context) -> None:
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


@plugins_app.command("new")
def plugins_new(
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


@plugins_app.command("docs")
def plugins_docs(
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


@plan_app.command("show")
def plan_show(project: ProjectArgument = None) -> None:
    """The plan in force, as YAML."""
    from ml_backend.loop.house import house
    from ml_backend.loop.plan import read_plan

    with house().ledger.session() as session:
        number, plan = read_plan(session, _project(project).id)
    console.print(f"# plan {number}", highlight=False)
    sys.stdout.write(yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False))


@plan_app.command("set")
def plan_set(
    settings: Annotated[
        list[str], typer.Argument(help="field=value, value as YAML: scorers='[{name: entropy}]' batch=80")
    ],
    project: Annotated[int | None, typer.Option(help="Number of the project in Label Studio.")] = None,
    note: Annotated[str, typer.Option(help="Why; it stands in the history.")] = "",
) -> None:
    """Changes fields of the plan; the queue re-ranks in seconds, without training unless the learner changed."""
    from ml_backend.loop.house import house
    from ml_backend.loop.plan import changed_plan, read_plan
    from ml_backend.loop.switch import switch_plan

    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"'{setting}' is not field=value.")
        changes[name] = yaml.safe_load(value)
    row = _project(project)
    with house().ledger.session() as session:
        _, plan = read_plan(session, row.id)
    saved = switch_plan(house(), row.id, changed_plan(plan, changes), author=_author(), note=note)
    console.print(f"Plan {saved.number} is in force; the queue is being re-ranked ({saved.asked}).")


@plan_app.command("history")
def plan_history_command(project: ProjectArgument = None) -> None:
    """Who changed the plan, when and why."""
    from ml_backend.loop.house import house
    from ml_backend.loop.plan import plan_history

    table = Table("plan", "when", "author", "note", "scorers")
    with house().ledger.session() as session:
        for row in plan_history(session, _project(project).id):
            names = ", ".join(f"{s['name']} x{s['weight']:g}" for s in row.body["scorers"])
            table.add_row(str(row.number), f"{row.created_at:%F %T}", row.author, row.note, names)
    console.print(table)


@plan_app.command("restore")
def plan_restore(
    number: Annotated[int, typer.Argument(help="A number of `nextlabel plan history`.")],
    project: ProjectArgument = None,
) -> None:
    """Puts an older plan back in force, as a new version."""
    from ml_backend.loop.house import house
    from ml_backend.loop.switch import restore

    saved = restore(house(), _project(project).id, number, author=_author())
    console.print(
        f"Plan {number} is in force again, as plan {saved.number}; the queue is being re-ranked ({saved.asked})."
    )


@plan_app.command("schema")
def plan_schema() -> None:
    """The JSON schema of a plan."""
    from ml_backend.loop.plan import Plan

    sys.stdout.write(json.dumps(Plan.model_json_schema(), indent=2) + "\n")


steering_command.register(app, plan_app)


if __name__ == "__main__":
    main()
