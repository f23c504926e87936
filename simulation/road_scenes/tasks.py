"""Label Studio tasks: one for each frame (jpg) or each video (mp4), with the true boxes in them if wanted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from simulation.road_scenes.table import FPS, Kind

Json = dict[str, Any]
VERSION = "ground truth"  # model_version of true boxes that are given as predictions


class Answers(StrEnum):
    """Where the true boxes go."""

    NONE = "none"
    ANNOTATIONS = "annotations"
    PREDICTIONS = "predictions"


_LABELS = "\n".join(f'    <Label value="{kind.value}" hotkey="{number}"/>' for number, kind in enumerate(Kind, 1))
IMAGE_CONFIG = f"""<View>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
  <RectangleLabels name="label" toName="image">
{_LABELS}
  </RectangleLabels>
</View>
"""
VIDEO_CONFIG = f"""<View>
  <Labels name="label" toName="video">
{_LABELS}
  </Labels>
  <Video name="video" value="$video" framerate="{FPS}"/>
  <VideoRectangle name="box" toName="video"/>
</View>
"""


def write_tasks(files: Iterable[Path], path: Path, *, images: bool, prefix: str, answers: Answers) -> int:
    """Tasks of all videos, from their COCO files, into one JSON list, video by video; returns how many these are."""
    count = 0
    with path.open("w", encoding="utf-8") as out:
        out.write("[")
        for file in files:
            one = json.loads(file.read_text(encoding="utf-8"))
            for task in frame_tasks(one, prefix, answers) if images else [video_task(one, prefix, answers)]:
                out.write(("," if count else "") + "\n" + json.dumps(task, separators=(",", ":")))
                count += 1
        out.write("\n]\n")
    return count


def frame_tasks(one: Json, prefix: str, answers: Answers) -> Iterator[Json]:
    """A task for each image of a video's COCO; `frame` counts from 1, like the file names."""
    video, names = one["videos"][0], _names(one)
    boxes = defaultdict(list)
    for annotation in one["annotations"]:
        boxes[annotation["image_id"]].append(annotation)
    for image in one["images"]:
        data = {"image": prefix + image["file_name"], "frame": image["frame_id"], **_about(video)}
        result = [_rectangle(annotation, image, names) for annotation in boxes[image["id"]]]
        yield {"data": data, **_answered(result, answers)}


def video_task(one: Json, prefix: str, answers: Answers) -> Json:
    """A task for a video's COCO; each track is one region with a box in every frame where it is seen."""
    video, names = one["videos"][0], _names(one)
    tracks = defaultdict(list)
    for annotation in one["annotations"]:
        tracks[annotation["track_id"]].append(annotation)
    frames = {image["id"]: image for image in one["images"]}
    result = [_track(number, track, frames, names, video["frames"]) for number, track in sorted(tracks.items())]
    about = {key: value for key, value in _about(video).items() if key != "video"}
    data = {**about, "name": video["name"], "video": f"{prefix}{video['name']}/video.mp4"}
    return {"data": data, **_answered(result, answers)}


def _names(one: Json) -> dict[int, str]:
    return {category["id"]: category["name"] for category in one["categories"]}


def _about(video: Json) -> Json:
    return {"video": video["name"], "area": video["area"], "condition": video["condition"]}


def _answered(result: list[Json], answers: Answers) -> Json:
    if answers is Answers.NONE:
        return {}
    if answers is Answers.PREDICTIONS:
        return {"predictions": [{"model_version": VERSION, "result": result}]}
    return {"annotations": [{"result": result}]}


def _percent(annotation: Json, image: Json) -> Json:
    """Label Studio measures in percent of the picture."""
    x, y, width, height = annotation["bbox"]
    return {
        "x": 100 * x / image["width"],
        "y": 100 * y / image["height"],
        "width": 100 * width / image["width"],
        "height": 100 * height / image["height"],
        "rotation": 0,
    }


def _rectangle(annotation: Json, image: Json, names: dict[int, str]) -> Json:
    return {
        "id": f"f{image['frame_id']}t{annotation['track_id']}",
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": image["width"],
        "original_height": image["height"],
        "image_rotation": 0,
        "value": {**_percent(annotation, image), "rectanglelabels": [names[annotation["category_id"]]]},
        "meta": {"text": [f"track {annotation['track_id']}"]},
    }


def _track(number: int, track: list[Json], frames: dict[int, Json], names: dict[int, str], length: int) -> Json:
    """enabled: whether the box holds on to the next frame, as Label Studio fills the time between two boxes."""
    seen = [frames[annotation["image_id"]]["frame_id"] for annotation in track]
    sequence = [
        {
            "frame": frame,
            "time": (frame - 1) / FPS,
            "enabled": following == frame + 1,
            **_percent(annotation, frames[annotation["image_id"]]),
        }
        for annotation, frame, following in zip(track, seen, [*seen[1:], -1], strict=True)
    ]
    value = {
        "framesCount": length,
        "duration": length / FPS,
        "sequence": sequence,
        "labels": [names[track[0]["category_id"]]],
    }
    return {"id": f"t{number}", "from_name": "box", "to_name": "video", "type": "videorectangle", "value": value}
