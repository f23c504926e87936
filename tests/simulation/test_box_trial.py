"""Trials where frames with boxes are labeled: the same as a literal loop, resumable, and measured as COCO measures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import LabeledBoxes
from ml_backend.loop.box_pool import Frames
from plugins.balance.wanted import l1_score
from simulation import report
from simulation.box_trial import BoxGround, prepare_boxes
from simulation.command import Flags
from simulation.datasets.boxes import BoxDataset
from simulation.datasets.contract import DatasetConfig, DatasetError
from simulation.experiment import create, cycles, progress, work
from simulation.pages import table
from simulation.study import Study, StudyError, Trial, parse_study
from simulation.trial import Stopped, read_cycles, run_trial
from tests.simulation.coloured import CLASSES, NAME, Coloured, draw, install

VIDEOS, LENGTH = 6, 10  # the last two videos are for testing


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> BoxDataset:
    folder, rng = tmp_path_factory.mktemp("frames"), np.random.default_rng(0)
    paths, rows = [], []
    for item in range(VIDEOS * LENGTH):
        paths.append(folder / f"{item:03d}.png")
        rows += [(item, *drawn) for drawn in draw(rng, paths[-1])]
    found = np.array(rows)
    return BoxDataset(
        "blocks",
        Images([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths], paths),
        Frames(
            np.tile([90, 30], (len(paths), 1)),
            np.repeat([f"video {number}" for number in range(VIDEOS)], LENGTH),
            np.tile(np.arange(1, LENGTH + 1), VIDEOS),
        ),
        LabeledBoxes(found[:, 0], found[:, 1:5].astype(float), found[:, 5]),
        CLASSES,
        np.arange(4 * LENGTH, 6 * LENGTH),
        True,
    )


def study(**condition: Any) -> Study:
    given = {"dataset": {"name": "road_scenes"}, "initial": 6, "step": 5, "budget": 19, "learner": {"name": NAME}}
    spaced = {"selector": {"name": "spaced", "config": {"distance": 1}}}
    coherence = {"name": "temporal_coherence", "config": {"counts": "fp+fn"}}
    return parse_study(
        {
            "seeds": 2,
            "methods": {
                "random": {"scorers": [{"name": "random"}]},
                "oracle": {"scorers": [{"name": "oracle_fp"}]},
                "confidence": {"scorers": [{"name": "detection_least_confidence"}]},
                "coherence": {"scorers": [coherence], **spaced},
            },
            "conditions": {"blocks": {**given, **condition}},
        }
    )


def ground(folder: Path, dataset: BoxDataset, method: str = "oracle", seed: int = 0, **condition: Any) -> BoxGround:
    return prepare_boxes(study(**condition), Trial("blocks", method, seed), dataset, folder)


def wrong_boxes(found: list[tuple[Any, ...]], true: list[tuple[Any, ...]]) -> int:
    """Detections of (label, box, score) without a true box of their class at IoU >= .5 left, the best first."""
    left, wrong = list(true), 0
    for label, box, _ in sorted(found, key=lambda row: -row[2]):
        fits = [place for place, other in enumerate(left) if other[0] == label and iou(box, other[1]) >= 0.5]
        if fits:
            del left[max(fits, key=lambda place: iou(box, left[place][1]))]
        else:
            wrong += 1
    return wrong


def iou(a: Any, b: Any) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def average_precision(scores: list[tuple[float, bool]], positives: int) -> float:
    """COCO's: the best precision at each of 101 recalls, from (score, hit) of all detections of a class."""
    ranked = sorted(scores, key=lambda pair: -pair[0])
    hits = np.cumsum([hit for _, hit in ranked])
    recall, precision = hits / positives, hits / np.arange(1, len(hits) + 1)
    return float(np.mean([max(precision[recall >= level], default=0.0) for level in np.arange(101) / 100]))


def test_a_trial_is_the_literal_loop(tmp_path: Path, dataset: BoxDataset) -> None:
    """Fit, count wrong boxes one by one, take the frames with the most, answer from ground truth."""
    start = ground(tmp_path, dataset)
    run_trial(start, tmp_path / "run.jsonl")
    seen = read_cycles(tmp_path / "run.jsonl")
    assert [cycle.labels for cycle in seen] == [6, 11, 16, 19]
    boxes, detector, labeled, model = dataset.boxes, Coloured(), start.initial.tolist(), None
    for cycle in seen:
        waiting = sorted(set(range(4 * LENGTH)) - set(labeled))
        drawn = [(item, row) for item, at in enumerate(sorted(labeled)) for row in np.flatnonzero(boxes.item == at)]
        known = LabeledBoxes(
            np.array([item for item, _ in drawn]),
            boxes.box[[row for _, row in drawn]],
            boxes.label[[row for _, row in drawn]],
        )
        given = dataset.images.take(np.array(sorted(labeled))), known, None, dataset.images.take(np.array(waiting))
        fit = detector.fit(*given, CLASSES, folder=tmp_path, start=model, seed=0)
        model = fit.model
        assert cycle.counts == np.bincount(known.label, minlength=3).tolist()
        assert cycle.balance == l1_score(np.array(cycle.counts))

        found = detector.detect(model, dataset.images.take(start.parts.test))
        for label in range(3):
            hits = []
            for row in np.flatnonzero(found.label == label):
                same = (boxes.item == start.parts.test[found.item[row]]) & (boxes.label == label)
                hits.append((float(found.score[row]), any(iou(found.box[row], box) >= 0.5 for box in boxes.box[same])))
            positives = int((np.isin(boxes.item, start.parts.test) & (boxes.label == label)).sum())
            assert cycle.per_class[label] == pytest.approx(average_precision(hits, positives) if hits else 0.0)
        assert cycle.accuracy == pytest.approx(np.mean([value for value in cycle.per_class if value is not None]))

        wrong = {}
        for item, at in enumerate(waiting):
            rows = np.flatnonzero((fit.pool.item == item) & (fit.pool.score >= start.plan.shown_from))
            detections = [(fit.pool.label[row], fit.pool.box[row], fit.pool.score[row]) for row in rows]
            true = [(boxes.label[row], boxes.box[row]) for row in np.flatnonzero(boxes.item == at)]
            wrong[at] = wrong_boxes(detections, true)
        if cycle.chosen:
            least = min(wrong[at] for at in cycle.chosen)
            assert all(wrong[at] <= least for at in set(waiting) - set(cycle.chosen))
        labeled += cycle.chosen
    assert seen[-1].chosen == []
    assert set(seen[0].seconds) == {"learn", "measure", "rank"}


def test_every_model_goes_on_from_the_last(tmp_path: Path, dataset: BoxDataset) -> None:
    start = ground(tmp_path, dataset)
    run_trial(start, tmp_path / "run.jsonl")
    with np.load(start.own / "model-3.npz") as model:
        assert model["fits"].tolist() == [4]


def figures(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_a_killed_trial_goes_on_and_ends_the_same(tmp_path: Path, dataset: BoxDataset) -> None:
    whole, parts = ground(tmp_path / "whole", dataset), ground(tmp_path / "parts", dataset)
    run_trial(whole, tmp_path / "whole.jsonl")
    calls: list[float] = []

    def twice(last: float) -> bool:
        calls.append(last)
        return len(calls) <= 2

    with pytest.raises(Stopped):
        run_trial(parts, tmp_path / "parts.jsonl", twice)
    parts.turn(
        2, np.sort(np.concatenate([parts.initial, *_chosen(tmp_path / "parts.jsonl")]))
    )  # killed before its line
    run_trial(ground(tmp_path / "parts", dataset), tmp_path / "parts.jsonl")
    assert figures(tmp_path / "parts.jsonl") == figures(tmp_path / "whole.jsonl")


def _chosen(path: Path) -> list[list[int]]:
    return [cycle.chosen for cycle in read_cycles(path)]


def test_a_lost_model_is_not_replaced_in_silence(tmp_path: Path, dataset: BoxDataset) -> None:
    start = ground(tmp_path, dataset)
    run_trial(start, tmp_path / "run.jsonl", up_to=2)
    (start.own / "model-1.npz").unlink()
    with pytest.raises(StudyError, match=r"model-1.npz is gone, from which cycle 2 would go on"):
        run_trial(start, tmp_path / "run.jsonl")


def test_the_first_training_of_a_seed_is_done_once(
    tmp_path: Path, dataset: BoxDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = []
    usual = Coloured.fit

    def counting(self: Coloured, *args: Any, **options: Any) -> Any:
        fits.append(options["start"])
        return usual(self, *args, **options)

    monkeypatch.setattr(Coloured, "fit", counting)
    for method in ("random", "oracle", "confidence", "coherence"):
        run_trial(ground(tmp_path, dataset, method), tmp_path / f"{method}.jsonl", up_to=1)
    assert fits == [None]
    firsts = [read_cycles(tmp_path / f"{method}.jsonl")[0] for method in ("random", "oracle", "coherence")]
    assert len({cycle.accuracy for cycle in firsts}) == 1
    assert firsts[0].notes == ["learned"]
    run_trial(ground(tmp_path, dataset, "random", seed=1), tmp_path / "other.jsonl", up_to=1)
    assert len(fits) == 2


def test_a_detector_may_know_something_before(
    tmp_path: Path, dataset: BoxDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One training on all other frames of another data set, for all methods and seeds; every first goes on from it."""
    fits = []
    usual = Coloured.fit

    def counting(self: Coloured, *args: Any, **options: Any) -> Any:
        fits.append((len(args[0]), None if options.get("start") is None else int(options["start"]["fits"][0])))
        return usual(self, *args, **options)

    monkeypatch.setattr(Coloured, "fit", counting)
    monkeypatch.setattr("simulation.pretraining.load_any", lambda _: dataset)
    for method, seed in (("random", 0), ("oracle", 0), ("random", 1)):
        start = ground(tmp_path, dataset, method, seed, pretrained_on={"name": "road_scenes"})
        run_trial(start, tmp_path / f"{method}-{seed}.jsonl", up_to=2)
    assert fits == [(40, None), (6, 1), (11, 2), (11, 2), (6, 1), (11, 2)]


def test_images_of_one_class_teach_a_detector_nothing(tmp_path: Path, dataset: BoxDataset) -> None:
    with pytest.raises(StudyError, match="pretrained_on names 'digits', which has no boxes"):
        ground(tmp_path, dataset, pretrained_on={"name": "digits"})


def test_frames_apart_keep_their_distance(tmp_path: Path, dataset: BoxDataset) -> None:
    start = ground(tmp_path, dataset, "coherence")
    run_trial(start, tmp_path / "run.jsonl", up_to=1)
    chosen = np.array(read_cycles(tmp_path / "run.jsonl")[0].chosen)
    taken = np.concatenate([chosen, start.initial])
    for item in chosen:
        same = taken[dataset.frames.video[taken] == dataset.frames.video[item]]
        assert (np.abs(same[same != item] - item) > 1).all()


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ({"draw": "balanced"}, "draws frames by 'balanced', which is for images"),
        ({"learner": {"name": "frozen"}}, "asks for boxes; choose yolo"),
        ({"budget": 500}, "40 items to label and a budget of 500"),
    ],
)
def test_what_does_not_fit_boxes_is_refused(
    tmp_path: Path, dataset: BoxDataset, condition: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(StudyError, match=sentence):
        ground(tmp_path, dataset, **condition)


def test_a_data_set_without_boxes_to_test_on_is_refused(tmp_path: Path, dataset: BoxDataset) -> None:
    few = dataset.boxes.item < 40
    boxes = LabeledBoxes(dataset.boxes.item[few], dataset.boxes.box[few], dataset.boxes.label[few])
    bare = BoxDataset("bare", dataset.images, dataset.frames, boxes, CLASSES, np.array([55]), True)
    with pytest.raises(DatasetError, match="no box on its 1 test images"):
        ground(tmp_path, bare)


def test_a_detector_learns_no_classes_of_images(tmp_path: Path) -> None:
    given = study().model_dump(mode="json")
    given["conditions"]["blocks"]["dataset"] = {"name": "digits"}
    create(tmp_path / "study", parse_study(given))
    work(str(tmp_path / "study"))
    assert "'coloured' learns boxes; choose another" in str(progress(tmp_path / "study", parse_study(given))[0].error)


def test_a_study_of_road_scenes_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn on demand, run, and reported as what was measured."""
    monkeypatch.setenv("NEXTLABEL_CACHE", str(tmp_path / "cache"))
    scenes = {"default": 2, "town": 0, "night": 0, "wheelchair": 0, "test": 1, "test_wheelchair": 0, "stride": 5}
    small = {**scenes, "seconds": 3, "width": 160, "height": 90}
    given = study(dataset={"name": "road_scenes", "scenes": small}, initial=5, step=5, budget=15)
    folder = tmp_path / "study"
    create(folder, given)
    assert work(str(folder)) == 8
    results = report.write(folder)
    (condition,) = results.conditions
    assert condition.measure == "mAP@.5"
    assert condition.classes == ("pedestrian", "cyclist", "car", "wheelchair")
    assert [method.method for method in condition.methods] == ["random", "oracle", "confidence", "coherence"]
    first = [cycles(folder, Trial("blocks", method, 0))[0] for method in ("random", "oracle")]
    assert first[0].accuracy == first[1].accuracy
    assert first[0].chosen != first[1].chosen
    page = (folder / "report.html").read_text()
    assert "final mAP@.5, %" in page
    assert "final accuracy" not in page
    assert "| final mAP@.5, % |" in table(json.loads((folder / "results.json").read_text()), "blocks")


def test_flags_ask_for_road_scenes_too() -> None:
    flags = Flags("road_scenes", ("detection_entropy", "oracle_fn"), NAME, "60:20:100", 3, None)
    given = flags.study()
    assert list(given.methods) == ["random", "detection_entropy", "oracle_fn"]
    assert given.conditions["road_scenes"].dataset == DatasetConfig(name="road_scenes")
