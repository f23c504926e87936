"""SiamFC: its correlation is the formula, its checkpoints are the published ones, and it learns to follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins import registry
from plugins.video.boxes import overlaps
from plugins.video.clip import sorted_clip
from plugins.video.detections import Detections, Frames
from plugins.video.frame_source import Pictures
from plugins.video.siamfc import SiamFC, SiamFCConfig
from plugins.video.siamfc_following import Following
from plugins.video.siamfc_network import PUBLISHED, Backbone, Network, cross_correlation, load
from plugins.video.siamfc_search import context_side, cropped, labels, moved_box, peak
from plugins.video.siamfc_training import ObjectInVideo, Pairs, balanced_loss, objects_of, train

SMALL = (8, 16, 16, 16, 16)
STEP = np.array([6.0, -4.0])


def textured(seed: int, size: tuple[int, int], grain: int) -> Any:
    noise = np.random.default_rng(seed).integers(0, 256, (size[0] // grain, size[1] // grain, 3)).astype(np.uint8)
    return cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)


def scene(seed: int, count: int = 9, grow: float = 1.0, step: Any = STEP) -> tuple[dict[int, Any], Any]:
    """Frames 0, 1, ... with a textured square on another texture, and its (n, 4) boxes."""
    ground, thing = textured(seed, (180, 240), 6), textured(seed + 1000, (40, 40), 8)
    frames, boxes = {}, []
    for t in range(count):
        side = round(36 * grow**t)
        x, y = np.round(np.array([70.0, 110.0]) + step * t - side / 2).astype(int)
        image = ground.copy()
        image[y : y + side, x : x + side] = cv2.resize(thing, (side, side))
        frames[t] = image
        boxes.append([x, y, x + side, y + side])
    return frames, np.array(boxes, dtype=np.float64)


def detections(boxes: Any, video: str = "a", rows: Any = None) -> Detections:
    n = len(boxes)
    rows = np.arange(n) if rows is None else rows
    frames = Frames(np.arange(n), video=np.full(n, video))
    return Detections(frames, rows, boxes[rows], np.ones(len(rows)), np.zeros(len(rows), dtype=np.int64))


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread: on a busy machine threads that wait for each other cost many times what they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learned from a few textures."""
    learned = []
    for seed in range(12):
        frames, boxes = scene(seed, count=4)
        learned.append(ObjectInVideo(Pictures(frames), np.arange(4), boxes))
    losses: list[float] = []
    network = train(learned, steps=30, batch=4, channels=SMALL, rate=0.01, observe=lambda _, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:3])
    path = tmp_path_factory.mktemp("siamfc") / "small.pth"
    torch.save(network.state_dict(), path)
    return path


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(0, 99)
)
def test_cross_correlation_is_the_formula(n: int, m: int, c: int, kernel: int, more: int, seed: int) -> None:
    torch.manual_seed(seed)
    side = kernel + more
    kernels, features = torch.randn(n, c, kernel, kernel), torch.randn(n, m, c, side, side + 1)
    found = cross_correlation(kernels, features)
    assert found.shape == (n, m, more + 1, more + 2)
    for i in range(n):
        for j in range(m):
            for y in range(more + 1):
                for x in range(more + 2):
                    part = features[i, j, :, y : y + kernel, x : x + kernel]
                    assert float(found[i, j, y, x]) == pytest.approx(float((kernels[i] * part).sum()), abs=1e-4)


def test_sizes_are_the_papers() -> None:
    backbone = Backbone(SMALL).eval()
    with torch.no_grad():
        exemplar, search = backbone(torch.zeros(1, 3, 127, 127)), backbone(torch.zeros(1, 3, 255, 255))
        assert exemplar.shape[2:] == (6, 6)
        assert search.shape[2:] == (22, 22)
        assert Network(SMALL).eval()(exemplar, torch.zeros(1, 3, 3, 255, 255)).shape == (1, 3, 17, 17)


def published() -> dict[str, Any]:
    """Name -> shape of `siamfc_alexnet_e50.pth`, written down from the port's own classes."""
    shapes: dict[str, Any] = {}
    layers = ((96, 3, 11), (256, 48, 5), (384, 256, 3), (384, 192, 3), (256, 192, 3))
    for number, (out, into, side) in enumerate(layers, 1):
        shapes[f"backbone.conv{number}.0.weight"] = (out, into, side, side)
        shapes[f"backbone.conv{number}.0.bias"] = (out,)
        for name in ("weight", "bias", "running_mean", "running_var") if number < 5 else ():
            shapes[f"backbone.conv{number}.1.{name}"] = (out,)
        if number < 5:
            shapes[f"backbone.conv{number}.1.num_batches_tracked"] = ()
    return shapes


def test_the_published_layout_is_ours() -> None:
    state = Network().state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published()
    assert state["backbone.conv1.1.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize("wrapped", ["plain", "module", "nested", "head.corr_bias", "corr_bias"])
def test_a_published_checkpoint_goes_in_and_out(tmp_path: Path, wrapped: str) -> None:
    torch.manual_seed(0)
    state: dict[str, Any] = {
        name: torch.rand(shape) if shape else torch.tensor(7) for name, shape in published().items()
    }
    given_state: Any = dict(state)
    if wrapped == "module":
        given_state = {f"module.{name}": value for name, value in state.items()}
    elif wrapped == "nested":
        given_state = {"epoch": 50, "state_dict": state}
    elif wrapped != "plain":
        given_state[wrapped] = torch.tensor([0.25])
    torch.save(given_state, tmp_path / "e50.pth")
    network, name = load(str(tmp_path / "e50.pth"))
    assert len(name) == 64
    assert not network.training
    kept = network.state_dict()
    assert all(torch.equal(kept[key], value) for key, value in state.items())
    if "corr_bias" in wrapped:
        assert kept["corr_bias"].tolist() == [0.25]
        small = torch.zeros(1, PUBLISHED[-1], 6, 6)
        with torch.inference_mode():
            assert network(small, torch.zeros(1, 1, 3, 255, 255)).unique().tolist() == [0.25]


def test_checkpoints_that_do_not_fit_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    lacking = Network(SMALL).state_dict()
    del lacking["backbone.conv3.1.running_var"]
    torch.save(lacking, tmp_path / "lacking.pth")
    frames, boxes = scene(0, count=3)
    for name, message in (
        ("none.pth", r"checkpoint .*none.pth cannot be read \(No such file or directory\); give the path of a file"),
        ("text.pth", r"text.pth holds no weights; give a SiamFC checkpoint"),
        ("other.pth", r"other.pth is not one of SiamFC with AlexNet; give a state_dict with `backbone.conv1.0.weight`"),
        ("list.pth", r"list.pth is not one of SiamFC"),
        ("lacking.pth", r"lacking.pth is not one of SiamFC"),
    ):
        tracker = registry.make("tracker", "siamfc", {"weights": str(tmp_path / name)})
        tracker.watch({"a": Pictures(frames)})
        with pytest.raises(ValueError, match=message):
            tracker.track(sorted_clip(detections(boxes), 1))
    bare = SiamFC()
    bare.watch({"a": Pictures(frames)})
    with pytest.raises(ValueError, match="'siamfc' has no `weights`; give the file of a checkpoint, or use 'linear'"):
        bare.track(sorted_clip(detections(boxes), 1))
    with pytest.raises(ValueError, match="'siamfc' needs the frames of video a; give them with `watch`"):
        SiamFC().track(sorted_clip(detections(boxes), 1))


def test_it_follows_a_textured_square(checkpoint: Path) -> None:
    frames, boxes = scene(500)
    tracker = registry.make("tracker", "siamfc", {"weights": str(checkpoint)})
    tracker.watch({"a": Pictures(frames)})
    clip = sorted_clip(detections(boxes, rows=np.array([0, 4, 8])), 3)
    moved = tracker.track(clip)
    for row, at in enumerate((0, 4, 8)):
        around = clip.neighbours[at]
        assert np.isnan(moved[row, around < 0]).all()
        there = moved[row, around >= 0]
        assert overlaps(there, boxes[around[around >= 0]]).min() > 0.7
        still = np.repeat(boxes[at][None], len(there), axis=0)
        assert overlaps(still, boxes[around[around >= 0]]).min() < 0.4


class Larger(torch.nn.Module):
    """Answers that the object is larger, and a place to the right of and two above the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def backbone(self, images: Any) -> Any:
        return torch.zeros(len(images), 1, 6, 6)

    def response(self, kernels: Any, features: Any) -> Any:
        response = torch.zeros(*features.shape[:2], 17, 17)
        response[:, 2, 6, 9] = 1.0
        return response


def test_a_step_moves_and_scales_by_the_formula() -> None:
    frames, boxes = scene(0, count=3)
    clip = sorted_clip(detections(boxes, rows=np.array([0])), 2)
    config = SiamFCConfig(scale_step=1.2, scale_rate=0.5, window=0.0)
    network: Any = Larger()
    found = Following(network, config, clip, np.array([0]), lambda at: frames[at]).boxes()[0, 2:]
    centre, side = (boxes[0, :2] + boxes[0, 2:]) / 2, 36.0
    for box in found:
        px = 2 * side * (255 / 127) * 1.2 / 255 * 8  # of the frame, for a place of the response
        centre = centre + np.array([1, -2]) * px
        side *= 0.5 + 0.5 * 1.2
        assert box == pytest.approx([*(centre - side / 2), *(centre + side / 2)], abs=0.1 * px)


def test_one_size_keeps_the_boxes_size(checkpoint: Path) -> None:
    frames, boxes = scene(500)
    tracker = registry.make("tracker", "siamfc", {"weights": str(checkpoint), "scales": 1})
    tracker.watch({"a": Pictures(frames)})
    clip = sorted_clip(detections(boxes, rows=np.array([4])), 3)
    moved, around = tracker.track(clip)[0], clip.neighbours[4]
    assert moved[:, 2:] - moved[:, :2] == pytest.approx(np.repeat(boxes[[4], 2:] - boxes[[4], :2], 6, axis=0))
    assert overlaps(moved, boxes[around]).min() > 0.7


def test_an_even_number_of_sizes_has_no_middle() -> None:
    with pytest.raises(ValueError, match="give an odd number"):
        SiamFCConfig(scales=2)


def test_how_many_boxes_are_followed_at_once_changes_nothing(checkpoint: Path) -> None:
    frames, boxes = scene(700, count=5)
    clip = sorted_clip(detections(boxes), 2)
    found = []
    for batch in (1, 3, 16):
        tracker = SiamFC(SiamFCConfig(weights=str(checkpoint), batch=batch))
        tracker.watch({"a": Pictures(frames)})
        found.append(tracker.track(clip))
    assert found[1] == pytest.approx(found[0], abs=0.5, nan_ok=True)
    assert found[2] == pytest.approx(found[0], abs=0.5, nan_ok=True)


def test_boxes_that_were_tracked_are_not_tracked_again(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, boxes = scene(800, count=5)
    clip = sorted_clip(detections(boxes), 1)
    asked: list[int] = []
    follow = SiamFC.follow

    def counted(self: Any, clip: Any, rows: Any, read: Any) -> Any:
        asked.append(len(rows))
        return follow(self, clip, rows, read)

    monkeypatch.setattr(SiamFC, "follow", counted)

    def track(clip: Any, pixels: dict[int, Any], **config: Any) -> Any:
        tracker = SiamFC(SiamFCConfig(weights=str(checkpoint), **config))
        tracker.watch({"a": Pictures(pixels)}, tmp_path)
        asked.clear()
        return tracker.track(clip)

    first = track(clip, frames)
    assert asked == [5]
    assert np.array_equal(track(clip, frames, batch=2), first, equal_nan=True)
    assert asked == []
    boxes[3] += 1.0
    track(sorted_clip(detections(boxes), 1), frames)
    assert asked == [1]
    track(clip, frames | {0: frames[0][:, ::-1]})
    assert asked == [2]  # frame 0, and frame 1 beside it
    track(clip, frames, window=0.3)
    assert asked == [5]


def test_pictures_are_what_bilinear_sampling_gives() -> None:
    image = textured(3, (40, 50), 4)
    centre, side, out = np.array([21.3, 17.8]), 13.7, 9
    found = cropped(image, centre, side, out, (1.0, 2.0, 3.0)).astype(float)
    for v in range(out):
        for u in range(out):
            x, y = centre + (np.array([u, v]) + 0.5 - out / 2) * side / out - 0.5
            left, top = int(np.floor(x)), int(np.floor(y))
            a, b = x - left, y - top
            patch = image[top : top + 2, left : left + 2].astype(float)
            wanted = (1 - b) * ((1 - a) * patch[0, 0] + a * patch[0, 1]) + b * ((1 - a) * patch[1, 0] + a * patch[1, 1])
            assert found[v, u] == pytest.approx(wanted, abs=8)  # it samples at 1/32 px
    beyond = cropped(image, np.array([-100.0, 0.0]), 10.0, 5, (1.0, 2.0, 3.0))
    assert np.unique(beyond.reshape(-1, 3), axis=0).tolist() == [[1, 2, 3]]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([(0, 1), (0, 3), (1, 3), (2, 3), (4, 5)]), st.floats(-5, 5), st.floats(-5, 5))
def test_the_peak_is_found_where_it_is(sizes: tuple[int, int], x: float, y: float) -> None:
    which, count = sizes
    at = np.arange(17) - 8.0
    bump = np.exp(-((at[None, :] - x) ** 2 + (at[:, None] - y) ** 2) / 4)
    responses = np.stack([bump * (3.0 if one == which else 1.0) - 2 for one in range(count)]).astype(np.float32)
    best, shift = peak(responses, 0.97, 0.0)
    assert best == which
    assert shift == pytest.approx([x, y], abs=0.15)
    nearer = peak(responses, 0.97, 0.9)[1]
    assert np.abs(nearer).sum() <= np.abs(shift).sum() + 0.1


def test_a_flat_response_stays_in_the_middle() -> None:
    best, shift = peak(np.zeros((3, 17, 17), dtype=np.float32), 0.97, 0.2)
    assert np.abs(shift).max() < 0.1
    assert best in (0, 1, 2)


def test_context_and_moves_are_the_formulas() -> None:
    size = np.random.default_rng(0).uniform(1, 90, (20, 2))
    for (w, h), side in zip(size, context_side(size), strict=True):
        p = (w + h) / 2
        assert side == pytest.approx(((w + p) * (h + p)) ** 0.5)
    assert moved_box(np.array([2.0, 2.0, 6.0, 4.0]), np.array([1.0, -1.0]), 0.5).tolist() == [4, 1.5, 6, 2.5]


def test_pairs_show_the_object_where_the_labels_say() -> None:
    frames = {0: np.zeros((200, 200, 3), dtype=np.uint8)}
    frames[0][96:104, 116:124] = 255  # the middle of the box
    frames[1] = frames[0]
    box = np.array([[90.0, 70.0, 150.0, 130.0]] * 2)
    pairs = Pairs([ObjectInVideo(Pictures(frames), np.arange(2), box)], 5, np.random.default_rng(0))
    for _ in range(20):
        exemplar, search, wanted = pairs.draw()
        assert exemplar[63, 63].tolist() == [255, 255, 255]
        row, column = (np.nonzero(search[:, :, 0] > 128)[axis].mean() for axis in (0, 1))
        y, x = (np.nonzero(wanted)[axis].mean() for axis in (0, 1))
        assert [(column - 127) / 8 + 8, (row - 127) / 8 + 8] == pytest.approx([x, y], abs=0.8)
        assert 8 <= wanted.sum() <= 13


def test_labels_and_loss_are_the_formulas() -> None:
    wanted = labels(5, np.array([1.0, 0.0]), 1.0)
    assert wanted.tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 1, 1, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]
    values = np.random.default_rng(1).normal(size=(1, 1, 5, 5))
    parts: dict[bool, list[float]] = {True: [], False: []}
    for y in range(5):
        for x in range(5):
            sign = 1 if wanted[y, x] else -1
            parts[bool(wanted[y, x])].append(float(np.log1p(np.exp(-sign * values[0, 0, y, x]))))
    found = float(balanced_loss(torch.from_numpy(values), torch.from_numpy(wanted.astype(np.float64))[None, None]))
    assert found == pytest.approx((np.mean(parts[True]) + np.mean(parts[False])) / 2)


def test_objects_are_joined_from_boxes_or_by_their_numbers() -> None:
    _, boxes = scene(0, count=5)
    far = boxes + np.array([100.0, 0.0, 100.0, 0.0])
    both = np.concatenate([boxes, far[:3], [[1.0, 1.0, 9.0, 9.0]]])
    frame = np.array([*range(5), *range(3), 2])
    seen = Detections(Frames(np.arange(5), video=np.full(5, "a")), frame, both, np.ones(9), np.zeros(9, dtype=np.int64))
    reader = Pictures({})
    found = objects_of(seen, {"a": reader})
    assert sorted(one.number.tolist() for one in found) == [[0, 1, 2], [0, 1, 2, 3, 4]]
    longest = max(found, key=lambda one: len(one.number))
    assert longest.box.tolist() == boxes.tolist()
    assert longest.reader is reader
    named = objects_of(seen, {"a": reader}, identity=np.array([1, 1, 2, 2, 2, 3, 4, 5, 2]))
    assert sorted(one.number.tolist() for one in named) == [[0, 1], [2, 3, 4]]
    with pytest.raises(ValueError, match=r"An object has 1 frames and boxes of shape \(1, 4\); give two frames"):
        ObjectInVideo(reader, np.array([3]), boxes[:1])
    with pytest.raises(ValueError, match="no object in two frames to learn from"):
        train([], steps=1)


def test_training_is_repeatable_and_goes_on() -> None:
    frames, boxes = scene(0, count=3)
    learned = [ObjectInVideo(Pictures(frames), np.arange(3), boxes)]
    one, two = (train(learned, steps=2, batch=2, channels=SMALL, seed=5) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    before = one.state_dict()["backbone.conv1.0.weight"].clone()
    on = train(learned, steps=1, batch=2, start=one)
    assert on is one
    assert not torch.equal(on.state_dict()["backbone.conv1.0.weight"], before)
