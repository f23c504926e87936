"""What a labeling config asks about regions: boxes on an image, tracks in a video, or time ranges of a video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar
from xml.etree.ElementTree import Element

from ml_backend.studio.config_xml import ConfigError, attribute, is_tag, parse

EDITOR_FRAME_RATE = "24"  # what Label Studio assumes where <Video> has no frameRate
CONTROLS = ("RectangleLabels", "VideoRectangle", "TimelineLabels")
SHAPES = (  # tags that ask for shapes which no learner here draws
    *("Polygon", "PolygonLabels", "Brush", "BrushLabels", "KeyPoint", "KeyPointLabels", "Ellipse", "EllipseLabels"),
    *("Bitmask", "BitmaskLabels", "MagicWand", "Vector", "VectorLabels", "VideoVector"),
)


@dataclass(frozen=True)
class BoxesConfig:
    """Boxes of `classes` (as annotations store them: alias, else value) on the image in `data[data_key]`."""

    kind: ClassVar[str] = "boxes"
    region_type: ClassVar[str] = "rectanglelabels"
    label_key: ClassVar[str] = "rectanglelabels"
    from_name: str
    to_name: str
    data_key: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class TimelineConfig:
    """Ranges of frames of `classes` in the video in `data[data_key]`; frame_rate as in TracksConfig."""

    kind: ClassVar[str] = "timeline"
    region_type: ClassVar[str] = "timelinelabels"
    label_key: ClassVar[str] = "timelinelabels"
    from_name: str
    to_name: str
    data_key: str
    classes: tuple[str, ...]
    frame_rate: str = EDITOR_FRAME_RATE


@dataclass(frozen=True)
class TracksConfig:
    """Boxes of `classes` that move through the video in `data[data_key]`.

    frame_rate: as the config has it, a number or "$key" of the task's data; see `frame_rate.frame_rate`. timeline: the
    <TimelineLabels> on the same video, if there is one; its ranges are no answer to the question about boxes.
    """

    kind: ClassVar[str] = "tracks"
    region_type: ClassVar[str] = "videorectangle"
    label_key: ClassVar[str] = "labels"
    from_name: str
    to_name: str
    data_key: str
    classes: tuple[str, ...]
    frame_rate: str = EDITOR_FRAME_RATE
    timeline: TimelineConfig | None = None

    def asks(self, from_name: object) -> TracksConfig | TimelineConfig:
        """The part of the config that regions with this from_name answer: this one unless the timeline is named."""
        return self.timeline if self.timeline is not None and self.timeline.from_name == from_name else self


VideoConfig = TracksConfig | TimelineConfig
RegionsConfig = BoxesConfig | TracksConfig | TimelineConfig


def read_regions_config(label_config: str) -> RegionsConfig:
    """The one question about regions that the config asks. Raises ConfigError. Tags of other questions are ignored.

    >>> read_regions_config('<View><Image name="i" value="$url"/><RectangleLabels name="b" toName="i">'
    ...                     '<Label value="Car"/><Label value="Person" alias="p"/></RectangleLabels></View>')
    BoxesConfig(from_name='b', to_name='i', data_key='url', classes=('Car', 'p'))
    """
    tags = list(parse(label_config).iter())
    _refuse_shapes(tags)
    control, timeline = _controls(tags)
    name = _name(control)
    if is_tag(control, "rectanglelabels"):
        to_name, data_key, _ = _object(tags, control, "Image")
        return BoxesConfig(name, to_name, data_key, _classes(control))
    to_name, data_key, frame_rate = _object(tags, control, "Video")
    if is_tag(control, "timelinelabels"):
        return TimelineConfig(name, to_name, data_key, _classes(control), frame_rate)
    classes = _classes(_labels_of(tags, control, to_name))
    if timeline is None:
        return TracksConfig(name, to_name, data_key, classes, frame_rate)
    _object(tags, timeline, "Video")
    ranges = TimelineConfig(_name(timeline), to_name, data_key, _classes(timeline), frame_rate)
    return TracksConfig(name, to_name, data_key, classes, frame_rate, ranges)


def _refuse_shapes(tags: list[Element]) -> None:
    for shape in SHAPES:
        for tag in tags:
            if is_tag(tag, shape.lower()):
                raise ConfigError(
                    "other_shape",
                    f'The labeling config has <{shape} name="{attribute(tag, "name")}">, a shape that is not learned; '
                    "remove it, or ask for boxes with <RectangleLabels>.",
                )


def _controls(tags: list[Element]) -> tuple[Element, Element | None]:
    """The tag that asks, and the <TimelineLabels> that may stand beside a <VideoRectangle>."""
    controls = [tag for tag in tags if any(is_tag(tag, control.lower()) for control in CONTROLS)]
    if len(controls) == 1:
        return controls[0], None
    tracks = [tag for tag in controls if is_tag(tag, "videorectangle")]
    ranges = [tag for tag in controls if is_tag(tag, "timelinelabels")]
    if len(controls) == 2 and tracks and ranges:
        return tracks[0], ranges[0]
    if controls:
        shown = " and ".join(f'<{tag.tag} name="{attribute(tag, "name")}">' for tag in controls)
        raise ConfigError("several_controls", f"The labeling config asks with {shown}; keep one of them.")
    plain = next((tag for tag in tags if is_tag(tag, "rectangle")), None)
    if plain is not None:
        raise ConfigError(
            "no_classes",
            f'<Rectangle name="{attribute(plain, "name")}"> draws boxes without a class; use <RectangleLabels>.',
        )
    raise ConfigError(
        "no_regions",
        "The labeling config has no <RectangleLabels>, <VideoRectangle> or <TimelineLabels> tag; add the one you need.",
    )


def _name(control: Element) -> str:
    name = attribute(control, "name")
    if not name:
        raise ConfigError("no_name", f"A <{control.tag}> tag has no name; give it one.")
    return name


def _object(tags: list[Element], control: Element, kind: str) -> tuple[str, str, str]:
    """The name, data key and frame rate of the one <Image> or <Video> that the control points to."""
    objects = [tag for tag in tags if is_tag(tag, kind.lower())]
    if len(objects) > 1:
        shown = ", ".join(f"'{attribute(tag, 'name')}'" for tag in objects)
        raise ConfigError(
            f"several_{kind.lower()}s", f"The labeling config has several <{kind}> tags ({shown}); keep one."
        )
    to_name = attribute(control, "toname")
    if not objects or not to_name or attribute(objects[0], "name") != to_name:
        raise ConfigError(
            f"no_{kind.lower()}",
            f"<{control.tag} name=\"{attribute(control, 'name')}\"> points to '{to_name}', which is no <{kind}> tag; "
            "set its toName to one.",
        )
    return to_name, _data_key(objects[0], kind), attribute(objects[0], "framerate") or EDITOR_FRAME_RATE


def _data_key(tag: Element, kind: str) -> str:
    name, value = attribute(tag, "name"), attribute(tag, "value")
    if attribute(tag, "valuelist"):
        raise ConfigError(
            "image_list", f'<{kind} name="{name}"> shows a list of images (valueList); use value with one image.'
        )
    if not value.startswith("$") or len(value) == 1:
        raise ConfigError(
            "no_data_key",
            f'<{kind} name="{name}"> has value="{value}", which names no key of the task\'s data; '
            f'write "${kind.lower()}".',
        )
    return value[1:]


def _labels_of(tags: list[Element], control: Element, to_name: str) -> Element:
    """The <Labels> tag beside a <VideoRectangle>, which holds no classes of its own."""
    found = [tag for tag in tags if is_tag(tag, "labels") and attribute(tag, "toname") == to_name]
    if len(found) == 1:
        return found[0]
    fault = "no <Labels> tag" if not found else f"{len(found)} <Labels> tags"
    raise ConfigError(
        "no_classes" if not found else "several_labels",
        f'<VideoRectangle name="{attribute(control, "name")}"> has {fault} with toName="{to_name}" beside it; '
        "write exactly one.",
    )


def _classes(tag: Element) -> tuple[str, ...]:
    shown = f'<{tag.tag} name="{attribute(tag, "name")}">'
    if attribute(tag, "value"):
        raise ConfigError(
            "dynamic_labels", f"{shown} takes its labels from the task's data; write them as <Label> tags."
        )
    if attribute(tag, "choice") == "multiple":
        raise ConfigError("multiple_labels", f'{shown} has choice="multiple"; a region has one class, so remove it.')
    labels = [label for label in tag.iter() if is_tag(label, "label")]
    classes = [attribute(label, "alias") or attribute(label, "value") for label in labels]
    if not classes or "" in classes:
        raise ConfigError("no_classes", f"{shown} has no <Label> or one without value; add them.")
    _refuse_repeated(shown, classes)
    return tuple(classes)


def _refuse_repeated(shown: str, classes: Iterable[str]) -> None:
    if repeated := [label for label, count in Counter(classes).items() if count > 1]:
        raise ConfigError("repeated_class", f"{shown} offers '{repeated[0]}' twice; remove one.")
