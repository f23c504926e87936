"""Ground truth as MOT Challenge text: gt/gt.txt and seqinfo.ini beside img1/ (Milan et al. 2016, arXiv:1603.00831)."""

from __future__ import annotations

from collections.abc import Sequence

from simulation.road_scenes.coco import CATEGORIES
from simulation.road_scenes.table import FPS, Drive
from simulation.road_scenes.truth import Seen


def gt(frames: Sequence[tuple[Seen, ...]]) -> str:
    """Lines `frame,id,left,top,width,height,1,class,visibility`; frames, ids and pixels count from 1, as MOT's do.

    The boxes are those of the visible pixels; class: 1 pedestrian, 2 cyclist, 3 car, 4 wheelchair.
    """
    lines = []
    for frame, objects in enumerate(frames, 1):
        for seen in objects:
            x0, y0, x1, y1 = seen.box
            box = f"{x0 + 1},{y0 + 1},{x1 - x0},{y1 - y0}"
            lines.append(f"{frame},{seen.id},{box},1,{CATEGORIES[seen.kind]},{seen.visibility:.4f}\n")
    return "".join(lines)


def seqinfo(drive: Drive) -> str:
    """What MOT's tools read before the images."""
    return (
        f"[Sequence]\nname={drive.name}\nimDir=img1\nframeRate={FPS}\nseqLength={drive.frames}\n"
        f"imWidth={drive.width}\nimHeight={drive.height}\nimExt=.jpg\n"
    )
