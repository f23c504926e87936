"""Ground truth as COCO: an image for each frame, an annotation for each object in it, with its id over the video."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from simulation.road_scenes.table import Drive, Kind
from simulation.road_scenes.truth import Extent, Seen

CATEGORIES = {kind: number for number, kind in enumerate(Kind, 1)}
OCCLUDED = 0.95  # an object of which less is visible is marked as occluded
Json = dict[str, Any]


def image_name(video: str, frame: int) -> str:
    """The file of frame 0, 1, ... of a video, in MOT's layout.

    >>> image_name("town-003", 0)
    'town-003/img1/000001.jpg'
    """
    return f"{video}/img1/{frame + 1:06d}.jpg"


def coco(drive: Drive, frames: Sequence[tuple[Seen, ...]]) -> Json:
    """One video. bbox and area are those of the visible pixels; full_bbox is the box if nothing stood before it."""
    images: list[Json] = []
    annotations: list[Json] = []
    for t, objects in enumerate(frames):
        images.append(
            {
                "id": t + 1,
                "file_name": image_name(drive.name, t),
                "width": drive.width,
                "height": drive.height,
                "video_id": 1,
                "frame_id": t + 1,
            }
        )
        annotations += [_annotation(len(annotations) + k, t + 1, seen) for k, seen in enumerate(objects, 1)]
    video = {
        "id": 1,
        "name": drive.name,
        "area": drive.area.value,
        "condition": drive.condition.value,
        "frames": drive.frames,
        "seed": drive.seed,
    }
    return {
        "videos": [video],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": kind.value} for kind, number in CATEGORIES.items()],
    }


def _annotation(number: int, image: int, seen: Seen) -> Json:
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORIES[seen.kind],
        "bbox": _bbox(seen.box),
        "area": seen.pixels,
        "iscrowd": 0,
        "track_id": seen.id,
        "video_id": 1,
        "visibility": round(seen.visibility, 4),
        "occluded": seen.visibility < OCCLUDED,
        "truncated": seen.cut,
        "full_bbox": _bbox(seen.whole_box),
    }


def _bbox(box: Extent) -> list[int]:
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]


def merge(files: Iterable[Path], path: Path) -> int:
    """Writes several videos as one COCO file with ids of its own, and returns its number of annotations.

    Track ids stay those of their video: a track is video_id and track_id.
    """
    images, annotations, videos = [], [], []
    last_image = last_annotation = 0
    categories: list[Json] = []
    for number, file in enumerate(files, 1):
        one = json.loads(file.read_text(encoding="utf-8"))
        categories = one["categories"]
        videos.append({**one["videos"][0], "id": number})
        images += list(_moved(one["images"], number, {"id": last_image}))
        moves = {"id": last_annotation, "image_id": last_image}
        annotations += list(_moved(one["annotations"], number, moves))
        last_image, last_annotation = len(images), len(annotations)
    merged = {"videos": videos, "images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(merged, separators=(",", ":")) + "\n", encoding="utf-8")
    return len(annotations)


def _moved(rows: list[Json], video: int, moves: dict[str, int]) -> Iterator[Json]:
    for row in rows:
        yield {**row, "video_id": video, **{key: row[key] + shift for key, shift in moves.items()}}
