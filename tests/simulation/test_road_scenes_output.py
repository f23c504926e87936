"""What is written: videos, frames, COCO, MOT and Label Studio tasks that agree with each other."""

from __future__ import annotations

import configparser
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli import app
from simulation.road_scenes import production
from simulation.road_scenes.contact_sheet import write_sheet
from simulation.road_scenes.production import Format, conclude, open_folder, render
from simulation.road_scenes.scene import Scene
from simulation.road_scenes.table import SUBSETS, Drive, SceneError, drives
from simulation.road_scenes.tasks import Answers

FRAMES = 6


def few(videos: int = 2) -> list[Drive]:
    return drives(SUBSETS["wheelchair"], videos=videos, seconds=FRAMES / 25, size=(160, 90), seed=4, oversampling=1)


def made(folder: Path, form: Format, answers: Answers, videos: int = 2) -> list[Drive]:
    wanted = few(videos)
    render(folder, open_folder(folder, wanted, form), form, 1, lambda _: None)
    conclude(folder, wanted, form, "http://host/", answers)
    return wanted


@pytest.fixture(scope="module")
def frames_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "jpg"
    made(folder, Format.JPG, Answers.ANNOTATIONS)
    return folder


@pytest.fixture(scope="module")
def movies_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "mp4"
    made(folder, Format.MP4, Answers.PREDICTIONS)
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_coco_holds_what_the_scenes_show(frames_folder: Path) -> None:
    found = read(frames_folder / "coco.json")
    names = {category["id"]: category["name"] for category in found["categories"]}
    assert list(names.values()) == ["pedestrian", "cyclist", "car", "wheelchair"]
    rows = {
        (a["video_id"], a["image_id"], a["track_id"]): (names[a["category_id"]], a["bbox"], a["area"], a["full_bbox"])
        for a in found["annotations"]
    }
    expected, image = {}, 0
    for video, drive in enumerate(few(), 1):
        for frame in Scene(drive):
            image += 1
            for seen in frame.objects:
                boxes = [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in (seen.box, seen.whole_box)]
                expected[video, image, seen.id] = (seen.kind.value, boxes[0], seen.pixels, boxes[1])
    assert rows == expected
    assert len(rows) == len(found["annotations"]) > 0
    for key in ("images", "annotations", "videos"):
        assert [row["id"] for row in found[key]] == list(range(1, len(found[key]) + 1))


def test_images_are_where_coco_says(frames_folder: Path) -> None:
    found = read(frames_folder / "coco.json")
    assert len(found["images"]) == 2 * FRAMES
    for image in found["images"]:
        with Image.open(frames_folder / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == (160, 90)
    first = cv2.imread(str(frames_folder / found["images"][0]["file_name"]))
    drawn = Scene(few()[0]).frame(0).picture
    assert first is not None
    assert np.abs(first.astype(int) - drawn.astype(int)).mean() < 8


def test_mot_agrees_with_coco(frames_folder: Path) -> None:
    for drive in few():
        one = read(frames_folder / drive.name / "coco.json")
        lines = (frames_folder / drive.name / "gt" / "gt.txt").read_text().splitlines()
        rows = [[float(value) for value in line.split(",")] for line in lines]
        expected = []
        for a in one["annotations"]:
            x, y, width, height = a["bbox"]
            box = [x + 1, y + 1, width, height]
            expected.append([a["image_id"], a["track_id"], *box, 1, a["category_id"], a["visibility"]])
        assert rows == expected
        info = configparser.ConfigParser()
        info.read(frames_folder / drive.name / "seqinfo.ini")
        assert int(info["Sequence"]["seqlength"]) == FRAMES
        assert len(list((frames_folder / drive.name / info["Sequence"]["imdir"]).iterdir())) == FRAMES


def test_frame_tasks_agree_with_coco(frames_folder: Path) -> None:
    tasks, found = read(frames_folder / "tasks.json"), read(frames_folder / "coco.json")
    names = {category["id"]: category["name"] for category in found["categories"]}
    assert len(tasks) == len(found["images"])
    for task, image in zip(tasks, found["images"], strict=True):
        data = task["data"]
        assert data["image"] == "http://host/" + image["file_name"]
        assert (data["video"], data["frame"]) == (image["file_name"].split("/")[0], image["frame_id"])
        boxes = [a for a in found["annotations"] if a["image_id"] == image["id"]]
        results = task["annotations"][0]["result"]
        assert len(results) == len(boxes)
        for result, box in zip(results, boxes, strict=True):
            value = result["value"]
            sizes = [value["x"] * 1.6, value["y"] * 0.9, value["width"] * 1.6, value["height"] * 0.9]
            assert sizes == pytest.approx(box["bbox"])
            assert value["rectanglelabels"] == [names[box["category_id"]]]
    config = (frames_folder / "label_config.xml").read_text()
    assert 'name="label"' in config
    assert 'value="$image"' in config


def test_a_movie_has_all_frames_in_order(movies_folder: Path) -> None:
    for drive in few():
        capture = cv2.VideoCapture(str(movies_folder / drive.name / "video.mp4"))
        assert capture.get(cv2.CAP_PROP_FPS) == 25
        pictures = []
        while True:
            there, picture = capture.read()
            if not there:
                break
            pictures.append(picture.astype(int))
        assert len(pictures) == FRAMES
        truth = [frame.picture.astype(int) for frame in Scene(drive)]
        for picture, frame in zip(pictures, truth, strict=True):
            assert np.abs(picture - frame).mean() < 14


def test_video_tasks_hold_each_track_once(movies_folder: Path) -> None:
    tasks = read(movies_folder / "tasks.json")
    assert [task["data"]["video"] for task in tasks] == [f"http://host/{drive.name}/video.mp4" for drive in few()]
    for task, drive in zip(tasks, few(), strict=True):
        one = read(movies_folder / drive.name / "coco.json")
        results = task["predictions"][0]["result"]
        assert len(results) == len({a["track_id"] for a in one["annotations"]})
        assert sum(len(result["value"]["sequence"]) for result in results) == len(one["annotations"])
        for result in results:
            sequence = result["value"]["sequence"]
            for box, following in zip(sequence, [*sequence[1:], None], strict=True):
                assert box["enabled"] == (following is not None and following["frame"] == box["frame"] + 1)


def test_a_finished_video_is_not_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "scenes"
    wanted = few()
    open_folder(folder, wanted, Format.JPG)
    rendered: list[str] = []

    def stops_at_the_second(scene: Drive) -> Scene:
        if rendered:
            raise KeyboardInterrupt
        rendered.append(scene.name)
        return Scene(scene)

    monkeypatch.setattr(production, "Scene", stops_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        render(folder, wanted, Format.JPG, 1, lambda _: None)
    monkeypatch.undo()
    before = {path: path.stat().st_mtime_ns for path in (folder / wanted[0].name).rglob("*") if path.is_file()}
    left = open_folder(folder, wanted, Format.JPG)
    assert left == wanted[1:]
    render(folder, left, Format.JPG, 1, lambda _: None)
    assert open_folder(folder, wanted, Format.JPG) == []
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert open_folder(folder, few(3), Format.JPG) == few(3)[2:]  # more videos may be asked for later
    assert open_folder(folder, wanted, Format.JPG) == []
    assert len(read(folder / "scenes.json")["drives"]) == 3


def test_several_processes_write_the_same(tmp_path: Path, frames_folder: Path) -> None:
    folder, wanted = tmp_path / "scenes", few()
    frames: list[int] = []
    render(folder, open_folder(folder, wanted, Format.JPG), Format.JPG, 2, frames.append)
    conclude(folder, wanted, Format.JPG, "http://host/", Answers.ANNOTATIONS)
    assert sum(frames) == 2 * FRAMES
    there = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert there == sorted(path.relative_to(frames_folder) for path in frames_folder.rglob("*") if path.is_file())
    assert all((folder / path).read_bytes() == (frames_folder / path).read_bytes() for path in there)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, frames_folder: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(SceneError, match="holds something else than road scenes; choose a new or an empty folder"):
        open_folder(tmp_path, few(), Format.JPG)
    with pytest.raises(SceneError, match=r"was begun with other settings \(scenes.json says which\)"):
        open_folder(frames_folder, few(), Format.MP4)
    with pytest.raises(SceneError, match="was begun with other settings"):
        open_folder(frames_folder, [drive.model_copy(update={"seed": 1}) for drive in few()], Format.JPG)


def test_a_spoilt_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "scenes.json").write_text("{}")
    with pytest.raises(SceneError, match=r"scenes\.json is not what this command wrote; choose another folder"):
        open_folder(tmp_path, few(), Format.JPG)


def test_a_short_movie_is_not_taken_for_finished(tmp_path: Path, movies_folder: Path) -> None:
    movie = movies_folder / few()[0].name / "video.mp4"
    with pytest.raises(SceneError, match=r"video\.mp4 holds 6 of 7 frames; is the disk full"):
        production._check(movie, 7)
    (tmp_path / "video.mp4").write_bytes(b"")
    with pytest.raises(SceneError, match=r"video\.mp4 holds 0 of 6 frames"):
        production._check(tmp_path / "video.mp4", 6)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    where = str(tmp_path / "file" / "scenes")
    sentence = said(where, "--videos", "1", "--seconds", "1")
    assert sentence == f"{where} cannot be written (Not a directory); choose another place or make room."


def test_the_contact_sheet_is_a_page_of_tiles(tmp_path: Path) -> None:
    shown: list[int] = []
    write_sheet(tmp_path / "sheet.png", few(), 3, boxes=True, report=shown.append)
    assert len(shown) == 6
    with Image.open(tmp_path / "sheet.png") as page:
        assert page.size == (3 * 400, 2 * (225 + 16))


def said(*arguments: str) -> str:
    """The sentence with which a command ends."""
    outcome = CliRunner().invoke(app, ["scenes", *arguments])
    assert isinstance(outcome.exception, SceneError), outcome.output
    return str(outcome.exception)


def test_the_command_makes_scenes_and_a_sheet(tmp_path: Path) -> None:
    folder, sheet = tmp_path / "out", tmp_path / "sheet.png"
    settings = ["--videos", "1", "--seconds", "0.2", "--size", "160x90", "--area", "highway", "--condition", "night"]
    arguments = ["scenes", str(folder), *settings, "--spawn", "0/0/80/0", "--contact-sheet", str(sheet), "--boxes"]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.output
    assert sheet.exists()
    assert (folder / "default-000-highway-night" / "video.mp4").stat().st_size > 0
    assert {a["category_id"] for a in read(folder / "coco.json")["annotations"]} <= {3}
    again = CliRunner().invoke(app, arguments)
    assert "1 of 1 videos are finished already." in again.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "There is nothing to write; give a folder, or --contact-sheet FILE, or both."),
        (["out", "--subset", "twon"], "Unknown --subset 'twon'. Did you mean 'town'? Available: default, town, "),
        (["out", "--format", "avi"], "Unknown --format 'avi'. Available: mp4, jpg."),
        (["out", "--area", "moon"], "Unknown --area 'moon'. Available: city, town, highway."),
        (["out", "--condition", "snow"], "Unknown --condition 'snow'. Available: fall, winter, spring, rain, night."),
        (["out", "--answers", "all"], "Unknown --answers 'all'. Available: none, annotations, predictions."),
        (["out", "--size", "large"], "--size large is not width x height in pixels; 480x270, say."),
        (["out", "--size", "481x270"], "The width 481 of a drive should be a multiple of 2."),
        (["out", "--spawn", "30/20/35"], "--spawn 30/20/35 is not four numbers from 0 to 100 "),
        (["out", "--spawn", "30/20/350/0"], "--spawn 30/20/350/0 is not four numbers from 0 to 100 "),
        (["out", "--videos", "0"], "0 videos cannot be made; ask for at least one."),
        (["out", "--seconds", "nan"], "nan seconds is no length of a video; give one between 0.04 and 3600."),
        (["--videos", "1", "--seconds", "1", "--contact-sheet", "a.gif"], "The contact sheet a.gif is written as PNG;"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], sentence: str) -> None:
    assert said(*arguments).startswith(sentence)
