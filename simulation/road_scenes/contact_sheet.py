"""A contact sheet: what the drives look like, on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from simulation.road_scenes.canvas import Picture
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import Drive, Kind, SceneError
from simulation.road_scenes.truth import Frame

TILE = 400  # pixels of a tile's width
CAPTION = 16
MOST = 24  # tiles
MOMENTS = 7  # of a drive that shows one tile, among which the fullest is taken
COLOURS = 256  # of the palette: a page that is looked at, not learned from
_BOXES = {
    Kind.PEDESTRIAN: (90, 230, 90),
    Kind.CYCLIST: (230, 90, 230),
    Kind.CAR: (40, 220, 255),
    Kind.WHEELCHAIR: (255, 210, 60),
}


def write_sheet(
    path: Path, drives: Sequence[Drive], columns: int, *, boxes: bool, report: Callable[[int], None]
) -> None:
    """A PNG of up to MOST tiles: one frame of each drive, or several if the drives are few; boxes: drawn in."""
    check_name(path)
    tiles = []
    for drive, shares in _chosen(drives, columns):
        scene = Scene(drive)
        for share in shares:
            frame = _fullest(scene) if len(shares) == 1 else scene.frame(int(share * (drive.frames - 1)))
            tiles.append(_tile(drive, frame, boxes=boxes))
            report(1)
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    page = Image.fromarray(cv2.cvtColor(np.vstack(rows), cv2.COLOR_BGR2RGB))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)


def _fullest(scene: Scene) -> Frame:
    """The one of MOMENTS frames with the most kinds, then the most objects in it."""
    last = scene.drive.frames - 1
    frames = [scene.frame(int((k + 0.5) / MOMENTS * last)) for k in range(MOMENTS)]
    return max(frames, key=lambda frame: (len({seen.kind for seen in frame.objects}), len(frame.objects)))


def check_name(path: Path) -> None:
    """A page is written as PNG; asked before an hour of rendering, too."""
    if path.suffix.lower() != ".png":
        raise SceneError(f"The contact sheet {path} is written as PNG; give it a name that ends in .png.")


def tiles_of(drives: Sequence[Drive], columns: int) -> int:
    """How many tiles write_sheet draws."""
    return sum(len(shares) for _, shares in _chosen(drives, columns))


def _chosen(drives: Sequence[Drive], columns: int) -> list[tuple[Drive, list[float]]]:
    """Drives and the moments of each, as shares of its length."""
    if len(drives) < columns * 2:
        return [(drive, [(k + 0.5) / columns for k in range(columns)]) for drive in drives]
    return [(drive, [0.5]) for drive in drives[:MOST]]


def _tile(drive: Drive, frame: Frame, *, boxes: bool) -> Picture:
    picture = frame.picture.copy()
    for seen in frame.objects if boxes else ():
        x0, y0, x1, y1 = seen.box
        cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), _BOXES[seen.kind], 1)
    height = round(TILE * drive.height / drive.width)
    small = cv2.resize(picture, (TILE, height), interpolation=cv2.INTER_AREA)
    tile = np.full((height + CAPTION, TILE, 3), 255, np.uint8)
    tile[CAPTION:, 1:-1] = small[:, 1:-1]
    text = f"{drive.area}, {drive.condition}"
    cv2.putText(tile, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (40, 40, 40), 1, cv2.LINE_AA)
    return tile
