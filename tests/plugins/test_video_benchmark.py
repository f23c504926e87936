"""The benchmark on tracking data reads any folder of its layout, counts errors by matching, and names an absence."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks import coherence_page, temporal_coherence, tracking_data
from benchmarks.coherence_loops import dense, loops
from benchmarks.coherence_speed import video
from plugins.video.motion import Linear
from plugins.video.temporal_coherence import estimate_errors


def write_mot(folder: Path, name: str, seed: int, frames: int = 60) -> None:
    """A sequence of three walkers, some missed, with clutter; the last is to be ignored."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for f in range(1, frames + 1):
        for who in range(3):
            x, y = 100.0 * who + 2 * f, 50.0
            truth.append(f"{f},{who},{x},{y},40,80,{int(who != 2)},-1,-1,-1")
            if rng.random() < 0.85:
                found.append(f"{f},-1,{x + rng.normal():.2f},{y},40,80,{0.7 + 0.3 * rng.random():.4f},-1,-1,-1")
        if rng.random() < 0.8:
            x, y = rng.uniform(0, 500, 2)
            found.append(f"{f},-1,{x:.2f},{y:.2f},30,60,{0.5 + 0.5 * rng.random():.4f},-1,-1,-1")
    place = folder / name
    place.mkdir(parents=True)
    (place / "det_frcnn.txt").write_text("\n".join(found))
    (place / "gt.txt").write_text("\n".join(truth))
    (place / "seqinfo.ini").write_text(
        f"[Sequence]\nname={name}\nframeRate=25\nseqLength={frames}\nimWidth=640\nimHeight=480\n"
    )


def write_kitti(folder: Path) -> None:
    (folder / "label_02").mkdir(parents=True)
    (folder / "det" / "pointrcnn_Car").mkdir(parents=True)
    tail = " ".join(["0"] * 7)
    lines = [
        f"0 1 Car 0 0 0 10 10 50 50 {tail}",
        f"0 2 Van 0 0 0 100 10 150 50 {tail}",
        f"3 -1 DontCare -1 -1 -10 200 0 400 100 {tail}",
    ]
    (folder / "label_02" / "0007.txt").write_text("\n".join(lines))
    rows = ["0,2,11,10,50,50,4.5,0", "0,2,100,10,150,50,2.5,0", "3,2,210,10,260,50,1.0,0", "3,2,10,10,50,50,9.0,0"]
    (folder / "det" / "pointrcnn_Car" / "0007.txt").write_text("\n".join(rows))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEXTLABEL_DATA", str(tmp_path))
    return tmp_path


def test_kitti_is_read_and_what_is_alike_or_ignored_does_not_count(data: Path) -> None:
    write_kitti(data / tracking_data.KITTI)
    (one,) = tracking_data.sequences()
    assert (one.name, one.pool, one.frames, one.fps) == ("0007", "KITTI pointrcnn", 4, 10.0)
    wrong, missed = tracking_data.errors(one, np.ones(4, dtype=bool))
    assert wrong == pytest.approx([0, np.nan, np.nan, 1], nan_ok=True)
    assert missed.tolist() == [0, 0, 0, 0]
    wrong, missed = tracking_data.errors(one, one.score > 5)
    assert wrong == pytest.approx([np.nan, np.nan, np.nan, 1], nan_ok=True)
    assert missed.tolist() == [1, 0, 0, 0]


def test_folders_and_archives_are_read_alike(data: Path) -> None:
    write_mot(data / "unpacked", "Walk", 0)
    (data / tracking_data.MOT).mkdir()
    with tarfile.open(data / tracking_data.MOT / "all.tar.xz", "w:xz") as archive:
        archive.add(data / "unpacked" / "Walk", "Walk")
    (packed,) = tracking_data.sequences()
    write_mot(data / tracking_data.MOT, "Walk", 0)
    (data / tracking_data.MOT / "all.tar.xz").unlink()
    (plain,) = tracking_data.sequences()
    assert np.array_equal(packed.box, plain.box)
    assert packed.name == plain.name == "Walk"
    assert packed.size == (640.0, 480.0)
    assert len(packed.ignored_frame) == 60


def test_the_benchmark_runs_on_any_sequences_and_the_oracle_is_best(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporal_coherence, "DRAWS", 2)
    monkeypatch.setattr(temporal_coherence, "SHARE", 0.1)
    for seed in range(4):
        write_mot(data / tracking_data.MOT, f"Walk-{seed}", seed)
    write_kitti(data / tracking_data.KITTI)  # one sequence, too few errors
    result = temporal_coherence.run()
    json.dumps(result, allow_nan=False)
    rows = {row["estimator"]: row for row in result["rows"] if row["sequences"] == "MOT15 frcnn, held out"}
    assert rows["oracle"]["raw FP gain"] == pytest.approx(1)
    assert rows["calibrated, no labels"]["raw FP rho"] > rows["least confidence, mean"]["raw FP rho"]
    assert {row["of"] for row in result["paired"]} == {2}


def test_without_data_one_line_says_so(data: Path) -> None:
    result = temporal_coherence.run()
    assert result["rows"] == []
    assert "No tracking data in" in result["note"]


def test_loops_and_the_dense_matrix_give_our_answer() -> None:
    made = video(25, 12)
    ours = estimate_errors(made, Linear(), mode="thesis").false_positives.tolist()
    assert loops(made).tolist() == ours
    assert dense(made).tolist() == ours


def test_the_page_says_what_was_measured() -> None:
    text = coherence_page.PAGE.read_text(encoding="utf-8")
    assert coherence_page.page(text) == text, "stale; run `python -m benchmarks.coherence_page`"
    assert all(f"<!-- {name} -->\n|" in text for name in ("figures", "differences", "costs", "beside"))
