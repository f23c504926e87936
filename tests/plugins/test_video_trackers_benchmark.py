"""The benchmark of trackers reads any folder of its layout, names an absence, and its page has its figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from benchmarks import trackers, trackers_page
from benchmarks.record import RESULTS
from benchmarks.tracker_videos import identities, videos
from simulation.siamfc_command import road_scene_objects


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video of each kind: a bright square that moves by 3 px a frame."""
    monkeypatch.setenv("NEXTLABEL_DATA", str(tmp_path))
    camvid, davis, crossing = (tmp_path / name for name in ("camvid_0016E5_15hz", "davis_road", "otb_crossing"))
    noise = np.random.default_rng(0).integers(0, 256, (80, 120, 3)).astype(np.uint8)
    lines: dict[str, list[str]] = {"camvid": [], "davis": [], "crossing": []}
    for t in range(6):
        x = 10 + 3 * t
        image = noise // 4
        image[30:50, x : x + 20] = noise[:20, :20]
        for path in (camvid / "frames", davis / "roundabout" / "frames", crossing / "img"):
            path.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path / f"{t:05d}.jpg"), image)
        lines["camvid"] += [f"{t},s.png,car,{x},30,20,20,400", f"{t},s.png,bicyclist,80,{30 + t},9,9,81"]
        lines["davis"] += [f"roundabout,{t},{x},30,20,20,400", f"not-there,{t},1,1,2,2,4"]
        lines["crossing"].append(f"{x}\t30\t20\t20" if t % 2 else f"{x},30,20,20")
    head = "frame,source_file,class,x,y,w,h,px\n"
    (camvid / "boxes_from_labels.csv").write_text(head + "\n".join(lines["camvid"]))
    (davis / "boxes.csv").write_text("seq,frame,x,y,w,h,mask_px\n" + "\n".join(lines["davis"]))
    (crossing / "groundtruth_rect.txt").write_text("\n".join(lines["crossing"]))
    return tmp_path


@pytest.fixture
def threads() -> Iterator[None]:
    """As many as there were, since the benchmark takes one."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_every_tracker_is_measured(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SCENES": 1, "FRAMES": 6, "STEPS": 1, "SMALL": (2, 4, 4, 4, 2), "QUERIES": 2}.items():
        monkeypatch.setattr(trackers, name, value)
    monkeypatch.delenv("NEXTLABEL_SIAMFC", raising=False)
    monkeypatch.delenv("NEXTLABEL_RAFT", raising=False)
    found = trackers.run()
    assert found["left_out"] == ["flow, RAFT", "nanotrack"]
    assert found["objects"] == {"CamVid": 2, "DAVIS roundabout": 1, "Crossing": 1}
    rows = {(row["video"], row["tracker"]): row for row in found["rows"]}
    assert len(rows) == 3 * 7
    still = rows["Crossing", "still"]
    assert still["IoU 1"] == pytest.approx(17 / 23)
    assert still["IoU 3"] == pytest.approx(11 / 29)
    assert (still["over .5 2"], still["over .5 3"]) == (1.0, 0.0)
    assert rows["Crossing", "linear"]["IoU 3"] == pytest.approx(1)
    assert rows["DAVIS roundabout", "flow, DIS"]["IoU 2"] > still["IoU 2"]
    one, two = rows["DAVIS roundabout", "flow, DIS"], rows["DAVIS roundabout", "flow, DIS, one for each way"]
    assert [two[f"IoU {place}"] for place in (1, 2, 3)] == pytest.approx(
        [one[f"IoU {place}"] for place in (1, 2, 3)], abs=0.1
    )
    assert rows["Crossing", "siamfc"]["boxes"] == 2
    assert rows["CamVid", "linear, a third of the boxes missed"]["IoU 3"] < 1
    assert rows["Crossing", "flow, DIS"]["ms per frame"] > 0
    text = trackers_page.figures(found)
    assert len(text) == 2 + 21 + 2
    assert text[-1].startswith("SiamFC learned 1 steps of 8 pairs from 1 road scenes of 6 frames, seed 0, with 2, 4")


def test_an_absence_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTLABEL_DATA", str(tmp_path))
    assert videos() == []
    assert trackers.run()["note"] == f"No videos in {tmp_path}; set NEXTLABEL_DATA to the folder that holds them."


def test_objects_are_joined_over_adjacent_frames() -> None:
    frame = np.array([0, 0, 1, 1, 1, 3])
    box = np.array([[0, 0, 9, 9], [50, 0, 59, 9], [1, 0, 10, 9], [52, 0, 61, 9], [3, 0, 12, 9], [1, 0, 10, 9]]) * 1.0
    label = np.array([0, 0, 0, 1, 0, 0])
    assert identities(frame, box, label).tolist() == [0, 1, 0, 3, 4, 5]


def test_road_scenes_give_objects_to_learn_from() -> None:
    found = road_scene_objects(1, 6, seed=0)
    assert found
    for one in found:
        image: Any = one.reader.read(int(one.number[0]))
        assert image.shape == (270, 480, 3)
        assert (one.box[:, 2:] > one.box[:, :2]).all()


def test_the_page_has_the_figures_of_the_results() -> None:
    if not (RESULTS / "trackers.json").exists():
        pytest.skip("The benchmark has not run.")
    text = trackers_page.PAGE.read_text(encoding="utf-8")
    assert trackers_page.page(text) == text, "run `python -m benchmarks.trackers_page`"
