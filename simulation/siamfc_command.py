"""`nextlabel train-tracker`: SiamFC learns on road scenes to find an object again, for who has no published weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:  # torch and OpenCV are loaded when the command runs
    from plugins.video.siamfc_training import ObjectInVideo

SMALL = (32, 64, 96, 96, 64)  # channels: a third of the published network's, for a processor
SMALL_RATE = 3e-3


def train_tracker(
    output: Annotated[Path, typer.Argument(help="File of the weights, siamfc.pth say.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of eight pairs of pictures.")] = 2000,
    videos: Annotated[int, typer.Option(min=1, help="Drives that are made to learn from.")] = 24,
    frames: Annotated[int, typer.Option(min=2, help="Of each drive; all are held in memory.")] = 50,
    full: Annotated[bool, typer.Option(help="The published network's size, for a GPU; else a third of it.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws drives and pairs.")] = 0,
) -> None:
    """Trains the tracker SiamFC on road scenes; then `tracker: siamfc, tracker_settings: {weights: FILE}` in a plan."""
    import torch

    from plugins.video.siamfc_network import PUBLISHED
    from plugins.video.siamfc_training import train

    if not output.parent.is_dir():
        raise typer.BadParameter(f"The folder of {output} does not exist; make it first.")
    console = Console()
    objects = road_scene_objects(videos, frames, seed)
    console.print(f"{len(objects)} objects in {videos} drives.", highlight=False)
    losses: list[float] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        bar = bars.add_task("learning", total=steps)

        def observe(_step: int, loss: float) -> None:
            losses.append(loss)
            bars.update(bar, advance=1, description=f"learning, loss {np.mean(losses[-25:]):.3f}")

        size: dict[str, Any] = {} if full else {"channels": SMALL, "rate": SMALL_RATE}
        network = train(objects, steps=steps, seed=seed, observe=observe, **size)
    torch.save(network.state_dict(), output)
    part = max(1, len(losses) // 10)
    console.print(
        f"{output}: {'x'.join(map(str, PUBLISHED if full else SMALL))} channels, loss {np.mean(losses[:part]):.3f} at "
        f"first, {np.mean(losses[-part:]):.3f} at last.",
        highlight=False,
    )


def road_scene_objects(count: int, frames: int, seed: int) -> list[ObjectInVideo]:
    """Objects of the first drives of the default subset, so many frames each, drawn and held in memory."""
    from plugins.video.frame_source import Pictures
    from plugins.video.siamfc_training import ObjectInVideo
    from simulation.road_scenes.scene import Scene
    from simulation.road_scenes.table import FPS, SUBSETS, drives

    found = []
    for drive in drives(SUBSETS["default"], videos=count, seconds=frames / FPS, seed=seed):
        pictures: dict[int, NDArray[Any]] = {}
        seen: dict[int, list[tuple[int, ...]]] = {}
        for number, frame in enumerate(Scene(drive)):
            pictures[number] = frame.picture
            for one in frame.objects:
                seen.setdefault(one.id, []).append((number, *one.box))
        reader = Pictures(pictures)
        for rows in seen.values():
            if len(rows) > 1:
                table = np.array(rows)
                found.append(ObjectInVideo(reader, table[:, 0], table[:, 1:].astype(np.float64)))
    return found
