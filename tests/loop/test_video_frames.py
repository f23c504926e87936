"""Video files by content, and their sampled frames: taken once, numbered as Label Studio counts."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from ml_backend.loop import video_frames
from ml_backend.loop.video_frames import Sampled, frames_of, numbers_at, sample
from ml_backend.loop.video_media import VideoCache
from ml_backend.studio.client import Studio
from ml_backend.studio.local_files import url_of
from ml_backend.studio.media import Fetched
from ml_backend.video.container import VideoError, digest
from tests.video.making import SIZE, make, make_uneven, number_in

STUDIO = Studio("http://127.0.0.1:1", "token")


def taken(file: Path, rate: float, store: Path) -> Sampled:
    return sample(file, digest(file), rate, store)


def test_frames_are_sampled_by_time_and_numbered_as_the_editor_counts(tmp_path: Path) -> None:
    sampled = taken(make(tmp_path / "v.mp4", frames=20, fps=10), 2, tmp_path / "store")
    assert sampled.time.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert [number_in(file.read_bytes()) for file in sampled.files] == [1, 6, 11, 16]
    assert numbers_at(sampled.time, 10).tolist() == [1, 6, 11, 16]
    assert (sampled.size, round(sampled.seconds, 6)) == (SIZE, 2.0)
    assert frames_of(sampled, 10) == 20
    for file, content in zip(sampled.files, sampled.contents, strict=True):
        assert hashlib.sha256(file.read_bytes()).hexdigest() == content


def test_another_rate_in_label_studio_gives_other_numbers_of_the_same_moments(tmp_path: Path) -> None:
    """24, which the editor takes where nothing is said: its frame 13 is shown at 0.5 s, where the file's is its 6th."""
    sampled = taken(make(tmp_path / "v.mp4", frames=20, fps=10), 2, tmp_path / "store")
    assert numbers_at(sampled.time, 24).tolist() == [1, 13, 25, 37]
    assert frames_of(sampled, 24) == 48


def test_times_of_a_variable_rate_are_those_of_the_container(tmp_path: Path) -> None:
    file = make_uneven(tmp_path / "v.mp4", [200, 300, 500, 100, 900])
    sampled = taken(file, 2, tmp_path / "store")
    assert sampled.time.tolist() == [0.0, 0.5, 1.0]
    assert numbers_at(sampled.time, 10).tolist() == [1, 6, 11]


def test_a_video_slower_than_the_sampling_gives_all_its_frames(tmp_path: Path) -> None:
    sampled = taken(make_uneven(tmp_path / "v.mp4", [1000, 1000, 1000]), 2, tmp_path / "store")
    assert sampled.time.tolist() == [0.0, 1.0, 2.0]


def test_frames_are_taken_once_for_a_content_and_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, store = make(tmp_path / "v.mp4"), tmp_path / "store"
    first, content = taken(file, 5, store), digest(file)
    file.unlink()
    again = sample(file, content, 5, store)
    assert (again.files, again.contents, again.size) == (first.files, first.contents, first.size)
    monkeypatch.setattr(video_frames, "FORMAT", 2)
    with pytest.raises(VideoError, match="is missing"):
        sample(file, content, 5, store)


def test_lost_pictures_are_taken_again(tmp_path: Path) -> None:
    file, store = make(tmp_path / "v.mp4"), tmp_path / "store"
    first = taken(file, 5, store)
    first.files[1].unlink()
    assert all(one.is_file() for one in taken(file, 5, store).files)


def test_a_file_that_changed_under_its_name_is_refused(tmp_path: Path) -> None:
    file = make(tmp_path / "v.mp4")
    content = digest(file)
    make(file, frames=7)
    with pytest.raises(VideoError, match="has changed since it was read"):
        sample(file, content, 5, tmp_path / "store")


def test_a_damaged_note_is_no_harm(tmp_path: Path) -> None:
    file, store = make(tmp_path / "v.mp4"), tmp_path / "store"
    taken(file, 5, store)
    (note,) = store.rglob("sampled-5.json")
    for text in ("", "[]", "{}", json.dumps({"format": 1, "content": digest(file), "frames": [{}]})):
        note.write_text(text)
        assert len(taken(file, 5, store).files) == 4


# files by content


def cache(tmp_path: Path) -> VideoCache:
    served = tmp_path / "served"
    served.mkdir(exist_ok=True)
    return VideoCache(tmp_path / "media", STUDIO, local_root=served)


def fetch(videos: VideoCache, url: str) -> Fetched:
    return videos.fetch([(7, url)])


def data_uri(data: bytes) -> str:
    return "data:video/mp4;base64," + base64.b64encode(data).decode()


def test_a_file_on_this_machine_stays_where_it_is(tmp_path: Path) -> None:
    videos = cache(tmp_path)
    file = make(tmp_path / "served" / "a b.mp4")
    videos.byte_limit = 10  # of what must be in memory
    for url in (url_of("a b.mp4"), STUDIO.url + url_of("a b.mp4")):
        assert fetch(videos, url) == Fetched({7: digest(file)}, {})
    content = digest(file)
    assert videos.path(content).resolve() == file
    file.unlink()
    assert not videos.has(content)
    assert fetch(videos, url_of("a b.mp4")).contents == {}


def test_a_moved_file_is_found_again(tmp_path: Path) -> None:
    videos = cache(tmp_path)
    file = make(tmp_path / "served" / "a.mp4")
    content = fetch(videos, url_of("a.mp4")).contents[7]
    file.rename(file.with_name("b.mp4"))
    assert not videos.has(content)
    assert fetch(videos, url_of("b.mp4")).contents == {7: content}
    assert videos.has(content)


def test_what_is_fetched_is_kept_by_content(tmp_path: Path) -> None:
    videos, data = cache(tmp_path), make(tmp_path / "v.mp4").read_bytes()
    fetched = fetch(videos, data_uri(data))
    assert fetched == Fetched({7: hashlib.sha256(data).hexdigest()}, {})
    assert videos.path(fetched.contents[7]).read_bytes() == data


@pytest.mark.parametrize("data", [b"", b"no video", b"#EXTM3U\n/etc/passwd", bytes.fromhex("00000020") + b"ftypisom"])
def test_what_is_no_video_is_named_and_not_kept(tmp_path: Path, data: bytes) -> None:
    videos = cache(tmp_path)
    (tmp_path / "served" / "v.mp4").write_bytes(data)
    for url in (data_uri(data), url_of("v.mp4")):
        fetched = fetch(videos, url)
        assert fetched.contents == {}
        kind, message = fetched.problems[7]
        assert kind == "video_unreadable"
        assert str(tmp_path / "media") not in message, "people know the task's URL, not our cache"
    assert not [file for file in (tmp_path / "media").rglob("*") if file.is_file()]


def test_problems_are_those_of_media_by_another_name(tmp_path: Path) -> None:
    videos = cache(tmp_path)
    videos.byte_limit = 100
    large = data_uri(make(tmp_path / "v.mp4").read_bytes())
    wrong = {
        large: "video_too_large",
        url_of("../v.mp4"): "video_bad_url",
        "http://elsewhere.example/v.mp4": "video_refused",
        "ftp://elsewhere.example/v.mp4": "video_bad_url",
        url_of("nothing.mp4"): "video_unreachable",
    }
    for url, kind in wrong.items():
        assert fetch(videos, url).problems[7][0] == kind, url[:60]


def test_numbers_follow_times_whatever_their_rounding() -> None:
    exact = np.arange(5000) / 59.94
    for rounded in (exact, exact.round(3), np.floor(exact * 1000) / 1000):
        assert numbers_at(rounded, 59.94).tolist() == list(range(1, 5001))
