"""What the benchmark of the import compares does the same work."""

from __future__ import annotations

from pathlib import Path

from benchmarks.video_import import in_child, works
from tests.video.making import make


def test_every_way_sees_every_frame(tmp_path: Path) -> None:
    video = make(tmp_path / "a.avi")
    done = {what: work() for what, work in works(video, tmp_path / "store")}
    assert list(done.values()) == [20, 20, 20, 2, 2]
    assert list(done)[2] == "import, all frames"


def test_a_figure_is_taken_in_a_process_of_its_own(tmp_path: Path) -> None:
    (_, decode), *_ = works(make(tmp_path / "a.avi"), tmp_path / "store")
    figures = in_child(decode)
    assert figures["frames"] == 20
    assert figures["memory"] >= 0
    assert figures["seconds"] > 0
