"""A wrong prediction of regions is refused before it is sent, in one sentence that names the fault."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.studio.regions.boxes import box_results, boxes_of
from ml_backend.studio.regions.checks import check_regions_prediction
from ml_backend.studio.regions.config import BoxesConfig, RegionsConfig, TimelineConfig, TracksConfig
from ml_backend.studio.regions.reading import RegionError
from ml_backend.studio.regions.timeline import Ranges, ranges_of, timeline_results
from ml_backend.studio.regions.tracks import Track, track_results, tracks_of

CLASSES = ("Car", "Person")
CONFIGS: dict[str, RegionsConfig] = {
    "boxes": BoxesConfig("box", "img", "image", CLASSES),
    "tracks": TracksConfig("box", "vid", "video", CLASSES, "$fps"),
    "timeline": TimelineConfig("when", "vid", "video", CLASSES, "$fps"),
}
FAULTS: list[tuple[str, str, Any, str]] = [  # kind, path in the row, what stands there, what the sentence names
    ("boxes", "task", "1", "task"),
    ("boxes", "task", True, "task"),
    ("boxes", "score", 1.0, "score 1.0"),
    ("boxes", "score", math.nan, "score nan"),
    ("boxes", "model_version", " ", "model_version"),
    ("boxes", "result", None, "result"),
    ("boxes", "result.0", "x", "region 'x'"),
    ("boxes", "result.0.id", None, "id None"),
    ("boxes", "result.0.id", "a#b", "id 'a#b'"),
    ("boxes", "result.0.from_name", "label", "from_name 'label'"),
    ("boxes", "result.0.to_name", "x", "to_name 'x'"),
    ("boxes", "result.0.type", "rectangle", "type 'rectangle'"),
    ("boxes", "result.0.score", 5.0, "score 5.0"),
    ("boxes", "result.0.value", [], "value"),
    ("boxes", "result.0.original_width", None, "original_width"),
    ("boxes", "result.0.original_height", 0, "original_height"),
    ("boxes", "result.0.image_rotation", 90, "image_rotation 90"),
    ("boxes", "result.0.value.rectanglelabels", ["Dog"], "Dog"),
    ("boxes", "result.0.value.rectanglelabels", ["Car", "Person"], "Person"),
    ("boxes", "result.0.value.rectanglelabels", None, "rectanglelabels None"),
    ("boxes", "result.0.value.x", -0.5, "x -0.5"),
    ("boxes", "result.0.value.x", 101, "x 101"),
    ("boxes", "result.0.value.width", 95, "outside the image"),
    ("boxes", "result.0.value.height", 0, "height 0"),
    ("boxes", "result.0.value.y", math.nan, "y nan"),
    ("boxes", "result.0.value.y", "2", "y '2'"),
    ("boxes", "result.0.value.rotation", 3, "rotation 3"),
    ("tracks", "result.0.from_name", "label", "from_name 'label'"),
    ("tracks", "result.0.type", "rectanglelabels", "type 'rectanglelabels'"),
    ("tracks", "result.0.value.labels", None, "labels None"),
    ("tracks", "result.0.value.labels", ["Dog"], "Dog"),
    ("tracks", "result.0.value.framesCount", None, "framesCount None"),
    ("tracks", "result.0.value.framesCount", 2, "a keyframe at 3 after 1 of 2 frames"),
    ("tracks", "result.0.value.duration", None, "duration None"),
    ("tracks", "result.0.value.duration", 0, "duration 0"),
    ("tracks", "result.0.value.sequence", [], "sequence"),
    ("tracks", "result.0.value.sequence.0", 5, "keyframe 5"),
    ("tracks", "result.0.value.sequence.0.frame", 0, "keyframe at 0"),
    ("tracks", "result.0.value.sequence.1.frame", 1, "keyframe at 1 after 1"),
    ("tracks", "result.0.value.sequence.0.x", 101, "x 101"),
    ("tracks", "result.0.value.sequence.0.time", None, "time None"),
    ("tracks", "result.0.value.sequence.1.time", 77.0, "time 77.0"),
    ("tracks", "result.0.value.sequence.0.enabled", None, "enabled None"),
    ("tracks", "result.0.value.sequence.0.rotation", 1, "rotation 1"),
    ("timeline", "result.0.value.timelinelabels", ["Dog"], "Dog"),
    ("timeline", "result.0.value.timelinelabels", None, "timelinelabels None"),
    ("timeline", "result.0.value.ranges", None, "ranges None"),
    ("timeline", "result.0.value.ranges", [{"start": 1, "end": 2}, {"start": 4, "end": 5}], "list of one range"),
    ("timeline", "result.0.value.ranges.0.start", 0, "from 0"),
    ("timeline", "result.0.value.ranges.0.end", 2, "to 2"),
    ("timeline", "result.0.value.ranges.0.end", None, "to None"),
    ("timeline", "result.0.value.ranges.0.start", 4.0, "from 4.0"),
]


def right(kind: str) -> dict[str, Any]:
    """A row that can be written."""
    config = CONFIGS[kind]
    if isinstance(config, BoxesConfig):
        result = box_results(config, [[10, 10, 60, 60], [0, 0, 100, 100]], [0, 1], [0.5, 0.6], 100, 100)
    elif isinstance(config, TracksConfig):
        box = np.array([[0.0, 0, 9, 9], [3, 0, 12, 9], [0, 0, 9, 9]])
        track = Track("a", 0, np.array([1, 3, 4]), box, 0.5)
        result = track_results(config, [track], fps=25, frames=9, width=100, height=100)
    else:
        ranges = Ranges(np.array([4, 8]), np.array([6, 9]), np.array([0, 1]), np.array([0.5, 0.6]))
        result = timeline_results(config, ranges, fps=25, frames=9)
    return {"task": 1, "score": 0.0, "model_version": "v1", "result": result}


def spoiled(kind: str, path: str, value: Any) -> dict[str, Any]:
    row = copy.deepcopy(right(kind))
    place: Any = row
    *steps, last = path.split(".")
    for step in steps:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    return row


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_we_write_is_accepted_and_so_is_nothing(kind: str) -> None:
    row = right(kind)
    check_regions_prediction(CONFIGS[kind], row)
    check_regions_prediction(CONFIGS[kind], {**row, "result": []})
    with pytest.raises(ValueError, match="Several regions of task 1 have the id"):
        check_regions_prediction(CONFIGS[kind], {**row, "result": row["result"] * 2})


@pytest.mark.parametrize(("kind", "path", "value", "culprit"), FAULTS)
def test_a_wrong_prediction_is_refused_before_it_is_sent(kind: str, path: str, value: Any, culprit: str) -> None:
    with pytest.raises(ValueError, match=culprit) as refusal:
        check_regions_prediction(CONFIGS[kind], spoiled(kind, path, value))
    assert str(refusal.value).endswith(".")


PATHS = {
    "boxes": ["task", "result", "result.0", *(f"result.0.{key}" for key in ("id", "type", "score", "value"))]
    + [f"result.0.value.{key}" for key in ("x", "width", "rotation", "rectanglelabels")]
    + [f"result.0.{key}" for key in ("original_width", "image_rotation", "item_index")],
    "tracks": [f"result.0.value.{key}" for key in ("labels", "framesCount", "duration", "sequence")]
    + [f"result.0.value.sequence.0.{key}" for key in ("frame", "x", "time", "enabled", "rotation")],
    "timeline": [f"result.0.value.{key}" for key in ("timelinelabels", "ranges", "ranges.0")]
    + [f"result.0.value.ranges.0.{key}" for key in ("start", "end")],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "boxes": lambda annotation: boxes_of(annotation, BoxesConfig("box", "img", "image", CLASSES), 100, 100),
    "tracks": lambda annotation: tracks_of(annotation, TracksConfig("box", "vid", "video", CLASSES), 100, 100),
    "timeline": lambda annotation: ranges_of(annotation, TimelineConfig("when", "vid", "video", CLASSES)),
}


@given(st.sampled_from([(kind, path) for kind, paths in PATHS.items() for path in paths]), JSON)
def test_no_json_breaks_a_check_or_a_reader(place: tuple[str, str], value: Any) -> None:
    kind, path = place
    row = spoiled(kind, path, value)
    with suppress(ValueError):  # which OverflowError and the like are not
        check_regions_prediction(CONFIGS[kind], row)
    with suppress(RegionError):
        READERS[kind](row)
