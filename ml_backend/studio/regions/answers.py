"""Which annotation of a task counts where boxes are drawn, and what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from ml_backend.studio.labels import Json, Problem, Reading, age, image_url, submitted_annotations, who
from ml_backend.studio.regions.boxes import boxes_of
from ml_backend.studio.regions.config import BoxesConfig
from ml_backend.studio.regions.frames import frame_of
from ml_backend.studio.regions.reading import RegionError


def read_boxes_task(task: Json, config: BoxesConfig) -> Reading:
    """Ground truth, else the latest answer that can be read: boxes of several people are not merged. Never raises.

    An answer without a box is one: nothing is there. `label` of the reading says how many of each class.
    """
    url, problem = image_url(task, config.data_key)
    try:
        place = frame_of(task) if _names_a_frame(task) else None
    except RegionError as error:
        place, problem = None, problem or (error.kind, str(error))
    where = (place.video, place.frame) if place is not None else (None, None)
    annotations, submitted = submitted_annotations(task)
    if not submitted:
        if not annotations:
            return Reading("unlabeled", url, problem=problem, video=where[0], frame=where[1])
        said = who(annotations[-1])
        return Reading("skipped", url, problem=problem, video=where[0], frame=where[1], **said)
    chosen, spoiled = first_readable(submitted, lambda each: boxes_of(each, config, *_drawn_on(each)))
    said = who(chosen or submitted[-1])
    problem = problem or spoiled
    if chosen is None:
        return Reading("labeled", url, problem=problem, video=where[0], frame=where[1], **said)
    regions = [region for region in chosen["result"] if region.get("from_name") == config.from_name]
    return Reading(
        "labeled",
        url,
        counted(region["value"][config.label_key][0] for region in regions),
        problem=problem,
        regions=regions,
        video=where[0],
        frame=where[1],
        **said,
    )


def counted(labels: Iterable[str]) -> str:
    """How many of each, most first.

    >>> counted(["Car", "Person", "Car"]), counted([])
    ('2 Car, 1 Person', 'nothing')
    """
    counts = Counter(labels)
    said = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count} {label}" for label, count in said) or "nothing"


def _names_a_frame(task: Json) -> bool:
    data = task.get("data")
    return isinstance(data, dict) and (data.get("video") is not None or data.get("frame") is not None)


def _rank(annotation: Json) -> tuple[bool, str, int]:
    return (annotation.get("ground_truth") is True, *age(annotation))


def first_readable(annotations: Iterable[Json], read: Callable[[Json], object]) -> tuple[Json | None, Problem | None]:
    """Ground truth, else the latest annotation that `read` takes without a RegionError; what is wrong with another."""
    spoiled: Problem | None = None
    for annotation in sorted(annotations, key=_rank, reverse=True):
        try:
            read(annotation)
        except RegionError as error:
            spoiled = spoiled or (error.kind, str(error))
            continue
        return annotation, spoiled
    return None, spoiled


def _drawn_on(annotation: Json) -> tuple[float, float]:
    """The size that the annotation itself names; whether the image still has it is asked when the image is there."""
    result = annotation.get("result")
    for region in result if isinstance(result, list) else []:
        if isinstance(region, dict):
            width, height = region.get("original_width"), region.get("original_height")
            if isinstance(width, int) and isinstance(height, int) and 0 < width < 1e6 and 0 < height < 1e6:
                return width, height
    return 1000, 1000
