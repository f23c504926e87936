"""Which question a labeling config asks, and what a task's people answered: an image's class, its boxes, or tracks."""

from __future__ import annotations

from functools import lru_cache

from ml_backend.studio.config_xml import ConfigError, is_tag, parse
from ml_backend.studio.labels import ImageClassification, Json, Reading, read_config, read_task
from ml_backend.studio.regions.answers import read_boxes_task
from ml_backend.studio.regions.config import (
    CONTROLS,
    SHAPES,
    BoxesConfig,
    RegionsConfig,
    TimelineConfig,
    TracksConfig,
    read_regions_config,
)
from ml_backend.studio.regions.video_answers import read_video_task

Question = ImageClassification | RegionsConfig  # what the loop learns


def read_any_config(label_config: str) -> ImageClassification | RegionsConfig:
    """A choice about an image where the config asks one, else its boxes, tracks or time ranges. Raises ConfigError.

    >>> read_any_config('<View><Image name="i" value="$url"/><RectangleLabels name="b" toName="i">'
    ...                 '<Label value="Car"/></RectangleLabels></View>').kind
    'boxes'
    """
    tags = list(parse(label_config).iter())
    regions = any(is_tag(tag, name.lower()) for tag in tags for name in (*CONTROLS, *SHAPES, "Rectangle"))
    try:
        choice = read_config(label_config)
    except ConfigError:
        if not regions:
            raise
        return read_regions_config(label_config)
    if not regions:
        return choice
    note = (
        f"The config asks a choice and regions; the choice '{choice.from_name}' is learned and the regions are not. "
        "Remove its <Choices> tag to learn the regions."
    )
    return ImageClassification(choice.from_name, choice.to_name, choice.data_key, choice.classes, (*choice.notes, note))


@lru_cache(maxsize=256)
def read_question(label_config: str) -> Question:
    """The question of a config that the loop can learn. Raises ConfigError."""
    return read_any_config(label_config)


def read_answer(task: Json, question: Question) -> Reading:
    """What a task row of the API says about the question. Never raises."""
    if isinstance(question, (TracksConfig, TimelineConfig)):
        return read_video_task(task, question)
    return read_boxes_task(task, question) if isinstance(question, BoxesConfig) else read_task(task, question)
