"""Whole videos between ledger and evidence, with the detector of bright spots."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import numpy as np

from ml_backend.loop.by_question import rank_items, recall, train
from ml_backend.loop.house import House
from ml_backend.loop.sync import RETRY_MEDIA, _fetch_media
from ml_backend.loop.video_pool import read_video_pool
from ml_backend.settings import Settings
from ml_backend.store.tables import Item, Problem, Project, now
from ml_backend.studio.local_files import url_of
from ml_backend.studio.regions.tracks import tracks_of
from tests.loop import whole_videos
from tests.loop.spots import Spots
from tests.loop.whole_videos import (
    CLASSES,
    LABELED,
    PLAN,
    QUESTION,
    SIZE,
    STUDIO,
    add,
    filled,
    frames_of,
    moving,
    problems,
    write_video,
)

house, spots = whole_videos.house, whole_videos.spots

# the pool


def test_the_pool_holds_sampled_frames_and_whose_they_are(house: House, tmp_path: Path) -> None:
    pool = filled(house, tmp_path)
    assert pool.task_id.tolist() == [1, 3, 4, 5]
    assert pool.labeled_task_id.tolist() == [2, 6]
    assert pool.skipped.tolist() == [3]
    assert pool.first.tolist() == [0, 4, 8, 10, 14]
    assert pool.video_of.tolist() == [0] * 4 + [1] * 4 + [2] * 2 + [3] * 4
    assert frames_of(pool).frames.frame[:4].tolist() == [1, 14, 26, 39]
    assert (pool.length.tolist(), pool.fps.tolist()) == ([50, 50, 25, 50], [25.0] * 4)
    assert pool.size.tolist() == [list(SIZE)] * 4
    assert len(set(pool.frames.task_id.tolist()) | set(pool.frames.labeled_task_id.tolist())) == 14 + 6
    assert len(set(frames_of(pool).frames.video.tolist())) == 4
    assert frames_of(pool).in_videos


def test_peoples_tracks_are_boxes_on_the_sampled_frames(house: House, tmp_path: Path) -> None:
    """Literally: each track, frame by frame as Label Studio shows it, wherever that frame is sampled."""
    pool = filled(house, tmp_path)
    expected = []
    for place, number in enumerate(frames_of(pool).labeled_frames.frame[:4].tolist()):
        for each in tracks_of({"result": LABELED}, QUESTION, *SIZE).tracks:
            expected += [(place, each.label, *each.box[at]) for at in np.flatnonzero(each.frame == number)]
    boxes = frames_of(pool).boxes
    found = [(*pair, *box) for pair, box in zip(zip(boxes.item, boxes.label, strict=True), boxes.box, strict=True)]
    np.testing.assert_allclose(found, expected)
    assert boxes.item.tolist() == [0, 1, 2, 3], "between keyframes too, and none at frame 20, which is not sampled"
    np.testing.assert_allclose(boxes.box[1], [17, 10, 29, 20])
    assert pool.counts.tolist() == [0, 4]
    assert len(pool.frames.labeled_images) == 6, "the frames of the video without a box are known, and empty"


def test_a_video_that_cannot_be_decoded_is_named_and_left_out_until_it_can(house: House, tmp_path: Path) -> None:
    filled(house, tmp_path)
    file = tmp_path / "4.mp4"
    whole = file.read_bytes()
    for sampled in (house.settings.model_dir / "frames").rglob("*.json"):
        sampled.unlink()
    file.write_bytes(whole[:100])
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    assert pool.task_id.tolist() == [1, 3, 5]
    assert problems(house) == {4: "video_undecodable"}
    file.write_bytes(whole)
    assert read_video_pool(house, STUDIO, 1, QUESTION, 2.0).task_id.tolist() == [1, 3, 4, 5]
    assert problems(house) == {}


def test_a_damaged_video_is_used_as_far_as_it_goes_and_named(house: House, tmp_path: Path) -> None:
    content = add(house, tmp_path, 1, 50, moving(2, 10, 250))
    path = house.videos(STUDIO).path(content)
    cut = tmp_path / "1.mp4"
    data = cut.read_bytes()
    cut.write_bytes(data[: int(len(data) * 0.7)])
    changed = hashlib.sha256(cut.read_bytes()).hexdigest()
    path.rename(path.with_name(changed))
    with house.ledger.session() as session:
        session.query(Item).one().content = changed
    house.videos(STUDIO).path(changed).parent.mkdir(exist_ok=True)
    path.with_name(changed).rename(house.videos(STUDIO).path(changed))
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    assert 0 < len(pool.frames.images) < 4
    assert problems(house) == {1: "video_damaged"}
    read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    with house.ledger.session() as session:
        assert session.query(Problem).one().count == 1, "looking twice is no second problem"


def test_more_frames_a_second_are_a_setting(house: House, tmp_path: Path) -> None:
    filled(house, tmp_path)
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 5.0)
    assert pool.first.tolist() == [0, 10, 20, 25, 35]
    assert frames_of(pool).frames.frame[:10].tolist() == list(range(1, 50, 5))


def test_sync_brings_videos_here_and_names_those_that_cannot_be_had(tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    house = House(Settings(_env_file=None, model_dir=tmp_path / "data", local_files_document_root=served))
    good = write_video(served / "good.mp4", 3, moving(2, 10, 250))
    (served / "bad.mp4").write_bytes(b"no video")
    with house.ledger.session() as session:
        session.add(Project(id=1, studio_url="u", studio_id=1, key="1.1", webhook_secret="s"))
        session.flush()
        for task, name in {1: "good.mp4", 2: "bad.mp4"}.items():
            session.add(Item(project_id=1, task_id=task, url=url_of(name), fps=25.0))
    assert _fetch_media(house, STUDIO, 1, QUESTION) == {"video_unreadable": 1}
    assert problems(house) == {2: "video_unreadable"}
    assert _fetch_media(house, STUDIO, 1, QUESTION) == {}, "it is not tried at every look"
    write_video(served / "bad.mp4", 4, moving(2, 10, 250))
    with house.ledger.session() as session:
        session.query(Problem).one().last_seen = now() - RETRY_MEDIA - timedelta(minutes=1)
    assert _fetch_media(house, STUDIO, 1, QUESTION) == {}
    assert problems(house) == {}
    assert read_video_pool(house, STUDIO, 1, QUESTION, 2.0).task_id.tolist() == [1, 2]
    with house.ledger.session() as session:
        assert session.get_one(Item, (1, 1)).content == hashlib.sha256(good.read_bytes()).hexdigest()


# training


def test_the_detector_learns_from_frames_grouped_by_video(house: House, tmp_path: Path, spots: Spots) -> None:
    pool = filled(house, tmp_path)
    learned = train(house, 1, 1, PLAN, pool, CLASSES)
    assert learned.trained_in == 1
    assert len(set(spots.groups.tolist())) == 2, "frames of one video are never held out from each other"
    again = recall(house, 1, 1, PLAN, pool, CLASSES)
    assert again is not None
    for name in ("item", "box", "score", "label", "shown"):
        assert np.array_equal(learned.evidence.column(f"detection_{name}"), again.evidence.column(f"detection_{name}"))


def test_a_video_that_comes_later_is_looked_at_by_the_last_model(house: House, tmp_path: Path, spots: Spots) -> None:
    train(house, 1, 1, PLAN, filled(house, tmp_path), CLASSES)
    add(house, tmp_path, 9, 50, moving(2, 10, 90))
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    learned = recall(house, 1, 1, PLAN, pool, CLASSES)
    assert learned is not None
    assert learned.notes == ("4 items came after the last training; its model looked at them.",)
    assert rank_items(pool, learned, PLAN).order[0] == 4, "a grey spot is the least certain of all"


def test_another_video_in_a_task_is_looked_at_anew(house: House, tmp_path: Path, spots: Spots) -> None:
    train(house, 1, 1, PLAN, filled(house, tmp_path), CLASSES)
    add(house, tmp_path, 4, 25, moving(30, 20, 90))
    pool = read_video_pool(house, STUDIO, 1, QUESTION, 2.0)
    learned = recall(house, 1, 1, PLAN, pool, CLASSES)
    assert learned is not None
    assert learned.notes == ("2 items came after the last training; its model looked at them.",)
    assert rank_items(pool, learned, PLAN).reason(1).startswith("look at frames 1 to 14; ")
