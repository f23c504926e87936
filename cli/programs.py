"""Commands that start something: server, worker, everything at once, demo, studies, scenes, imports of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.common import console
from simulation.scenes_command import scenes
from simulation.siamfc_command import train_tracker

commands = typer.Typer()


@commands.command()
def serve() -> None:
    """Answers Label Studio and the REST interface."""
    from ml_backend.server.serve import serve as start
    from ml_backend.settings import settings

    start(settings())


@commands.command()
def worker(
    burst: Annotated[bool, typer.Option(help="End when the queue is empty.")] = False,
    simulations: Annotated[bool, typer.Option(help="Work on studies (`nextlabel simulate --jobs`) alone.")] = False,
) -> None:
    """Runs cycles from the Redis queue; start as many as you like, on any machine."""
    from ml_backend.loop.worker import run_worker

    run_worker(burst=burst, simulations=simulations)


@commands.command()
def run() -> None:
    """Starts Label Studio, Redis, backend and worker here, with a demo project."""
    from stack.run import main as start

    raise SystemExit(start())


@commands.command()
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


@commands.command()
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


@commands.command("import-video")
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


commands.command()(scenes)
commands.command("train-tracker")(train_tracker)
