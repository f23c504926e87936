"""What people labeled in Label Studio, from an export or a connected project: the answers that the product reads."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml_backend.loop.house import House
from ml_backend.settings import Settings
from ml_backend.store.tables import Item, Project
from simulation.datasets import Dataset, DatasetConfig, DatasetError, load
from simulation.datasets.export_files import FilesBelow
from simulation.datasets.project import load_project

RECORDED = json.loads((Path(__file__).parents[1] / "server" / "payloads" / "annotation_created.json").read_text())
CONFIG = RECORDED["project"]["label_config"]  # cls on img: cat or dog, of $image
Row = dict[str, Any]


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6 + seed, 7, 3), dtype=np.uint8)).save(path)
    return path


def annotation(number: int, label: str | None, **fields: Any) -> Row:
    """As Label Studio wrote it when it was recorded; None is a skip."""
    row = {**copy.deepcopy(RECORDED["annotation"]), "id": number, "was_cancelled": label is None, **fields}
    if label is None:
        row["result"] = []
    else:
        row["result"][0]["value"]["choices"] = [label]
    return row


def task(number: int, image: str, *annotations: Row) -> Row:
    """A row of the JSON export: the task with what belongs to it."""
    row = {**copy.deepcopy(RECORDED["task"]), "id": number, "data": {"image": image}}
    return {**row, "annotations": list(annotations), "drafts": [], "predictions": []}


def flat(number: int, image: str, label: Any, **fields: Any) -> Row:
    """A row of the JSON_MIN export: one for each annotation, as Label Studio's converter writes it."""
    moment = "2026-11-22T18:20:28.578285Z"
    row = {"image": image, "id": number, "cls": label, "annotator": 1, "annotation_id": number + 500}
    return {**row, "created_at": moment, "updated_at": moment, "lead_time": 1.5, **fields}


def write(root: Path, rows: Any, name: str = "export.json") -> Path:
    path = root / name
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return path


def export(path: Path, **fields: Any) -> Dataset:
    return load(DatasetConfig.model_validate({"name": "export", "path": path, **fields}))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(4):
        picture(tmp_path / "images" / f"{number}.png", number)
    return tmp_path / "images"


def labels_of(found: Dataset) -> dict[str, str]:
    named = zip(found.images.paths, found.labels.tolist(), strict=True)
    return {path.name: found.classes[label] for path, label in named}


@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("configured", [False, True])
def test_both_formats_say_the_same_with_and_without_the_config(
    tmp_path: Path, images: Path, minimal: bool, configured: bool
) -> None:
    answers = {"0.png": "dog", "1.png": "cat", "2.png": "dog"}
    make = flat if minimal else lambda n, url, label: task(n, url, annotation(n, label))
    rows = [make(n, f"/data/upload/26/{name}", label) for n, (name, label) in enumerate(answers.items(), start=1)]
    (tmp_path / "config.xml").write_text(CONFIG)
    given = {"config": tmp_path / "config.xml"} if configured else {}
    found = export(write(tmp_path, rows), images=images, **given)
    assert labels_of(found) == answers
    assert found.classes == ("cat", "dog")
    assert found.images.contents[0] == hashlib.sha256((images / "0.png").read_bytes()).hexdigest()
    assert found.test is None
    assert (found.name, found.note) == ("export", "3 of 3 tasks of export.json.")


def test_answers_are_the_products(tmp_path: Path, images: Path) -> None:
    early, late = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    rows = [
        task(1, "0.png", annotation(1, "cat", updated_at=early), annotation(2, "dog", updated_at=late)),
        task(2, "1.png", annotation(3, "cat", updated_at=early, ground_truth=True), annotation(4, "dog")),
        task(3, "2.png", annotation(5, "dog", updated_at=early), annotation(6, None, updated_at=late)),
        task(4, "3.png", annotation(7, "cat"), annotation(8, "dog", updated_at=late), annotation(9, "cat")),
    ]
    found = export(write(tmp_path, rows))  # images lie below the export's own folder
    assert labels_of(found) == {"0.png": "dog", "1.png": "cat", "2.png": "dog", "3.png": "cat"}


def test_flat_rows_of_one_task_are_its_annotations(tmp_path: Path, images: Path) -> None:
    rows = [
        flat(1, "0.png", "dog", updated_at="2026-02-01T00:00:00Z", annotation_id=11),
        flat(1, "0.png", "cat", updated_at="2026-01-01T00:00:00Z", annotation_id=12),
        flat(2, "1.png", "cat"),
    ]
    assert labels_of(export(write(tmp_path, rows), images=images)) == {"0.png": "dog", "1.png": "cat"}


def test_what_is_left_out_is_counted_and_named(tmp_path: Path, images: Path) -> None:
    (images / "damaged.png").write_bytes(b"no picture")
    (tmp_path / "config.xml").write_text(CONFIG)
    empty = annotation(7, "cat")
    empty["result"] = []
    two = annotation(8, "cat")
    two["result"][0]["value"]["choices"] = ["cat", "dog"]
    rows = [
        task(1, "0.png", annotation(1, "cat")),
        task(2, "1.png", annotation(2, "dog")),
        task(3, "2.png"),
        task(4, "3.png", annotation(3, None)),
        task(5, "nowhere.png", annotation(4, "cat")),
        task(6, "damaged.png", annotation(5, "cat")),
        task(7, "2.png", annotation(6, "cow")),
        task(8, "2.png", empty),
        task(9, "2.png", two),
        {**task(10, "2.png", annotation(9, "dog")), "data": {"image": None}},
    ]
    found = export(write(tmp_path, rows), images=images, config=tmp_path / "config.xml")
    assert labels_of(found) == {"0.png": "cat", "1.png": "dog"}
    said = [
        "2 of 10 tasks",
        "1 unlabeled (first: task 3)",
        "1 skipped (first: task 4)",
        "1 image_missing (first: nowhere.png)",
        "1 image_unreadable",
        "1 unknown_label (first: Annotation 6 says 'cow'",
        "1 empty_annotation",
        "1 malformed_annotation",
        "1 missing_key (first: Task 10 holds nothing under 'image'",
    ]
    assert [part for part in said if part not in found.note] == []


def test_a_class_that_nobody_chose_is_known_from_the_config_alone(tmp_path: Path, images: Path) -> None:
    rows = [task(1, "0.png", annotation(1, "cat")), task(2, "1.png", annotation(2, "dog"))]
    (tmp_path / "config.xml").write_text(CONFIG.replace("</Choices>", '<Choice value="ape"/></Choices>'))
    path = write(tmp_path, rows)
    assert export(path, images=images, config=tmp_path / "config.xml").classes == ("cat", "dog", "ape")
    assert export(path, images=images).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("value", "file"),
    [
        ("/data/upload/3/a.png", "a.png"),
        ("/data/upload/3/0123abcd-a.png", "a.png"),
        ("/data/upload/3/0123abcd-a.png", "upload/3/0123abcd-a.png"),
        ("https://studio.example/data/upload/3/a%20b.png", "a b.png"),
        ("/data/local-files/?d=pets/a%20b.png", "pets/a b.png"),
        ("/studio/data/local-files/?d=deep/pets/a.png", "pets/a.png"),
        ("s3://bucket/pets/a.png", "a.png"),
        ("/home/someone/pets/a#1.png", "pets/a#1.png"),
        ("C:\\Users\\someone\\pets\\100%.png", "100%.png"),
        ("pets/ä.png", "pets/ä.png"),
    ],
)
def test_a_file_is_found_by_the_end_of_its_path(tmp_path: Path, value: str, file: str) -> None:
    path = picture(tmp_path / file, 0)
    picture(tmp_path / "another.png", 1)
    assert FilesBelow(tmp_path).find([value]).paths == {value: path}


def test_the_longer_agreement_wins_and_no_file_serves_two_tasks(tmp_path: Path) -> None:
    first, second = picture(tmp_path / "x" / "a.png", 0), picture(tmp_path / "y" / "a.png", 1)
    only = picture(tmp_path / "x" / "b.png", 2)
    found = FilesBelow(tmp_path).find(["x/a.png", "/srv/y/a.png", "z/a.png", "x/b.png", "y/b.png", "c.png"])
    assert found.paths == {"x/a.png": first, "/srv/y/a.png": second, "x/b.png": only}
    assert found.ambiguous == ["z/a.png"]
    assert sorted(found.missing) == ["c.png", "y/b.png"]
    assert FilesBelow(tmp_path).find(["p/b.png", "q/b.png"]).ambiguous == ["p/b.png", "q/b.png"]


def test_nothing_outside_the_folder_is_read(tmp_path: Path, images: Path) -> None:
    outside = picture(tmp_path / "secret.png", 5)
    for value in (str(outside), "../secret.png", f"file://{outside}", "/data/local-files/?d=../secret.png"):
        assert FilesBelow(images).find([value]).missing == [value]
    for value in ("", "/", "http://[", "\0", "/data/local-files/", "?d=", "data:image/png;base64,AAAA"):
        assert FilesBelow(images).find([value]).missing == [value]


def _second_question(row: Row) -> Row:
    region = copy.deepcopy(row["annotations"][0]["result"][0])
    region["from_name"] = "mood"
    row["annotations"][0]["result"].append(region)
    return row


GOOD = [task(1, "0.png", annotation(1, "cat")), task(2, "1.png", annotation(2, "dog"))]


@pytest.mark.parametrize(
    ("rows", "fields", "said"),
    [
        ("{", {}, "is no JSON"),
        ("[" * 100_000, {}, "is no JSON"),
        ({"a": 1}, {}, "is no list of tasks"),
        ([], {}, "is no list of tasks"),
        ([1], {}, "is no list of tasks"),
        ([GOOD[0], flat(2, "1.png", "dog")], {}, "with and without `data`"),
        (GOOD, {"images": "nowhere"}, "nowhere is no folder"),
        (GOOD, {"config": "nowhere.xml"}, "nowhere.xml cannot be read"),
        ([task(1, "7.png", annotation(1, "cat"))], {}, "names no file that lies below"),
        ([GOOD[0]], {}, "label images of a second class"),
        ([task(1, "0.png"), task(2, "1.png")], {}, "holds no answer of <Choices>"),
        ([_second_question(copy.deepcopy(row)) for row in GOOD], {}, r"several questions \('cls', 'mood'\)"),
        ([{**row, "data": {**row["data"], "small": "2.png"}} for row in GOOD], {}, "names files under image and small"),
        (
            [{**flat(n, f"{n}.png", "cat"), "camera": "left"} for n in (1, 2)],
            {},
            r"several questions \('cls', 'camera'",
        ),
        ([GOOD[0], task(2, "8.png", annotation(2, "dog"))], {}, "1 labeled images of less than two classes"),
    ],
)
def test_an_export_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, images: Path, rows: Any, fields: dict[str, str], said: str
) -> None:
    path = write(tmp_path, rows)
    given = {"images": images, **{key: tmp_path / value for key, value in fields.items()}}
    with pytest.raises(DatasetError, match=said) as caught:
        export(path, **given)
    assert "\n" not in str(caught.value)


def test_a_config_of_another_kind_is_refused_with_its_reason(tmp_path: Path, images: Path) -> None:
    (tmp_path / "config.xml").write_text(CONFIG.replace("<Choices ", '<Choices choice="multiple" '))
    with pytest.raises(DatasetError, match='has choice="multiple"'):
        export(write(tmp_path, GOOD), images=images, config=tmp_path / "config.xml")
    (tmp_path / "config.xml").write_text(CONFIG.replace('name="cls"', 'name="other"'))
    with pytest.raises(DatasetError, match="2 empty_annotation"):
        export(write(tmp_path, GOOD), images=images, config=tmp_path / "config.xml")


# a connected project


@pytest.fixture
def rooms(tmp_path: Path) -> House:
    return House(Settings(_env_file=None, model_dir=tmp_path / "home"))


def connected(rooms: House, statuses: list[tuple[str, str | None, bool]], studio_id: int = 41, **fields: Any) -> None:
    """A project of the ledger with items of (status, label, whether its image is at hand)."""
    own = {"studio_url": "http://studio.example", "key": f"{studio_id}.1", "webhook_secret": f"s{studio_id}"}
    with rooms.ledger.session() as session:
        project = Project(**{**own, "studio_id": studio_id, "title": "Pets", "label_config": CONFIG, **fields})
        session.add(project)
        session.flush()
        media = rooms.media(rooms.studio(project))
        for number, (status, label, here) in enumerate(statuses, start=1):
            made = picture(rooms.settings.model_dir / "made.png", number)
            content = hashlib.sha256(made.read_bytes()).hexdigest()
            if here:
                media.path(content).parent.mkdir(parents=True, exist_ok=True)
                made.replace(media.path(content))
            item = Item(project_id=project.id, task_id=number, content=content, status=status, label=label)
            session.add(item)


def test_a_connected_projects_labels_are_the_truth(rooms: House) -> None:
    statuses = [("labeled", "dog", True), ("unlabeled", None, True), ("labeled", "cat", True), ("skipped", None, True)]
    connected(rooms, [("labeled", "cat", True)], studio_id=7)
    connected(rooms, [*statuses, ("labeled", "dog", False), ("unusable", None, True)])
    found = load_project(DatasetConfig(name="label_studio", project=41), rooms)
    assert (found.name, found.classes, found.labels.tolist()) == ("project-41", ("cat", "dog"), [1, 0])
    assert all(
        hashlib.sha256(path.read_bytes()).hexdigest() == content
        for path, content in zip(found.images.paths, found.images.contents, strict=True)
    )
    assert "2 unlabeled items left out, and 1 labeled ones whose image is not at hand" in found.note


def test_a_project_that_cannot_be_simulated_is_named(rooms: House) -> None:
    with pytest.raises(DatasetError, match="No connected projects have the number 3"):
        load_project(DatasetConfig(name="label_studio", project=3), rooms)
    connected(rooms, [("labeled", "dog", True)], studio_id=3)
    with pytest.raises(DatasetError, match="1 labeled images of less than two classes"):
        load_project(DatasetConfig(name="label_studio", project=3), rooms)
    connected(rooms, [], studio_id=4, label_config="<View/>")
    with pytest.raises(DatasetError, match="no <Choices> tag"):
        load_project(DatasetConfig(name="label_studio", project=4), rooms)
    connected(rooms, [], studio_id=3, studio_url="http://another.example", key="3.2", webhook_secret="t")
    with pytest.raises(DatasetError, match="2 connected projects have the number 3"):
        load_project(DatasetConfig(name="label_studio", project=3), rooms)
