"""`nextlabel scenes`: drives through city, town and highway as videos with exact boxes, as many as you ask for."""

from __future__ import annotations

import difflib
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:  # OpenCV is loaded when the command runs, not with the command line
    from simulation.road_scenes.production import Format
    from simulation.road_scenes.table import Drive, Spawn, Subset
    from simulation.road_scenes.tasks import Answers


def scenes(
    output: Annotated[
        Path | None,
        typer.Argument(help="Folder for videos and ground truth; the same one goes on.", show_default=False),
    ] = None,
    subset: Annotated[
        str, typer.Option(help="A row of SYNTHIA-AL's table: default, town, night, wheelchair, test, test-wheelchair.")
    ] = "default",
    videos: Annotated[int | None, typer.Option(help="How many; the table's number by default.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Of each video; 10 to 30 as in the table by default.")] = None,
    size: Annotated[str, typer.Option(help="Width x height in pixels.")] = "480x270",
    format_: Annotated[str, typer.Option("--format", help="mp4, or jpg for a file of each frame.")] = "mp4",
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another set of videos.")] = 0,
    area: Annotated[
        list[str] | None, typer.Option(help="city, town, highway; several times; the subset's own.")
    ] = None,
    condition: Annotated[
        list[str] | None, typer.Option(help="fall, winter, spring, rain, night; several times; the subset's own.")
    ] = None,
    spawn: Annotated[
        str | None,
        typer.Option(help="Percent for pedestrian/cyclist/car/wheelchair, 30/20/35/0 say; the subset's own."),
    ] = None,
    oversampling: Annotated[
        int, typer.Option(help="Drawn so many times larger, then averaged: 1 is jagged and faster, 4 smoothest.")
    ] = 2,
    url: Annotated[
        str, typer.Option(help="What stands before a file's path in Label Studio's tasks.")
    ] = "/data/local-files/?d=",
    answers: Annotated[str, typer.Option(help="True boxes in the tasks: none, annotations or predictions.")] = "none",
    contact_sheet: Annotated[Path | None, typer.Option(help="A PNG of what the drives look like.")] = None,
    boxes: Annotated[bool, typer.Option(help="Draw the boxes into the contact sheet.")] = False,
    processes: Annotated[int | None, typer.Option(min=1, max=256, help="Videos at a time; one per core.")] = None,
) -> None:
    """Makes road scenes: redundant, unbalanced videos whose every box and id is known, drawn by code from a seed."""
    from ml_backend.learners.pixels import cores
    from simulation.road_scenes.contact_sheet import check_name
    from simulation.road_scenes.production import Format
    from simulation.road_scenes.table import SceneError, drives
    from simulation.road_scenes.tasks import Answers

    console = Console()
    if output is None and contact_sheet is None:
        raise SceneError("There is nothing to write; give a folder, or --contact-sheet FILE, or both.")
    form, given = Format(_one("--format", format_, list(Format))), Answers(_one("--answers", answers, list(Answers)))
    chosen = _subset(subset, area, condition, spawn)
    made = drives(chosen, videos=videos, seconds=seconds, size=_size(size), seed=seed, oversampling=oversampling)
    if contact_sheet is not None:
        check_name(contact_sheet)
    try:
        if output is not None:
            _produce(output, made, form, (url, given), processes or cores(), console)
        if contact_sheet is not None:
            _sheet(contact_sheet, made, len(chosen.areas), boxes, console)
    except OSError as error:
        where = error.filename or output or contact_sheet
        raise SceneError(f"{where} cannot be written ({error.strerror}); choose another place or make room.") from None


def _produce(
    folder: Path, drives: list[Drive], form: Format, tasks: tuple[str, Answers], processes: int, console: Console
) -> None:
    from simulation.road_scenes.production import conclude, open_folder, render
    from simulation.road_scenes.table import FPS

    left = open_folder(folder, drives, form)
    if len(left) < len(drives):
        console.print(f"{len(drives) - len(left)} of {len(drives)} videos are finished already.")
    frames, began = sum(drive.frames for drive in left), time.perf_counter()
    with _bar(console) as bar:
        shown = bar.add_task("frames", total=frames)
        try:
            render(folder, left, form, processes, lambda more: bar.advance(shown, more))
        except KeyboardInterrupt:
            console.print(f"Stopped. The same command goes on where it was; everything is in {folder}.")
            raise typer.Exit(1) from None
    took = time.perf_counter() - began
    boxes, count = conclude(folder, drives, form, *tasks)
    if left:
        console.print(f"{frames} frames ({frames / FPS:.0f} s of video) in {took:.1f} s.", highlight=False)
    console.print(
        f"{len(drives)} videos, {boxes} boxes, {count} tasks are in {folder}: coco.json, tasks.json, label_config.xml, "
        "and gt/gt.txt (MOT) beside each video.",
        highlight=False,
    )


def _sheet(path: Path, drives: list[Drive], areas: int, boxes: bool, console: Console) -> None:
    from simulation.road_scenes.contact_sheet import tiles_of, write_sheet

    columns = areas if areas > 1 else 3
    with _bar(console) as bar:
        shown = bar.add_task("contact sheet", total=tiles_of(drives, columns))
        write_sheet(path, drives, columns, boxes=boxes, report=lambda more: bar.advance(shown, more))
    console.print(f"{path} shows {tiles_of(drives, columns)} frames.", highlight=False)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )


def _subset(name: str, areas: list[str] | None, conditions: list[str] | None, spawn: str | None) -> Subset:
    """A row of the table with what the options change."""
    from simulation.road_scenes.table import SUBSETS, Area, Condition

    row = SUBSETS[_one("--subset", name, list(SUBSETS))]
    if areas:
        row = replace(row, areas=tuple(Area(_one("--area", each, list(Area))) for each in areas))
    if conditions:
        named = tuple(Condition(_one("--condition", each, list(Condition))) for each in conditions)
        row = replace(row, conditions=named)
    return row if spawn is None else replace(row, spawn=_spawn(spawn))


def _spawn(given: str) -> Spawn:
    """Percent as in the table."""
    from simulation.road_scenes.table import SceneError, Spawn

    parts = given.split("/")
    if len(parts) != 4 or not all(re.fullmatch(r"\d+(\.\d+)?", part) and float(part) <= 100 for part in parts):
        raise SceneError(
            f"--spawn {given} is not four numbers from 0 to 100 for pedestrian/cyclist/car/wheelchair; 30/20/35/0, say."
        )
    pedestrian, cyclist, car, wheelchair = (float(part) / 100 for part in parts)
    return Spawn(pedestrian=pedestrian, cyclist=cyclist, car=car, wheelchair=wheelchair)


def _size(given: str) -> tuple[int, int]:
    from simulation.road_scenes.table import SceneError

    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", given)
    if found is None:
        raise SceneError(f"--size {given} is not width x height in pixels; 480x270, say.")
    return int(found[1]), int(found[2])


def _one(option: str, given: str, known: list[str]) -> str:
    """One of the known values, or a sentence that lists them."""
    from simulation.road_scenes.table import SceneError

    if given in known:
        return given
    close = difflib.get_close_matches(given, known, n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    raise SceneError(f"Unknown {option} '{given}'. {hint}Available: {', '.join(known)}.")
