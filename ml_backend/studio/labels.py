"""Between Label Studio's configs, annotations and predictions, and our classes: single-choice image classification."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from xml.etree import ElementTree

from ml_backend.studio.config_xml import ConfigError, attribute, is_tag, parse

Json = dict[str, Any]
Problem = tuple[str, str]  # (kind in snake_case, one sentence)


@dataclass(frozen=True)
class ImageClassification:
    """What the config asks: one of `classes` (as annotations store them: alias, else value) for the image in
    `data[data_key]`, answered by the Choices tag `from_name` on the Image tag `to_name`."""

    from_name: str
    to_name: str
    data_key: str
    classes: tuple[str, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Reading:
    """One task as its people left it.

    'labeled' means that someone answered; `label` is None where that answer is of no use, and `problem` says why.
    'skipped' means that everyone who saw it skipped it. lead_time: seconds. labeled_at: Label Studio's ISO moment.
    regions: where boxes are drawn, those of the answer. video, frame: of a task that shows a frame. fps: of a whole
    video, as Label Studio counts its frames.
    """

    status: Literal["unlabeled", "labeled", "skipped"]
    url: str | None = None
    label: str | None = None
    annotation_id: int | None = None
    annotator: int | None = None
    lead_time: float | None = None
    labeled_at: str | None = None
    problem: Problem | None = None
    regions: list[Json] | None = None
    video: str | None = None
    frame: int | None = None
    fps: float | None = None


# the config


def read_config(label_config: str) -> ImageClassification:
    """The one question that the config asks about an image. Raises ConfigError.

    >>> read_config('<View><Image name="i" value="$url"/><Choices name="c" toName="i">'
    ...             '<Choice value="cat"/><Choice value="dog" alias="d"/></Choices></View>')
    ImageClassification(from_name='c', to_name='i', data_key='url', classes=('cat', 'd'), notes=())
    """
    tags = list(parse(label_config).iter())
    images = {attribute(tag, "name"): tag for tag in tags if is_tag(tag, "image")}
    found: list[ImageClassification] = []
    refused: list[ConfigError] = []
    for tag in tags:
        if is_tag(tag, "choices"):
            try:
                found.append(_read_choices(tag, images))
            except ConfigError as error:
                refused.append(error)
    if not found and refused:
        raise refused[0]
    if not found:
        raise ConfigError(
            "no_choices",
            'The labeling config has no <Choices> tag; add one with toName of the image and choice="single".',
        )
    return _first(found)


def _first(found: list[ImageClassification]) -> ImageClassification:
    if len(found) == 1:
        return found[0]
    used, others = found[0], ", ".join(f"'{other.from_name}'" for other in found[1:])
    note = f"The config asks several single choices about images; '{used.from_name}' is learned and {others} ignored."
    return ImageClassification(used.from_name, used.to_name, used.data_key, used.classes, (note,))


def _read_choices(choices: ElementTree.Element, images: dict[str, ElementTree.Element]) -> ImageClassification:
    name, to_name = attribute(choices, "name"), attribute(choices, "toname")
    if not name:
        raise ConfigError("no_name", "A <Choices> tag has no name; give it one.")
    image = images.get(to_name)
    if not to_name or image is None:
        raise ConfigError(
            "no_image",
            f"<Choices name=\"{name}\"> points to '{to_name}', which is no <Image> tag; set its toName to one.",
        )
    _check_single(choices, name)
    return ImageClassification(name, to_name, _data_key(image, to_name), _classes(choices, name))


def _check_single(choices: ElementTree.Element, name: str) -> None:
    mode = attribute(choices, "choice") or "single"
    if mode not in {"single", "single-radio"}:
        raise ConfigError("multiple_choice", f'<Choices name="{name}"> has choice="{mode}"; set choice="single".')
    for switch in ("perregion", "peritem"):
        if attribute(choices, switch) == "true":
            raise ConfigError(
                "per_region", f'<Choices name="{name}"> asks per region or item; remove perRegion and perItem.'
            )
    if attribute(choices, "value"):
        raise ConfigError(
            "dynamic_choices",
            f'<Choices name="{name}"> takes its choices from the task\'s data; write them as <Choice> tags.',
        )


def _data_key(image: ElementTree.Element, to_name: str) -> str:
    if attribute(image, "valuelist"):
        raise ConfigError(
            "image_list", f'<Image name="{to_name}"> shows a list of images (valueList); use value with one image.'
        )
    value = attribute(image, "value")
    if not value.startswith("$") or len(value) == 1:
        raise ConfigError(
            "no_data_key",
            f'<Image name="{to_name}"> has value="{value}", which names no key of the task\'s data; write "$image".',
        )
    return value[1:]


def _classes(choices: ElementTree.Element, name: str) -> tuple[str, ...]:
    tags = [tag for tag in choices.iter() if is_tag(tag, "choice")]
    if any(is_tag(child, "choice") for tag in tags for child in tag):
        raise ConfigError("nested_choices", f'<Choices name="{name}"> nests <Choice> tags; write them side by side.')
    classes = [attribute(tag, "alias") or attribute(tag, "value") for tag in tags]
    if not classes or "" in classes:
        raise ConfigError("no_classes", f'<Choices name="{name}"> has no <Choice> or one without value; add them.')
    if len(classes) == 1:
        raise ConfigError("one_class", f"<Choices name=\"{name}\"> offers only '{classes[0]}'; add a second <Choice>.")
    if repeated := [label for label, count in Counter(classes).items() if count > 1]:
        raise ConfigError("repeated_class", f"<Choices name=\"{name}\"> offers '{repeated[0]}' twice; remove one.")
    return tuple(classes)


# annotations


@dataclass(frozen=True)
class _Answer:
    annotation: Json
    label: str

    def age(self) -> tuple[str, int]:
        return age(self.annotation)


def age(annotation: Json) -> tuple[str, int]:
    """What sorts annotations, the newest last."""
    return _text(annotation.get("updated_at")) or "", _integer(annotation.get("id")) or 0


def submitted_annotations(task: Json) -> tuple[list[Json], list[Json]]:
    """All annotations of a task, and those that are no skips."""
    listed = task.get("annotations")
    annotations = [each if isinstance(each, dict) else {} for each in listed] if isinstance(listed, list) else []
    return annotations, [each for each in annotations if each.get("was_cancelled") is not True]


def read_task(task: Json, config: ImageClassification) -> Reading:
    """What a task row of the API says: ground truth, else the majority, else the latest answer. Never raises.

    Skips count only when there is nothing else. A problem is (kind, message) with kind missing_key, unknown_label,
    empty_annotation or malformed_annotation; the key comes first, since without an image a label teaches nothing.
    """
    url, problem = image_url(task, config.data_key)
    annotations, submitted = submitted_annotations(task)
    if not submitted:
        if not annotations:
            return Reading("unlabeled", url, problem=problem)
        return Reading("skipped", url, problem=problem, **who(annotations[-1]))
    answers, spoiled = _answers(submitted, config)
    if not answers:
        return Reading("labeled", url, problem=problem or spoiled, **who(submitted[-1]))
    chosen = _decide(answers)
    return Reading("labeled", url, chosen.label, problem=problem or spoiled, **who(chosen.annotation))


def image_url(task: Json, key: str, what: str = "image") -> tuple[str | None, Problem | None]:
    """What the task's data hold under the key of its image; or of what else it shows."""
    data = task.get("data")
    value = data.get(key) if isinstance(data, dict) else None
    if isinstance(value, str) and value.strip():
        return value.strip(), None
    held = "nothing" if value is None or value == "" else f"a {type(value).__name__}"
    return None, (
        "missing_key",
        f"Task {task.get('id')} holds {held} under '{key}'; put the {what}'s URL there.",
    )


def _answers(annotations: Iterable[Json], config: ImageClassification) -> tuple[list[_Answer], Problem | None]:
    answers: list[_Answer] = []
    problem: Problem | None = None
    for annotation in annotations:
        label, spoiled = _answer(annotation, config)
        problem = problem or spoiled
        if label is not None:
            answers.append(_Answer(annotation, label))
    return answers, problem


def _answer(annotation: Json, config: ImageClassification) -> tuple[str | None, Problem | None]:
    which = f"Annotation {annotation.get('id')}"
    result = annotation.get("result")
    if not isinstance(result, list) or not all(isinstance(region, dict) for region in result):
        return None, ("malformed_annotation", f"{which} has no list of regions as its result; submit it again.")
    regions = [region for region in result if region.get("from_name") == config.from_name]
    if not regions:
        return None, ("empty_annotation", f"{which} chooses nothing for '{config.from_name}'; open it and choose.")
    chosen = [_choices(region) for region in regions]
    first = chosen[0]
    if first is None or len(first) != 1 or any(other != first for other in chosen):
        return None, ("malformed_annotation", f"{which} does not hold exactly one choice; open it and choose one.")
    if first[0] not in config.classes:
        return None, (
            "unknown_label",
            f"{which} says '{first[0]}', which the config does not offer; add that <Choice> or correct the annotation.",
        )
    return first[0], None


def _choices(region: Json) -> list[str] | None:
    value = region.get("value")
    choices = value.get("choices") if isinstance(value, dict) else None
    return choices if isinstance(choices, list) and all(isinstance(each, str) for each in choices) else None


def _decide(answers: list[_Answer]) -> _Answer:
    trusted = [answer for answer in answers if answer.annotation.get("ground_truth") is True] or answers
    votes = Counter(answer.label for answer in trusted)
    most = max(votes.values())
    return max((answer for answer in trusted if votes[answer.label] == most), key=_Answer.age)


def who(annotation: Json) -> dict[str, Any]:
    """The fields of a `Reading` on who answered, when, and in what time."""
    lead_time = annotation.get("lead_time")
    usable = isinstance(lead_time, (int, float)) and not isinstance(lead_time, bool) and 0 <= lead_time < 1e9
    return {
        "annotation_id": _integer(annotation.get("id")),
        "annotator": _annotator(annotation.get("completed_by")),
        "lead_time": float(lead_time) if usable and lead_time is not None else None,
        "labeled_at": _text(annotation.get("updated_at")) or _text(annotation.get("created_at")),
    }


def _annotator(value: object) -> int | None:
    """Some endpoints answer with the user's id, others with the user."""
    return _integer(value.get("id")) if isinstance(value, dict) else _integer(value)


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


# predictions


def choice_result(config: ImageClassification, label: str, confidence: float) -> list[Json]:
    """The `result` of a prediction: one region with the model's real confidence in [0, 1] as its score."""
    if label not in config.classes:
        raise ValueError(f"'{label}' is not a class of '{config.from_name}'; the classes are {_listed(config)}.")
    if not _within(confidence, 0, 1):
        raise ValueError(f"The confidence of '{label}' is {confidence!r}; it must lie in [0, 1].")
    return [
        {
            "from_name": config.from_name,
            "to_name": config.to_name,
            "type": "choices",
            "value": {"choices": [label]},
            "score": float(confidence),
        }
    ]


def check_prediction(config: ImageClassification, row: Json) -> None:
    """Raises ValueError if a row of a bulk import is wrong: Label Studio drops or, on its fast path, stores such rows.

    row: task (int), score (the queue's order, in [0, 1)), model_version, result (at most one region as `choice_result`
    makes it; none where the model knows nothing yet).
    """
    task = row.get("task")
    if _integer(task) is None:
        raise ValueError(f"A prediction's task is {task!r}; give the task's integer id.")
    score = row.get("score")
    if not _within(score, 0, 1) or score == 1:
        raise ValueError(f"The prediction of task {task} has score {score!r}; it must lie in [0, 1).")
    version = row.get("model_version")
    if not isinstance(version, str) or not version.strip():
        raise ValueError(f"The prediction of task {task} has model_version {version!r}; give it a name.")
    result = row.get("result")
    if not isinstance(result, list) or len(result) > 1:
        raise ValueError(f"The prediction of task {task} has result {result!r}; give a list of at most one region.")
    for region in result:
        _check_region(config, region, task)


def _check_region(config: ImageClassification, region: object, task: object) -> None:
    if not isinstance(region, dict):
        raise ValueError(f"The prediction of task {task} has the region {region!r}; give what choice_result makes.")
    for key, right in (("from_name", config.from_name), ("to_name", config.to_name), ("type", "choices")):
        if region.get(key) != right:
            raise ValueError(f"The prediction of task {task} has {key} {region.get(key)!r}; the config says '{right}'.")
    choices = _choices(region)
    if choices is None or len(choices) != 1 or choices[0] not in config.classes:
        raise ValueError(f"The prediction of task {task} chooses {choices!r}; choose one of {_listed(config)}.")
    if "score" in region and not _within(region["score"], 0, 1):
        raise ValueError(f"The region of task {task} has score {region['score']!r}; it must lie in [0, 1].")


def _within(value: object, low: float, high: float) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and low <= value <= high  # type: ignore[arg-type,operator]


def _listed(config: ImageClassification) -> str:
    shown = ", ".join(f"'{label}'" for label in config.classes[:10])
    return shown + (f" and {len(config.classes) - 10} more" if len(config.classes) > 10 else "")
