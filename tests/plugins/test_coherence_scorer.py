"""The scorer of temporal coherence against estimates of whole videos, and the edges that a project brings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from plugins.calling import Door
from plugins.conformance import suite
from plugins.contract import PluginError, Scores
from plugins.evidence import Evidence
from plugins.registry import make
from plugins.video import flow_fields, flow_frames, footage
from plugins.video.coherence_scorer import TemporalCoherence
from plugins.video.detections import Detections, Frames
from plugins.video.explanation import explain
from plugins.video.motion import Linear
from plugins.video.temporal_coherence import estimate_errors
from plugins.video.verdicts import compare
from tests.plugins.video_reference import random_video

CLASSES = ("car", "van")
SQUARE = [10.0, 10.0, 50.0, 50.0]
PARTS = ("item", "box", "score", "label", "shown")


def columns_of(
    clip: Detections, labeled: Any = (), task_id: Any = None, truth: tuple[Any, Any, Any] | None = None
) -> dict[str, Any]:
    """Evidence of detections of which some frames (positions) are labeled; truth: item by position, box, label."""
    f = len(clip.frames)
    seen = np.isin(np.arange(f), np.asarray(labeled, dtype=int))
    ids = np.arange(1, f + 1) if task_id is None else task_id
    columns: dict[str, Any] = {"task_id": ids[~seen]}
    for prefix, mine in (("", ~seen), ("labeled_", seen)):
        place = np.cumsum(mine) - 1
        rows = np.flatnonzero(mine[clip.frame])
        frames = {"video": np.asarray(clip.frames.video).astype(str), "frame": clip.frames.number}
        frames["size"] = np.nan_to_num(np.asarray(clip.frames.size)).astype(int)
        columns |= {f"{prefix}{name}": column[mine] for name, column in frames.items()}
        boxes = (place[clip.frame[rows]], clip.box[rows], clip.score[rows], clip.label[rows], clip.score[rows] >= 0.5)
        columns |= {f"{prefix}detection_{name}": column for name, column in zip(PARTS, boxes, strict=True)}
    item, box, label = truth or (np.empty(0, int), np.empty((0, 4)), np.empty(0, int))
    place = np.cumsum(seen) - 1
    return {**columns, "labeled_box_item": place[item], "labeled_box": box, "labeled_box_label": label}


def scored(columns: dict[str, Any], cache: Path | None = None, seed: int = 0, **config: Any) -> Scores:
    scorer = make("scorer", "temporal_coherence", config)
    evidence = Evidence(dict(columns), classes=CLASSES, cache=cache, seed=seed)
    answer: Scores = scorer.score(evidence.for_plugin(scorer.name, scorer.needs, scorer.optional))
    return answer


def three_videos(seed: int = 0, frames: int = 40, **made: Any) -> Detections:
    """Frames of three videos of different lengths, shuffled, with boxes of all scores."""
    video = np.random.default_rng(seed).permutation(np.repeat(["a", "b", "c"], [frames - 3, 1, 2]))
    return random_video(seed, frames, video=video, **made)


def truth_on(clip: Detections, labeled: Any) -> tuple[Any, Any, Any]:
    """Half of the boxes on these frames are objects."""
    rows = np.flatnonzero(np.isin(clip.frame, labeled))[::2]
    return clip.frame[rows], clip.box[rows], clip.label[rows]


@pytest.mark.parametrize("check", suite(TemporalCoherence, {"mode": "thesis", "tracker": "still", "counts": "fp+fn"}))
def test_thesis_mode_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize("counts", ["fp", "fn", "fp+fn"])
def test_without_labels_it_is_the_estimate_of_whole_videos(counts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = three_videos(objects=6, clutter=0.2)  # links hold, so that no stretch is judged by scores alone
    whole = estimate_errors(clip, Linear(), shown=clip.score >= 0.5)
    wanted = {"fp": whole.false_positives, "fn": whole.false_negatives}
    wanted["fp+fn"] = wanted["fp"] + wanted["fn"]
    answer = scored(columns_of(clip), counts=counts)
    assert np.allclose(answer.values, wanted[counts])
    assert any("No labels correct" in note for note in answer.notes) == (counts != "fp")
    monkeypatch.setattr(footage, "BLOCK", 12)
    assert np.allclose(scored(columns_of(clip), counts=counts).values, wanted[counts])


def test_stretches_hold_few_boxes_and_whole_videos_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = three_videos()
    columns = columns_of(clip)
    monkeypatch.setattr(footage, "BLOCK", 30)
    nothing = {f"labeled_{name}": columns[f"labeled_{name}"] for name in ("video", "frame", "size")}
    assert len(nothing["labeled_video"]) == 0
    side = [
        footage.Side(
            columns[f"{p}video"],
            columns[f"{p}frame"],
            columns[f"{p}size"] * 1.0,
            *(columns[f"{p}detection_{name}"] for name in PARTS),
        )
        for p in ("", "labeled_")
    ]
    film = footage.footage(side[0], side[1], columns["task_id"])
    parts = list(film.stretches())
    assert [a for a, _ in parts] == [0, *(b for _, b in parts[:-1])]
    assert parts[-1][1] == len(film) == 40
    assert all(len(film.boxes(a, b)) <= 30 for a, b in parts)
    assert (38, 40) in parts  # the video c as a whole
    assert film.names.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("counts", ["fp", "fp+fn"])
def test_labeled_frames_teach_and_are_evidence(counts: str) -> None:
    clip = three_videos(1)
    labeled = np.array([2, 9, 17, 30])
    item, box, label = truth_on(clip, labeled)
    shown = clip.score >= 0.5
    marked = np.isin(np.arange(40), labeled)
    verdicts = compare(clip, marked, item, box, label, shown)
    whole = estimate_errors(clip, Linear(), shown=shown, verdicts=verdicts)
    wanted = whole.false_positives + (whole.false_negatives if counts != "fp" else 0)
    answer = scored(columns_of(clip, labeled, truth=(item, box, label)), counts=counts)
    assert np.allclose(answer.values, wanted[~marked])
    assert not any("No labels correct" in note for note in answer.notes)
    untaught = scored(columns_of(clip, labeled, truth=(item, box, label)), counts=counts, labels=False).values
    assert np.allclose(untaught, scored(columns_of(clip), counts=counts).values[~marked])  # neighbours all the same
    assert not np.allclose(answer.values, untaught)


def test_frames_that_the_detector_learned_from_teach_nothing_and_are_neighbours_still() -> None:
    clip = three_videos(1)
    labeled, held = np.array([2, 9, 17, 30]), np.array([False, True, False, True])
    item, box, label = truth_on(clip, labeled)
    columns = columns_of(clip, labeled, truth=(item, box, label))
    some = scored({**columns, "labeled_held": held}).values
    mine = np.isin(item, labeled[held])
    marked = np.isin(np.arange(40), labeled[held])
    shown = clip.score >= 0.5
    verdicts = compare(clip, marked, item[mine], box[mine], label[mine], shown)
    whole = estimate_errors(clip, Linear(), shown=shown, verdicts=verdicts)
    assert np.allclose(some, whole.false_positives[~np.isin(np.arange(40), labeled)])
    none = scored({**columns, "labeled_held": np.zeros(4, bool)}).values
    assert np.allclose(none, scored(columns, labels=False).values)
    every = scored({**columns, "labeled_held": np.ones(4, bool)}).values
    assert np.allclose(every, scored(columns).values)
    with pytest.raises(PluginError, match="labeled_held"):
        scored({**columns, "labeled_held": np.ones(3, bool)})


@pytest.mark.parametrize("counts", ["fp", "fn"])
def test_the_cut_counts_whole_errors_and_scores_break_its_ties(counts: str) -> None:
    clip = three_videos(2)
    shown = clip.score >= 0.5
    whole = estimate_errors(clip, Linear(), mode="thesis", shown=shown)
    wanted = whole.false_positives if counts == "fp" else whole.false_negatives
    answer = scored(columns_of(clip), mode="thesis", counts=counts)
    assert np.floor(answer.values).tolist() == wanted.tolist()
    doubt = np.bincount(clip.frame, np.where(shown & ~clip.dropped, 1 - clip.score, 0), 40).round(6)
    for one in np.unique(wanted):
        mine = np.flatnonzero(wanted == one)
        first, second = (np.unique(c.round(6), return_inverse=True)[1] for c in (answer.values[mine], doubt[mine]))
        assert np.array_equal(first, second)
    assert len(np.unique(answer.values)) > 3 * len(np.unique(wanted))


def scene() -> Detections:
    """Frames 38-46 with one lasting object that frames 42 and 43 lack, and a stray box in frame 40."""
    frame = [0, 1, 2, 3, 6, 7, 8, 2]
    box = [SQUARE] * 7 + [[100.0, 100.0, 130.0, 130.0]]
    return Detections(
        Frames(np.arange(38, 47), video=np.full(9, 5)),
        np.array(frame),
        np.array(box),
        np.array([0.9] * 7 + [0.6]),
        np.zeros(8, dtype=np.int64),
    )


def test_it_says_why_and_what_to_draw() -> None:
    answer = scored(columns_of(scene(), labeled=[3]), mode="thesis", tracker="still")
    assert answer.reason(2) == "1 of 2 boxes looks wrong: it has no counterpart within 3 frames"
    assert answer.reason(3) == "1 possible miss between frames 41 and 44"
    assert answer.drawing is not None
    picture = json.loads(json.dumps(answer.drawing(2)))
    assert picture["frame"] == 40
    assert sorted(one["wrong"] for one in picture["boxes"]) == [0.0, 1.0]
    assert 41 in {one["frame"] for one in picture["links"]}  # the labeled neighbour bears the box out
    candidates = json.loads(json.dumps(answer.drawing(3)))["candidates"]
    assert [one["from"] for one in candidates] == [[39, 40, 41, 44, 45], [40]]  # the stray box asks for one, too


def test_sentences_are_those_of_the_whole_video(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = three_videos(3)
    whole = estimate_errors(clip, Linear(), shown=clip.score >= 0.5)
    answer = scored(columns_of(clip))
    assert answer.drawing is not None
    for i in range(40):
        assert answer.reason(i) == explain(whole, clip, i)
        assert answer.drawing(i)["false_positives"] == pytest.approx(answer.values[i], abs=1e-4)
    door = Door(60.0)
    through = door.score("temporal_coherence", {}, Evidence(columns_of(clip), classes=CLASSES))
    assert through.drawing is not None
    assert through.drawing(0) == answer.drawing(0)


def without_boxes(frames: Frames) -> Detections:
    none = np.empty(0, dtype=int)
    return Detections(frames, none, np.empty((0, 4)), np.empty(0), none)


@pytest.mark.parametrize("mode", ["calibrated", "thesis"])
def test_empty_frames_and_short_videos_have_values(mode: str) -> None:
    empty = scored(columns_of(without_boxes(Frames(np.arange(4)))), mode=mode)
    assert empty.values.tolist() == [0.0] * 4
    assert empty.reason(1) == "no box here, and none that is missed by the frames around"
    video = np.array(["one", "two", "two"])
    frames = Frames(np.array([7, 1, 2]), video=video)
    short = Detections(frames, np.arange(3), np.array([SQUARE] * 3), np.full(3, 0.8), np.zeros(3, dtype=int))
    answer = scored(columns_of(short), mode=mode)
    assert (answer.values > 0).all()
    assert answer.values[1] == answer.values[2]
    assert all(answer.reason(i) for i in range(3))
    if mode == "calibrated":
        assert answer.notes == (
            "1 frames in 1 of 2 videos are judged by scores alone: the frames around say too little.",
        )


def test_a_video_that_was_imported_twice_is_two_videos() -> None:
    clip = random_video(4, 20, video=np.full(20, "film"))
    once = scored(columns_of(clip))
    twice = Detections(
        Frames(np.tile(clip.frames.number, 2), video=np.full(40, "film"), size=np.full(2, 200.0)),
        np.concatenate([clip.frame, clip.frame + 20]),
        np.tile(clip.box, (2, 1)),
        np.tile(clip.score, 2),
        np.tile(clip.label, 2),
    )
    both = scored(columns_of(twice)).values
    assert np.allclose(both[:20], both[20:])
    assert np.allclose(both[:20], once.values)  # ranks of scores are the same
    labeled = columns_of(twice, labeled=[3, 5], truth=truth_on(twice, [3, 5]))
    assert np.isfinite(scored(labeled).values).all()
    assert len(scored(labeled).values) == 38


def test_frames_that_come_later_change_their_neighbours() -> None:
    clip = scene()
    late = columns_of(without_boxes(Frames(np.arange(38, 41), video=np.full(3, 5))))
    assert scored(late).values.tolist() == [0.0] * 3
    first = Detections(
        Frames(np.arange(38, 42), video=np.full(4, 5)), clip.frame[:4], clip.box[:4], clip.score[:4], clip.label[:4]
    )
    before, after = scored(columns_of(first)).values, scored(columns_of(clip)).values
    assert len(before) == 4
    assert len(after) == 9


STEP = np.array([3.0, -2.0])  # px a frame


def filmed(folder: Path, count: int, box: float = 30.0, cut: int | None = None) -> dict[str, Any]:
    """Columns of a video whose picture and boxes move by STEP a frame; from frame `cut` on it shows something else."""
    found = []
    for part in (0, 1):
        rng = np.random.default_rng(part)
        texture = cv2.GaussianBlur(rng.integers(0, 256, (200, 240, 3)).astype(np.uint8), (9, 9), 2)
        stretched = cv2.normalize(texture, np.empty(0), 0, 255, cv2.NORM_MINMAX)
        found.append(stretched if part == 0 else 255 - stretched // 3)
    path = []
    for t in range(count):
        x, y = np.round(40 - STEP * t).astype(int)
        texture = found[int(cut is not None and t >= cut)]
        path.append(str(folder / f"{t}.png"))
        if not Path(path[-1]).exists():
            cv2.imwrite(path[-1], texture[y : y + 120, x : x + 160])
    low = np.array([60.0, 60.0]) + STEP * np.arange(count)[:, None]
    boxes = np.concatenate([low, low + box], axis=1)
    frames = Frames(np.arange(10, 10 + count), video=np.full(count, "film"))
    clip = Detections(frames, np.arange(count), boxes, np.full(count, 0.9), np.zeros(count, dtype=np.int64))
    nothing = np.empty(0, dtype=np.str_)
    names = np.array([f"{cut}-{t}" if cut is not None and t >= cut else f"{t}" for t in range(count)])
    columns = {"path": np.array(path), "content": names, "labeled_path": nothing, "labeled_content": nothing}
    return columns_of(clip) | columns


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The frames to which flow was computed."""
    seen: list[int] = []
    step = flow_fields.step_of

    def counting(method: Any, last: Any, now: Any, number: int) -> Any:
        seen.append(number)
        return step(method, last, now, number)

    monkeypatch.setattr(flow_frames, "step_of", counting)
    return seen


def test_flow_is_computed_once_and_goes_on_with_later_frames(tmp_path: Path, computed: list[int]) -> None:
    first = filmed(tmp_path, 5)
    before = scored(first, tmp_path / "cache", tracker="flow")
    assert computed == [11, 12, 13, 14]
    newer = filmed(tmp_path, 5, box=40.0)  # a newer detector, over the flow that is there
    scored(newer, tmp_path / "cache", tracker="flow")
    assert len(computed) == 4
    scored(filmed(tmp_path, 7), tmp_path / "cache", tracker="flow")
    assert computed[4:] == [15, 16]
    assert before.reason(2).startswith("no box stands out")
    scored(first, None, tracker="flow")
    assert len(computed) > 6


def test_nothing_is_linked_across_a_cut_where_pixels_are_read(tmp_path: Path) -> None:
    still = filmed(tmp_path, 12, cut=6)
    answer = scored(still, tmp_path / "cache", mode="thesis", tracker="flow")
    assert answer.drawing is not None
    assert {one["frame"] for one in answer.drawing(5)["links"]} == {12, 13, 14}
    assert {one["frame"] for one in answer.drawing(6)["links"]} == {17, 18, 19}
    blind = scored(still, mode="thesis", tracker="linear")
    assert blind.drawing is not None
    assert {one["frame"] for one in blind.drawing(5)["links"]} == {12, 13, 14, 16, 17, 18}


@pytest.mark.parametrize(
    ("config", "columns", "fault"),
    [
        ({"tracker": "liner"}, {}, "Unknown tracker 'liner'. Did you mean 'linear'"),
        ({"tracker_settings": {"overlap": 3}}, {}, "Tracker 'linear': overlap = 3"),
        ({"tracker": "flow"}, {}, "needs 'path' for a tracker that reads pixels; choose the tracker 'linear'"),
        ({}, {"frame": np.full(9, 0.5)}, "got frame of type float64; give whole numbers"),
        ({}, {"video": np.zeros(3, dtype=int)}, r"got video of shape \(3,\); 9 images need \(9,\)"),
        ({}, {"size": np.zeros((9, 3))}, r"got size of shape \(9, 3\); 9 images need \(9, 2\)"),
        ({}, {"detection_box": np.zeros((8, 3))}, r"got detection_box of shape \(8, 3\); 8 boxes need \(8, 4\)"),
        ({}, {"detection_label": np.full(8, 2)}, "detection_label from 2 to 2"),
        ({}, {"labeled_box_item": np.zeros(1, int)}, "got labeled_box_item 0 for 0 images"),
    ],
)
def test_what_does_not_fit_is_named(config: dict[str, Any], columns: dict[str, Any], fault: str) -> None:
    with pytest.raises(PluginError, match=fault):
        scored(columns_of(scene()) | columns, **config)


def test_a_file_that_is_gone_is_named_and_a_plan_with_an_unknown_tracker_is_refused(tmp_path: Path) -> None:
    columns = filmed(tmp_path, 3)
    Path(columns["path"][1]).unlink()
    with pytest.raises(PluginError, match=r"'temporal_coherence': Frame 11 .*1\.png"):
        scored(columns, tracker="flow")
    with pytest.raises(PluginError, match="Unknown tracker 'nobody'"):
        make("scorer", "temporal_coherence", {"tracker": "nobody"}).check_classes(())
    with pytest.raises(LookupError, match="'temporal_coherence' needs the evidence column 'detection_box'"):
        Evidence({"task_id": np.arange(2)}, classes=()).for_plugin("temporal_coherence", TemporalCoherence.needs)
