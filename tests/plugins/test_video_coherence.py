"""Estimated errors against the method word by word, and at its edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plugins.video.calibrated import SCORE_ALONE, WITH_LINKS, Calibration
from plugins.video.detections import Detections, Frames
from plugins.video.frame_errors import FrameErrors, Mode
from plugins.video.motion import Linear, Still
from plugins.video.ranks import ScoreRanks
from plugins.video.temporal_coherence import estimate_errors
from plugins.video.verdicts import Verdicts, compare
from tests.plugins.video_reference import Literal, iou, literal_cut, random_video


def sigmoid(m: float) -> float:
    return float(1 / (1 + np.exp(-m)))


@pytest.mark.parametrize("pairwise", [1, 2])
@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("moving", [True, False])
def test_thesis_mode_is_the_literal_cut(pairwise: int, ties: bool, moving: bool) -> None:
    for seed in range(4):
        detections = random_video(seed, 10)
        shown = detections.score >= 0.2
        literal = Literal(detections, moving=moving, boxes=np.flatnonzero(shown & ~detections.dropped).tolist())
        links, candidates = literal.links(), literal.candidates()
        place = {i: n for n, i in enumerate(literal.boxes)}
        edges = [(place[i], place[j]) for i, j in sorted(links)]
        edges += [(len(place) + m, place[i]) for m, one in enumerate(candidates) for i in sorted(one[2])]
        x = literal_cut([True] * len(place) + [False] * len(candidates), edges, pairwise, ties)
        tracker = Linear() if moving else Still()
        for solver in ("pymaxflow", "scipy"):
            found = estimate_errors(
                detections, tracker, mode="thesis", shown=shown, pairwise=pairwise, ties=ties, solver=solver
            )
            wrong = [np.nan] * len(detections)
            for i, n in place.items():
                wrong[i] = float(not x[n])
            assert np.array_equal(found.wrong, wrong, equal_nan=True)
            for f in range(10):
                assert found.false_positives[f] == sum(wrong[i] for i in literal.on[f])
                missed = [x[len(place) + m] for m, one in enumerate(candidates) if one[0] == f]
                assert found.false_negatives[f] == sum(missed)
            assert found.calibration is None


def literal_rank(detections: Detections, i: int) -> float:
    alike = [
        j for j in range(len(detections)) if detections.label[j] == detections.label[i] and not detections.dropped[j]
    ]
    below = sum(detections.score[j] < detections.score[i] for j in alike)
    equal = sum(detections.score[j] == detections.score[i] for j in alike)
    q = (below + (equal + 1) / 2 - 0.5) / len(alike)
    return float(np.log(q / (1 - q)))


def literal_right(literal: Literal, b: Any) -> dict[int, float]:
    """P(right) of each box: sigma(b . [1, z, sup, zbar, ov, out, disagreement])."""
    d, links = literal.detections, literal.links()
    z = {i: literal_rank(d, i) for i in literal.boxes}
    found = {}
    for i in literal.boxes:
        others = [j for pair in links for j in pair if i in pair and j != i]
        there = literal.around[int(d.frame[i])]
        best = {g: max((z[j] for j in others if d.frame[j] == g), default=None) for g in there.values()}
        linked = [one for one in best.values() if one is not None]
        better = [j for j in literal.on[int(d.frame[i])] if d.label[j] == d.label[i] and (z[j], -j) > (z[i], -i)]
        over = max((iou(literal.box(i), literal.box(j)) for j in better), default=0.0)
        left, _, right, _ = literal.box(i)
        row = [
            1.0,
            z[i],
            len(linked) / len(there) if there else 0.0,
            float(np.mean(linked)) if linked else 0.0,
            over if over > 0.3 else 0.0,
            (max(-left, 0) + max(right - 200, 0)) / (right - left),
            sum(d.label[j] != d.label[i] for j in others) / max(len(others), 1),
        ]
        found[i] = sigmoid(float(np.dot(b, row)))
    return found


@pytest.mark.parametrize("alone", [True, False])
def test_calibrated_mode_is_the_literal_expectation(alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plugins.video.calibrated.LOWEST_SUPPORT", 2.0 if alone else 0.0)
    monkeypatch.setattr("plugins.video.calibrated.ENOUGH", 0)
    for seed in range(4):
        detections = random_video(seed, 20)
        shown = detections.score >= 0.3
        literal = Literal(detections, same_class=False)
        right = literal_right(literal, SCORE_ALONE if alone else WITH_LINKS)
        found = estimate_errors(detections, Linear(), shown=shown)
        for i in literal.boxes:
            assert found.wrong[i] == pytest.approx(1 - right[i])
        vouched = {
            one: min(1.0, sum(right[i] for i in one[2]) / len(literal.around[one[0]])) for one in literal.candidates()
        }
        assert sorted(found.missed) == pytest.approx(sorted(vouched.values()))
        number = detections.frames.number
        objects = {f: sum(right[i] for i in literal.on[f]) for f in range(20)}
        for f in range(20):
            near = [objects[g] for g in range(20) if abs(int(number[g] - number[f])) <= 15]
            expected = sum(right[i] for i in literal.on[f] if not shown[i])
            if not alone:
                expected += sum(v for one, v in vouched.items() if one[0] == f) + 0.5 * (
                    float(np.mean(near)) - objects[f]
                )
            assert found.false_negatives[f] == pytest.approx(max(expected, 0), abs=1e-12)
            assert found.false_positives[f] == pytest.approx(sum(1 - right[i] for i in literal.on[f] if shown[i]))


def test_labels_move_the_coefficients_and_the_frames_beside_them() -> None:
    detections = random_video(3, 60, objects=4)
    labeled = np.arange(60) % 5 == 0
    where = np.flatnonzero(labeled[detections.frame] & (detections.score > 0.5))
    truth = detections.frame[where], detections.box[where], detections.label[where]  # the high scores are right
    verdicts = compare(detections, labeled, *truth)
    assert np.array_equal(np.isnan(verdicts.missed), ~labeled)
    plain = estimate_errors(detections, Linear())
    told = estimate_errors(detections, Linear(), verdicts=verdicts)
    assert plain.calibration is not None
    assert told.calibration is not None
    assert (
        told.calibration.coefficients[1] > plain.calibration.coefficients[1]
    )  # the score says more than the prior thinks
    rest = ~labeled[detections.frame] & ~np.isnan(told.wrong)
    surely = np.abs(told.wrong - (detections.score <= 0.5))[rest].mean()
    assert surely < np.abs(plain.wrong - (detections.score <= 0.5))[rest].mean()
    again = estimate_errors(detections, Linear(), calibration=told.calibration)
    assert np.array_equal(again.wrong, told.wrong, equal_nan=True)
    bad = Verdicts(verdicts.wrong[:-1], verdicts.false_positives, verdicts.missed)
    with pytest.raises(ValueError, match="Verdicts have `wrong` of shape"):
        estimate_errors(detections, Linear(), verdicts=bad)


def boxes(frames: int, frame: list[int], box: list[list[float]], **more: Any) -> Detections:
    k = len(frame)
    label = more.pop("label", np.zeros(k, dtype=np.int64))
    score = more.pop("score", np.full(k, 0.9))
    number = more.pop("number", np.arange(frames))
    return Detections(
        Frames(number, **more), np.array(frame, dtype=np.int64), np.array(box, dtype=np.float64), score, label
    )


def both(detections: Detections, **more: Any) -> list[FrameErrors]:
    found = [
        estimate_errors(detections, Linear(), mode="thesis", **more),
        estimate_errors(detections, Linear(), **more),
    ]
    for one in found:
        assert one.false_positives.shape == one.false_negatives.shape == (len(detections.frames),)
        assert np.isfinite(one.false_positives).all()
        assert np.isfinite(one.false_negatives).all()
        assert np.isfinite(one.wrong[~detections.dropped]).all()
    return found


def test_no_frames_no_boxes_and_empty_frames() -> None:
    for frames in (0, 1, 5):
        for one in both(boxes(frames, [], [])):
            assert one.false_positives.tolist() == [0.0] * frames
            assert one.false_negatives.tolist() == [0.0] * frames
    square = [10.0, 10.0, 50.0, 50.0]
    cut, expected = both(boxes(5, [0, 1, 3, 4], [square] * 4))
    assert cut.false_negatives.tolist() == [0, 0, 1, 0, 0]  # four vouch for what the empty frame lacks
    assert cut.false_positives.tolist() == [0] * 5
    assert expected.false_positives[2] == 0
    assert expected.false_negatives.argmax() == 2


def test_videos_of_one_and_two_frames_and_of_one_box() -> None:
    square = [10.0, 10.0, 50.0, 50.0]
    cut, expected = both(boxes(1, [0], [square]))
    assert cut.wrong.tolist() == [0.0]  # no evidence against it
    assert "judged by scores alone" in expected.notes[0]
    cut, _ = both(boxes(2, [0, 1], [square, square]))
    assert cut.links.tolist() == [[0, 1]]
    cut, expected = both(boxes(9, [4], [square]))
    assert cut.wrong.tolist() == [1.0]  # six empty frames against one box
    assert expected.wrong[0] > 0.5


def test_classes_that_all_differ_count_against_the_cut_and_less_against_the_expectation() -> None:
    square = [10.0, 10.0, 50.0, 50.0]
    cut, expected = both(boxes(9, list(range(9)), [square] * 9, label=np.arange(9)))
    assert cut.wrong.all()
    assert len(cut.links) == 0
    assert (expected.linked == expected.neighbours).all()


def test_useless_boxes_are_dropped_and_counted() -> None:
    box = [[10.0, 10.0, 50.0, 50.0], [60.0, 10.0, 60.0, 50.0], [300.0, 10.0, 340.0, 50.0], [50.0, 50.0, 10.0, 10.0]]
    detections = boxes(3, [0, 0, 1, 2], box, size=np.array([200.0, 100.0]))
    assert detections.dropped.tolist() == [False, True, True, True]
    for one in both(detections):
        assert np.isnan(one.wrong[1:]).all()
        assert "3 of 4 boxes" in one.notes[-1]
        assert not one.judged[1:].any()


def test_what_is_not_finite_or_does_not_fit_is_refused() -> None:
    square = [[10.0, 10.0, 50.0, 50.0]]
    with pytest.raises(ValueError, match=r"1 of 1 values of `score` are not finite \(first: box 0\)"):
        boxes(1, [0], square, score=np.array([np.nan]))
    with pytest.raises(ValueError, match="`box` are not finite"):
        boxes(1, [0], [[0.0, 0.0, np.inf, 1.0]])
    with pytest.raises(ValueError, match="frame position 3, but there are 2 frames"):
        boxes(2, [3], square)
    with pytest.raises(ValueError, match=r"`label` has shape \(2,\)"):
        boxes(1, [0], square, label=np.array([1, 2]))
    with pytest.raises(ValueError, match="`label` has type float64"):
        boxes(1, [0], square, label=np.array([1.0]))
    with pytest.raises(ValueError, match="Frame 4 of video 0 is listed twice"):
        both(boxes(2, [0], square, number=np.array([4, 4])))
    with pytest.raises(ValueError, match="`shot` has shape"):
        Frames(np.arange(3), shot=np.arange(2))
    with pytest.raises(ValueError, match="`size` has shape"):
        Frames(np.arange(3), size=np.ones((2, 2)))
    with pytest.raises(ValueError, match="Frame numbers have shape"):
        Frames(np.array([0.5]))
    with pytest.raises(ValueError, match="`probabilities` has shape"):
        Detections(Frames(np.arange(1)), np.array([0]), np.array(square), np.ones(1), np.array([0]), np.ones((2, 3)))
    with pytest.raises(ValueError, match="Unknown mode 'cut'"):
        estimate_errors(boxes(1, [0], square), Linear(), mode="cut")  # type: ignore[arg-type]  # the point
    with pytest.raises(ValueError, match="`shown` has shape"):
        both(boxes(1, [0], square), shown=np.ones(2, dtype=bool))
    with pytest.raises(ValueError, match="Tracked boxes have shape"):
        estimate_errors(boxes(1, [0], square), np.zeros((1, 2, 4)))


@pytest.mark.parametrize("mode", ["calibrated", "thesis"])
def test_the_order_of_rows_does_not_matter(mode: Any) -> None:
    detections = random_video(5, 30)
    rng = np.random.default_rng(0)
    f, k = rng.permutation(30), rng.permutation(len(detections))
    place = np.argsort(f)
    assert detections.frames.size is not None
    shuffled = Detections(
        Frames(detections.frames.number[f], size=detections.frames.size[f]),
        place[detections.frame[k]],
        detections.box[k],
        detections.score[k],
        detections.label[k],
    )
    one, other = estimate_errors(detections, Linear(), mode=mode), estimate_errors(shuffled, Linear(), mode=mode)
    assert other.false_positives == pytest.approx(one.false_positives[f])
    assert other.false_negatives == pytest.approx(one.false_negatives[f])
    assert other.wrong == pytest.approx(one.wrong[k], nan_ok=True)


def test_tracked_boxes_may_come_as_an_array_in_the_order_of_the_boxes() -> None:
    detections = random_video(6, 12)
    literal = Literal(detections, same_class=False)
    tracked = np.full((len(detections), 6, 4), np.nan)
    for i in literal.boxes:
        for place, box in literal.tracked(i).items():
            tracked[i, place + 3 if place < 0 else place + 2] = box
    modes: tuple[Mode, ...] = ("calibrated", "thesis")
    for mode in modes:
        one = estimate_errors(detections, tracked, mode=mode)
        assert one.wrong == pytest.approx(estimate_errors(detections, Linear(), mode=mode).wrong, nan_ok=True)


def test_frames_that_arrive_later_leave_earlier_ones_alone() -> None:
    whole = random_video(7, 60)
    number = whole.frames.number
    first = np.flatnonzero(number < 40)
    kept = np.flatnonzero(np.isin(whole.frame, first))
    place = np.full(60, -1)
    place[first] = np.arange(len(first))
    early = Detections(
        Frames(number[first], size=np.array([200.0, 200.0])),
        place[whole.frame[kept]],
        whole.box[kept],
        whole.score[kept],
        whole.label[kept],
    )
    ranks = Calibration(ScoreRanks.of([(whole.score, whole.label)]))
    before = estimate_errors(early, Linear(), calibration=ranks)
    after = estimate_errors(whole, Linear(), calibration=ranks)
    settled = number[first] < 40 - 15 - 7
    assert before.false_positives[settled] == pytest.approx(after.false_positives[first][settled])
    assert before.false_negatives[settled] == pytest.approx(after.false_negatives[first][settled])


def test_a_video_too_slow_for_links_is_judged_by_scores_and_named() -> None:
    left = np.arange(20) * 200.0
    box = np.stack([left, np.zeros(20), left + 40, np.full(20, 40.0)], axis=1)
    slow = Frames(np.r_[np.arange(20), np.arange(20)], video=np.repeat([0, 1], 20))
    score = np.tile(np.linspace(0.1, 0.9, 20), 2)
    fast = np.tile([[10.0, 10.0, 50.0, 50.0]], (20, 1))
    detections = Detections(slow, np.arange(40), np.r_[box, fast], score, np.zeros(40, dtype=np.int64))
    found = estimate_errors(detections, Linear())
    assert found.notes == ("20 frames in 1 of 2 videos are judged by scores alone: the frames around say too little.",)
    assert np.array_equal(estimate_errors(detections, Linear(), slow=True).wrong[:20], found.wrong[:20])
    assert (np.diff(found.wrong[:20]) < 0).all()
    assert (found.wrong[20:] < found.wrong[:20]).all()
