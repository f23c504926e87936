"""Every config and annotation becomes classes and labels, or a named problem."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.studio.config_xml import ConfigError
from ml_backend.studio.labels import (
    ImageClassification,
    check_prediction,
    choice_result,
    read_config,
    read_task,
)

CONFIG = ImageClassification("cls", "img", "image", ("cat", "dog"))
PAIR = '<Choice value="cat"/><Choice value="dog"/>'


def view(body: str) -> str:
    return f"<View>{body}</View>"


def choices(attributes: str = "", body: str = PAIR, to_name: str = "img") -> str:
    return f'<Choices name="cls" toName="{to_name}" {attributes}>{body}</Choices>'


IMAGE = '<Image name="img" value="$image"/>'


@pytest.mark.parametrize(
    "config",
    [
        view(IMAGE + choices()),
        view(choices() + IMAGE),
        view(IMAGE + choices('choice="single"')),
        view(IMAGE + choices('choice="single-radio" showInline="true"')),
        view(f"<!-- a comment --><View>{IMAGE}</View><Header value='$why'/><View>{choices()}</View>"),
        view(IMAGE + choices(body=f'<View style="">{PAIR}</View>')),
        "<?xml version='1.0' encoding='utf-16'?>" + view(IMAGE + choices()),
        view(
            '<image name="img" value="$image"/><choices name="cls" toname="img"><choice value="cat"/>'
            '<choice value="dog"/></choices>'
        ),
    ],
)
def test_single_choices_about_an_image_are_read(config: str) -> None:
    assert read_config(config) == CONFIG


def test_annotations_store_the_alias_where_there_is_one() -> None:
    body = '<Choice value="Katze" alias="cat"/><Choice value="dog"/>'
    assert read_config(view(IMAGE + choices(body=body))).classes == ("cat", "dog")


def test_the_first_of_several_questions_is_used_and_said() -> None:
    text = '<Text name="t" value="$t"/><Choices name="mood" toName="t"><Choice value="a"/><Choice value="b"/></Choices>'
    multiple = '<Choices name="many" toName="img" choice="multiple"><Choice value="a"/><Choice value="b"/></Choices>'
    assert read_config(view(text + multiple + IMAGE + choices())).notes == ()
    config = read_config(view(text + IMAGE + choices() + choices().replace("cls", "second")))
    assert config == CONFIG
    assert "'cls'" in config.notes[0]
    assert "'second'" in config.notes[0]


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ("", "not_xml"),
        ("no xml", "not_xml"),
        ("<View>", "not_xml"),
        ("<View>\0</View>", "not_xml"),
        ("<View>\ud800</View>", "not_xml"),
        ('<!DOCTYPE v [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + view("&b;"), "doctype"),
        ('<!DOCTYPE v SYSTEM "file:///etc/passwd">' + view(IMAGE + choices()), "doctype"),
        (view("&undefined;"), "not_xml"),
        (view(IMAGE), "no_choices"),
        (view(IMAGE + '<RectangleLabels name="b" toName="img"><Label value="x"/></RectangleLabels>'), "no_choices"),
        (view(IMAGE + choices('choice="multiple"')), "multiple_choice"),
        (view(IMAGE + choices('choice="sometimes"')), "multiple_choice"),
        (view(IMAGE + choices('perRegion="true"')), "per_region"),
        (view(IMAGE + choices('value="$options"', body="")), "dynamic_choices"),
        (view(choices()), "no_image"),
        (view('<Text name="img" value="$text"/>' + choices()), "no_image"),
        (view(IMAGE + choices(to_name="other")), "no_image"),
        (view(IMAGE + f"<Choices name='cls'>{PAIR}</Choices>"), "no_image"),
        (view(IMAGE + f"<Choices toName='img'>{PAIR}</Choices>"), "no_name"),
        (view('<Image name="img"/>' + choices()), "no_data_key"),
        (view('<Image name="img" value="http://a/b.png"/>' + choices()), "no_data_key"),
        (view('<Image name="img" value="$"/>' + choices()), "no_data_key"),
        (view('<Image name="img" valueList="$images"/>' + choices()), "image_list"),
        (view(IMAGE + choices(body="")), "no_classes"),
        (view(IMAGE + choices(body=PAIR + "<Choice/>")), "no_classes"),
        (view(IMAGE + choices(body='<Choice value="cat"/>')), "one_class"),
        (view(IMAGE + choices(body=PAIR + '<Choice value="x" alias="cat"/>')), "repeated_class"),
        (view(IMAGE + choices(body=f'<Choice value="pet">{PAIR}</Choice><Choice value="car"/>')), "nested_choices"),
    ],
)
def test_a_config_we_cannot_learn_is_refused_by_kind(config: str, kind: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        read_config(config)
    assert refusal.value.kind == kind
    assert str(refusal.value).endswith(".")


@given(st.text())
def test_no_text_breaks_the_config_reader(text: str) -> None:
    with pytest.raises(ConfigError):
        read_config(text)


def annotation(label: str | None, number: int = 1, **fields: Any) -> dict[str, Any]:
    region = {"from_name": "cls", "to_name": "img", "type": "choices", "value": {"choices": [label]}}
    return {
        "id": number,
        "result": [] if label is None else [region],
        "completed_by": 7,
        "was_cancelled": False,
        "ground_truth": False,
        "updated_at": f"2026-01-01T00:00:{number:02}.000000Z",
        "lead_time": 1.5,
        **fields,
    }


def task(*annotations: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"image": "/data/a.png"}, "annotations": list(annotations), **fields}


def test_a_labeled_task_says_who_what_and_when() -> None:
    reading = read_task(task(annotation("cat", 3, completed_by={"id": 9})), CONFIG)
    assert (reading.status, reading.url, reading.label, reading.problem) == ("labeled", "/data/a.png", "cat", None)
    assert (reading.annotation_id, reading.annotator, reading.lead_time) == (3, 9, 1.5)
    assert reading.labeled_at == "2026-01-01T00:00:03.000000Z"


@pytest.mark.parametrize(
    ("annotations", "status", "label"),
    [
        ([], "unlabeled", None),
        ([annotation("cat", was_cancelled=True)], "skipped", None),
        ([annotation("cat", 1, was_cancelled=True), annotation("dog", 2)], "labeled", "dog"),
        ([annotation("cat", 1), annotation("dog", 2)], "labeled", "dog"),
        ([annotation("cat", 2), annotation("dog", 1)], "labeled", "cat"),
        ([annotation("cat", 1), annotation("cat", 2), annotation("dog", 3)], "labeled", "cat"),
        ([annotation("cat", 1, ground_truth=True), annotation("dog", 2), annotation("dog", 3)], "labeled", "cat"),
        ([annotation("cat", 1), annotation("bird", 2), annotation("bird", 3)], "labeled", "cat"),
    ],
)
def test_several_annotations(annotations: list[dict[str, Any]], status: str, label: str | None) -> None:
    reading = read_task(task(*annotations), CONFIG)
    assert (reading.status, reading.label) == (status, label)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (task(annotation("cat"), data={"other": "x"}), "missing_key"),
        (task(annotation("cat"), data={"image": ["a", "b"]}), "missing_key"),
        (task(annotation("cat"), data={"image": " "}), "missing_key"),
        (task(annotation("cat"), data=None), "missing_key"),
        (task(annotation("bird")), "unknown_label"),
        (task(annotation(None)), "empty_annotation"),
        (task(annotation("cat", result=[{"from_name": "old", "value": {"choices": ["cat"]}}])), "empty_annotation"),
        (task(annotation("cat", result="cat")), "malformed_annotation"),
        (task(annotation("cat", result=[{"from_name": "cls", "value": {}}])), "malformed_annotation"),
        (
            task(annotation("cat", result=[{"from_name": "cls", "value": {"choices": ["cat", "dog"]}}])),
            "malformed_annotation",
        ),
        (
            task(annotation("cat", result=[{"from_name": "cls", "value": {"choices": [["pet", "cat"]]}}])),
            "malformed_annotation",
        ),
        (
            task(annotation("cat", result=annotation("cat")["result"] + annotation("dog")["result"])),
            "malformed_annotation",
        ),
    ],
)
def test_an_odd_task_is_labeled_with_a_named_problem(row: dict[str, Any], kind: str) -> None:
    reading = read_task(row, CONFIG)
    assert reading.status == "labeled"
    assert reading.problem is not None
    assert reading.problem[0] == kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["cls", "cat", "image"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["from_name", "value", "choices", "id", "result"]) | st.text(), inner, max_size=4
        )
    ),
    max_leaves=15,
)
REGION = st.fixed_dictionaries(
    {},
    optional={
        "from_name": st.just("cls") | JSON,
        "value": JSON
        | st.fixed_dictionaries({"choices": JSON | st.lists(st.sampled_from(["cat", "dog", "bird"]), max_size=2)}),
    },
)
ANNOTATION = st.fixed_dictionaries(
    {},
    optional={key: JSON for key in ("id", "completed_by", "lead_time", "updated_at")}
    | {
        "result": JSON | st.lists(REGION, max_size=3),
        "was_cancelled": st.booleans() | JSON,
        "ground_truth": st.booleans(),
    },
)
TASK = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "data": JSON | st.fixed_dictionaries({"image": JSON}),
        "annotations": JSON | st.lists(ANNOTATION | JSON, max_size=4),
    },
)


@given(TASK)
def test_no_json_breaks_the_task_reader(row: dict[str, Any]) -> None:
    reading = read_task(row, CONFIG)
    assert reading.label is None or reading.label in CONFIG.classes
    assert reading.label is None or reading.status == "labeled"
    assert reading.status != "labeled" or reading.label is not None or reading.problem is not None
    assert reading.url is not None or reading.problem is not None
    assert reading.lead_time is None or math.isfinite(reading.lead_time)


@given(st.sampled_from(CONFIG.classes), st.floats(0, 1))
def test_what_we_write_passes_our_own_check_and_reads_back(label: str, confidence: float) -> None:
    result = choice_result(CONFIG, label, confidence)
    check_prediction(CONFIG, {"task": 1, "score": 0.5, "model_version": "v", "result": result})
    assert result[0]["score"] == confidence
    assert read_task(task(annotation(label, result=result)), CONFIG).label == label


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"task": "1"}, "task"),
        ({"task": True}, "task"),
        ({"score": 1.0}, "score"),
        ({"score": -0.1}, "score"),
        ({"score": math.nan}, "score"),
        ({"score": None}, "score"),
        ({"model_version": " "}, "model_version"),
        ({"model_version": None}, "model_version"),
        ({"result": None}, "result"),
        ({"result": ["x"]}, "region"),
        ({"result": choice_result(CONFIG, "cat", 0.5) * 2}, "result"),
        ({"result": [{**choice_result(CONFIG, "cat", 0.5)[0], "from_name": "x"}]}, "from_name"),
        ({"result": [{**choice_result(CONFIG, "cat", 0.5)[0], "to_name": "x"}]}, "to_name"),
        ({"result": [{**choice_result(CONFIG, "cat", 0.5)[0], "type": "labels"}]}, "type"),
        ({"result": [{**choice_result(CONFIG, "cat", 0.5)[0], "value": {"choices": ["bird"]}}]}, "bird"),
        ({"result": [{**choice_result(CONFIG, "cat", 0.5)[0], "score": 2}]}, "score"),
    ],
)
def test_a_wrong_prediction_is_refused_before_it_is_sent(changes: dict[str, Any], culprit: str) -> None:
    right = {"task": 1, "score": 0.0, "model_version": "v1", "result": choice_result(CONFIG, "cat", 0.5)}
    check_prediction(CONFIG, right)
    check_prediction(CONFIG, {**right, "result": []})
    with pytest.raises(ValueError, match=culprit):
        check_prediction(CONFIG, {**right, **changes})


def test_an_unknown_class_or_confidence_is_refused() -> None:
    with pytest.raises(ValueError, match="'bird' is not a class"):
        choice_result(CONFIG, "bird", 0.5)
    with pytest.raises(ValueError, match="confidence"):
        choice_result(CONFIG, "cat", math.inf)


def test_the_config_we_ship_is_one_we_learn() -> None:
    shipped = Path(__file__).parents[2] / "label_config" / "image_classification.xml"
    assert read_config(shipped.read_text()) == ImageClassification("class", "image", "image", ("cat", "dog", "other"))
