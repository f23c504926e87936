"""Frames come one by one, upright, at the container's times; what is damaged or no video is said by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from ml_backend.video import reading
from ml_backend.video.container import VideoError
from ml_backend.video.reading import VideoFile
from tests.video.making import SIZE, make, make_uneven, number_in
from tests.video.mp4 import jpeg, write_mp4


def pass_over(video: VideoFile) -> list[tuple[int, float | None, int]]:
    """(number, time, number in the picture) of each frame."""
    return [(frame.number, frame.time, number_in(frame.encode() or b"")) for frame in video.frames()]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".webm"])
def test_frames_are_numbered_and_timed(tmp_path: Path, suffix: str) -> None:
    video = VideoFile(make(tmp_path / f"a{suffix}"))
    assert (video.expected, video.rate) == (20, 25.0)
    assert pass_over(video) == [(number, round((number - 1) / 25, 6), number) for number in range(1, 21)]
    assert video.notes == []
    assert pass_over(video)[0] == (1, 0.0, 1)  # a pass begins anew


def test_a_variable_frame_rate_is_told_by_times(tmp_path: Path) -> None:
    video = VideoFile(make_uneven(tmp_path / "a.mp4", [40, 40, 1000, 20, 300]))
    assert [(number, time) for number, time, _ in pass_over(video)] == [
        (1, 0.0),
        (2, 0.04),
        (3, 0.08),
        (4, 1.08),
        (5, 1.1),
    ]


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (0, 1)), (180, (1, 1)), (270, (1, 0))])
def test_rotation_is_applied_once(tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
    """A mark in the first corner of what is stored lies in another of what is seen."""
    pixels = np.zeros((SIZE[1], SIZE[0], 3), dtype=np.uint8)
    pixels[: SIZE[1] // 2, : SIZE[0] // 2] = 255
    write_mp4(tmp_path / "a.mp4", [jpeg(pixels)] * 3, [40] * 3, SIZE, rotation=rotation)
    frames = VideoFile(tmp_path / "a.mp4").frames()
    seen = cv2.imdecode(np.frombuffer(next(frames).encode() or b"", np.uint8), cv2.IMREAD_GRAYSCALE)
    assert seen is not None
    assert seen.shape == (SIZE if rotation % 180 else SIZE[::-1])
    halves = seen.shape[0] // 2, seen.shape[1] // 2
    marked = [
        (row, column)
        for row in (0, 1)
        for column in (0, 1)
        if seen[row * halves[0] :, column * halves[1] :][: halves[0], : halves[1]].mean() > 128
    ]
    assert marked == [corner]


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".webm"])
def test_a_cut_off_file_ends_where_it_ends(tmp_path: Path, suffix: str) -> None:
    path = make(tmp_path / f"a{suffix}", frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    video = VideoFile(path)
    seen = [frame.number for frame in video.frames()]
    assert 0 < len(seen) < 40
    assert seen == list(range(1, len(seen) + 1))
    (note,) = video.notes
    assert f"'{path}' stops after frame {len(seen)} at" in note


def test_a_streamable_mp4_ends_where_it_ends(tmp_path: Path) -> None:
    path = make_uneven(tmp_path / "a.mp4", [40] * 20)
    path.write_bytes(path.read_bytes()[:-3000])
    video = VideoFile(path)
    seen = pass_over(video)
    assert 0 < len(seen) < 20
    assert [number for number, _, _ in seen] == [shown for _, _, shown in seen]
    time = 0.04 * (len(seen) - 1)
    assert video.notes == [
        f"'{path}' stops after frame {len(seen)} at {time:.2f} s, of 20 that it announces: the rest is damaged or "
        "missing."
    ]


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match=r"a\.mp4' begins like MP4 but cannot be opened: it is cut off"):
        VideoFile(path)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "a.avi", frames=0)
    with pytest.raises(VideoError, match=r"a\.avi' holds no frame"):
        VideoFile(tmp_path / "a.avi")
    make_uneven(tmp_path / "b.mp4", [])
    with pytest.raises(VideoError, match=r"b\.mp4'"):
        VideoFile(tmp_path / "b.mp4")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"hello world\n" * 100, "is no video"),
        (jpeg(np.zeros((48, 64, 3), np.uint8)), "is no video"),
        (b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n", "is no video"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "is no video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "is no video"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "is no video"),
        (b"RIFF\0\0\0\0AVI " + bytes(100), "begins like AVI"),
        (bytes.fromhex("1a45dfa3") + bytes(100), "begins like Matroska"),
    ],
    ids=["empty", "text", "picture", "playlist", "concat", "sound", "AVIF", "only an AVI head", "only a Matroska head"],
)
def test_what_is_no_video_is_refused_by_name(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(VideoError, match=said) as caught:
        VideoFile(path)
    assert str(caught.value).startswith(f"'{path}'")


def test_missing_files_and_sound_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="is missing"):
        VideoFile(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="is no file"):
        VideoFile(tmp_path)


def test_a_frame_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a.avi", frames=1)
    monkeypatch.setattr(reading, "PIXEL_LIMIT", SIZE[0] * SIZE[1] - 1)
    with pytest.raises(VideoError, match=r"a\.avi' has 64 x 48 pixels, over 3071; shrink it"):
        VideoFile(tmp_path / "a.avi")


def test_the_same_content_has_the_same_key(tmp_path: Path) -> None:
    first, other = make(tmp_path / "a.avi"), make(tmp_path / "b.avi", frames=5)
    (tmp_path / "c.avi").write_bytes(first.read_bytes())
    assert VideoFile(first).key == VideoFile(tmp_path / "c.avi").key != VideoFile(other).key


def test_a_long_video_streams_in_flat_memory(tmp_path: Path) -> None:
    """1 000 frames are 230 MB once decoded; a window of a few is held."""
    picture = jpeg(np.zeros((240, 320, 3), np.uint8))
    write_mp4(tmp_path / "a.mp4", [picture] * 1000, [40] * 1000, (320, 240))
    process, after = psutil.Process(), 0
    for frame in VideoFile(tmp_path / "a.mp4").frames():
        frame.encode()
        if frame.number == 100:
            after = process.memory_info().rss
    assert frame.number == 1000
    assert process.memory_info().rss - after < 25 * 2**20
