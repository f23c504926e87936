"""Frames are written once and whole; a pass that is killed anywhere is made good by the next."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ml_backend.video import storing
from ml_backend.video.container import VideoError
from ml_backend.video.folder import FrameFolder
from ml_backend.video.opening import open_all
from ml_backend.video.reading import VideoFile
from ml_backend.video.sampling import Sampling
from ml_backend.video.storing import INDEX, Stored, copy_whole, frames_in_place, place, store_frames
from tests.video.making import make, make_folder, make_uneven, number_in


def store(path: Path, folder: Path, sampling: Sampling | None = None) -> list[Stored]:
    return list(store_frames(VideoFile(path), sampling or Sampling(), folder))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make(tmp_path / "a.avi")


def test_frames_lie_under_the_content_of_their_video(video: Path, tmp_path: Path) -> None:
    taken = store(video, tmp_path / "store", Sampling(7))
    assert [(frame.number, frame.time, frame.written) for frame in taken] == [
        (1, 0.0, True),
        (8, 0.28, True),
        (15, 0.56, True),
    ]
    assert [frame.file.name for frame in taken] == ["000001.jpg", "000008.jpg", "000015.jpg"]
    assert [number_in(frame.file.read_bytes()) for frame in taken] == [1, 8, 15]
    assert {frame.file.parent for frame in taken} == {tmp_path / "store" / VideoFile(video).key[:16]}


def test_a_variable_frame_rate_is_sampled_evenly_in_time(tmp_path: Path) -> None:
    """Frames at 0, 0.1, 0.2, 1.2, 1.3, 2.05 and 2.9 s: two a second are the first of each half second that has one."""
    path = make_uneven(tmp_path / "a.mp4", [100, 100, 1000, 100, 750, 850, 100])
    taken = store(path, tmp_path / "store", Sampling(rate=2.0))
    assert [(frame.number, frame.time) for frame in taken] == [(1, 0.0), (4, 1.2), (6, 2.05), (7, 2.9)]
    again = store(path, tmp_path / "store", Sampling(rate=2.0))
    assert [(frame.number, frame.time) for frame in again] == [(1, 0.0), (4, 1.2), (6, 2.05), (7, 2.9)]


def test_a_second_pass_neither_writes_nor_decodes(video: Path, tmp_path: Path, monkeypatch: Any) -> None:
    first = store(video, tmp_path / "store", Sampling(3))
    before = contents(tmp_path / "store")
    again = VideoFile(video)
    monkeypatch.setattr(VideoFile, "frames", lambda _: pytest.fail("it decodes"))
    second = list(store_frames(again, Sampling(3), tmp_path / "store"))
    coarser = list(store_frames(again, Sampling(6), tmp_path / "store"))
    assert [(f.number, f.time, f.file) for f in second] == [(f.number, f.time, f.file) for f in first]
    assert [f.number for f in coarser] == [1, 7, 13, 19]
    assert not any(frame.written for frame in second)
    assert contents(tmp_path / "store") == before


def test_another_sampling_adds_what_it_lacks(video: Path, tmp_path: Path) -> None:
    store(video, tmp_path / "store", Sampling(4))
    taken = store(video, tmp_path / "store", Sampling(2))
    assert [frame.number for frame in taken if frame.written] == [3, 7, 11, 15, 19]


@pytest.mark.parametrize("at", [0, 1, 7, 20])
def test_a_pass_that_stops_is_made_good(video: Path, tmp_path: Path, at: int) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    list(islice(store_frames(VideoFile(video), Sampling(), broken), at))
    assert not list(broken.rglob(INDEX))
    taken = store(video, broken)
    store(video, whole)
    assert contents(broken) == contents(whole)
    assert sum(frame.written for frame in taken) == 20 - at


@pytest.mark.parametrize("at", [1, 2, 13, 20, 21])
def test_a_kill_during_any_write_leaves_no_half_file(video: Path, tmp_path: Path, at: int, monkeypatch: Any) -> None:
    """The process is gone between filling and renaming the at-th file: nothing under the name, then all of it."""
    broken, whole, count = tmp_path / "broken", tmp_path / "whole", 0
    store(video, whole)
    replace = Path.replace

    def dying(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == at:
            os._exit(9)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    child = os.fork()
    if child == 0:
        store(video, broken)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    count = -1000
    finished = {name: data for name, data in contents(broken).items() if ".new-" not in name}
    assert finished.items() <= contents(whole).items()
    store(video, broken)
    assert contents(broken) == contents(whole)


def test_a_spoilt_index_and_an_empty_frame_are_made_anew(video: Path, tmp_path: Path) -> None:
    first = store(video, tmp_path / "store")
    index = first[0].file.parent / INDEX
    good = index.read_bytes()
    for spoilt in (b"", b"{", b"[]", b'{"format": 1}', b'{"format": 0, "times": [], "lost": [], "notes": []}'):
        index.write_bytes(spoilt)
        assert len(store(video, tmp_path / "store")) == 20
        assert index.read_bytes() == good
    first[4].file.write_bytes(b"")
    assert [frame.number for frame in store(video, tmp_path / "store") if frame.written] == [5]


def test_what_was_wrong_is_said_again(tmp_path: Path) -> None:
    path = make_uneven(tmp_path / "a.mp4", [40] * 20)
    path.write_bytes(path.read_bytes()[:-3000])
    notes = []
    for _ in range(2):
        video = VideoFile(path)
        list(store_frames(video, Sampling(), tmp_path / "store"))
        notes.append(video.notes)
    assert notes[0] == notes[1] != []


def test_a_full_disk_is_said(video: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(VideoError, match="cannot be written \\(No space left on device\\); free space"):
        store(video, tmp_path / "store")


def test_a_folder_counts_as_people_do(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "drive", ["f1.png", "f2.jpg", "f10.png", "F11.bmp"])
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    video = FrameFolder(folder, 2.0)
    assert video.expected == 4
    taken = list(store_frames(video, Sampling(), tmp_path / "store"))
    assert [(f.number, f.time, f.file.name) for f in taken] == [
        (1, 0.0, "000001.png"),
        (2, 0.5, "000002.jpg"),
        (3, 1.0, "000003.png"),
        (4, 1.5, "000004.bmp"),
    ]
    assert [number_in(frame.file.read_bytes()) for frame in taken] == [1, 2, 3, 4]
    stays = list(frames_in_place(video, Sampling(2)))
    assert [frame.file for frame in stays] == [folder / "f1.png", folder / "f10.png"]
    assert [frame.time for frame in store_frames(FrameFolder(folder), Sampling(), tmp_path / "store")] == [None] * 4


def test_a_damaged_picture_is_left_out_by_name(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "drive", ["1.png", "2.png", "3.png"])
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
    for taken in (store_frames, lambda v, s, _: frames_in_place(v, s)):
        video = FrameFolder(folder)
        assert [frame.number for frame in taken(video, Sampling(), tmp_path / "store")] == [1, 3]
        (note,) = video.notes
        assert note.startswith(f"'{folder / '2.png'}' cannot be decoded")


def test_a_copy_is_made_once_and_whole(video: Path, tmp_path: Path) -> None:
    target = tmp_path / "store" / "a.avi"
    assert copy_whole(video, target)
    assert not copy_whole(video, target)
    assert target.read_bytes() == video.read_bytes()
    assert [file.name for file in target.parent.iterdir()] == ["a.avi"]


def test_paths_become_videos_and_refusals(video: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    make(videos / "2.avi", frames=3)
    make(videos / "10.avi", frames=2)
    (videos / "3.mp4").write_bytes(b"no video")
    frames = make_folder(tmp_path / "frames", ["1.png"])
    mixed = make_folder(tmp_path / "mixed", ["1.png"])
    make(mixed / "1.avi")
    (tmp_path / "empty").mkdir()
    paths = [video, videos, frames, mixed, tmp_path / "empty", tmp_path / "none.mp4", video]
    opened, refused = open_all(paths, None)
    assert [source.path for source in opened] == [video, videos / "2.avi", videos / "10.avi", frames]
    assert [sentence.split("'")[1] for sentence in refused] == [
        str(path) for path in (videos / "3.mp4", mixed, tmp_path / "empty", tmp_path / "none.mp4")
    ]


def test_videos_do_not_share_a_folder(video: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other.avi", frames=5)
    assert place(tmp_path, VideoFile(video)) != place(tmp_path, VideoFile(other))
    assert storing.read_index(tmp_path / "nowhere") is None
