"""Trackers come through the registry, read frames where they need them, and keep what follows from pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import cv2
import numpy as np
import pytest
import torch
from torchvision.models import optical_flow

from plugins import conformance, registry
from plugins.contract import PluginError
from plugins.video import frame_cache
from plugins.video.clip import sorted_clip
from plugins.video.detections import Detections, Frames
from plugins.video.flow import Flow, FlowConfig
from plugins.video.flow_fields import compute_flow
from plugins.video.frame_cache import FrameCache, digest
from plugins.video.frame_source import ImageFiles, Pictures, image_files
from plugins.video.raft import RAFT
from plugins.video.temporal_coherence import estimate_errors

STEP = np.array([3.0, -2.0])  # px a frame


def frames_of(count: int, size: tuple[int, int] = (96, 128)) -> dict[int, Any]:
    """Frame number 10, 11, ... -> a texture that moves by STEP a frame."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (size[0] + 80, size[1] + 80, 3)).astype(np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (9, 9), 2), np.empty(0), 0, 255, cv2.NORM_MINMAX)
    found = {}
    for t in range(count):
        x, y = np.round(40 - STEP * t).astype(int)
        found[10 + t] = np.ascontiguousarray(texture[y : y + size[0], x : x + size[1]])
    return found


def detections(count: int, video: object = "a", step: int = 1) -> Detections:
    number = np.arange(0, count, step)
    low = np.array([50.0, 45.0]) + STEP * number[:, None]
    box = np.concatenate([low, low + 24], axis=1)
    n = len(number)
    frames = Frames(10 + number, video=np.full(n, video, dtype=object).astype(type(video)))
    return Detections(frames, np.arange(n), box, np.ones(n), np.zeros(n, dtype=np.int64))


class Counted(Pictures):
    """Counts what is read."""

    def __init__(self, images: dict[int, Any]) -> None:
        super().__init__(images)
        self.reads: list[int] = []

    def read(self, number: int, least: int | None = None) -> Any:
        self.reads.append(number)
        return super().read(number, least)

    def content(self, number: int) -> str:
        return digest(self._images[number].tobytes())


def trackers() -> list[Any]:
    return [listing.cls for listing in registry.available("tracker").values() if listing.cls]


@pytest.mark.parametrize("plugin", trackers(), ids=lambda cls: cls.name)
@pytest.mark.parametrize("check", conformance.PLUGIN_CHECKS, ids=lambda check: check.__name__)
def test_every_tracker_says_what_it_is(check: Any, plugin: Any) -> None:
    conformance.run(check, plugin)


def test_trackers_come_through_the_registry() -> None:
    listed = registry.available("tracker")
    assert set(listed) >= {"still", "linear", "flow"}
    assert [one.error for one in listed.values()] == [None] * len(listed)
    assert registry.make("tracker", "linear", {"overlap": 0.5}).config.overlap == 0.5
    assert not registry.make("tracker", "still").pixels
    assert registry.make("tracker", "flow").pixels
    with pytest.raises(PluginError, match=r"Unknown tracker 'flaw'\. Did you mean 'flow'\?"):
        registry.make("tracker", "flaw")
    with pytest.raises(PluginError, match="height = 3"):
        registry.make("tracker", "flow", {"height": 3})


def test_watched_frames_give_the_flow_that_was_computed_before() -> None:
    images = frames_of(7)
    clip = sorted_clip(detections(7), 3)
    flow = registry.make("tracker", "flow")
    flow.watch({"a": Pictures(images)})
    before = Flow(fields={"a": compute_flow(images.items())})
    assert np.array_equal(flow.track(clip), before.track(clip), equal_nan=True)
    inner = slice(3, 4)
    wanted = clip.box[inner, None] + np.tile(STEP, 2) * clip.offsets[None, :, None]
    assert flow.track(clip)[inner] == pytest.approx(wanted, abs=1.5)


def test_flow_goes_through_frames_without_boxes_and_reads_no_others() -> None:
    images = frames_of(9)
    reader = Counted(images | {n: np.zeros((5, 5, 3), dtype=np.uint8) for n in (0, 500, 900)})
    clip = sorted_clip(detections(9, step=2), 2)
    flow = Flow()
    flow.watch({"a": reader})
    moved = flow.track(clip)
    assert set(reader.reads) == set(images)
    whole = Flow(fields={"a": compute_flow(images.items())}).track(clip)
    assert np.array_equal(moved, whole, equal_nan=True)


def test_windows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = sorted_clip(detections(9), 2)
    flow = Flow()
    flow.watch({"a": Pictures(frames_of(9))})
    whole = flow.track(clip)
    monkeypatch.setattr("plugins.video.flow.WINDOW", 3)
    assert np.array_equal(flow.track(clip), whole, equal_nan=True)


def test_flow_is_kept_for_all_cycles_and_extended(tmp_path: Path) -> None:
    images = frames_of(8)

    def track(count: int, pixels: dict[int, Any], **config: Any) -> tuple[Any, int]:
        reader = Counted({n: image for n, image in pixels.items() if n < 10 + count})
        flow = Flow(FlowConfig(**config))
        flow.watch({"a": reader}, tmp_path)
        return flow.track(sorted_clip(detections(count), 3)), len(reader.reads)

    first, read = track(6, images)
    assert read == 1 + 6
    again, read = track(6, images)
    assert read == 2  # one frame, for its size and that of its flow
    assert np.array_equal(first, again, equal_nan=True)
    _, read = track(8, images)
    assert read == 2 + 3
    changed = images | {11: np.ascontiguousarray(images[11][:, ::-1])}
    other, read = track(8, changed)
    assert read == 1 + 3  # frames 10 to 12
    assert not np.array_equal(other[:6], first, equal_nan=True)
    assert track(6, images, preset=1)[1] == 1 + 6
    fresh = Flow()
    fresh.watch({"a": Pictures(images)})
    assert np.array_equal(track(8, images)[0], fresh.track(sorted_clip(detections(8), 3)), equal_nan=True)


def test_files_may_be_read_smaller_and_flow_hardly_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = {n: cv2.resize(image, None, fx=8, fy=8) for n, image in frames_of(3).items()}  # 768 x 1024 px
    for n, image in large.items():
        cv2.imwrite(str(tmp_path / f"{n}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
        cv2.imwrite(str(tmp_path / f"{n}.png"), image)
    reader = ImageFiles({n: tmp_path / f"{n}.jpg" for n in large})
    for least, height in ((96, 96), (97, 192), (300, 384), (385, 768), (5000, 768), (None, 768)):
        read = reader.read(10, least)
        assert read.shape == (height, height * 4 // 3, 3)
        wanted = cv2.resize(large[10], read.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(read.astype(float) - wanted).mean() < 2
    assert ImageFiles({10: tmp_path / "10.png"}).read(10, 96).shape == (768, 1024, 3)
    with monkeypatch.context() as patch:
        patch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)
        assert reader.read(10, 96).shape == (768, 1024, 3), "whole, where its header is not believed"
    (tmp_path / "10.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"Frame 10 .* is no image that OpenCV reads"):
        reader.read(10, 96)
    cv2.imwrite(str(tmp_path / "10.jpg"), large[10], [cv2.IMWRITE_JPEG_QUALITY, 100])
    boxes = detections(3)
    clip = sorted_clip(replace(boxes, box=8 * boxes.box), 2)
    moved = []
    for source in (reader, Pictures(large)):
        flow = Flow()
        flow.watch({"a": source})
        moved.append(flow.track(clip))
    assert moved[0] == pytest.approx(moved[1], abs=1.0, nan_ok=True)


def test_what_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="Video a has no flow; give its frames with `watch`, or use"):
        estimate_errors(detections(3), Flow())
    flow = Flow()
    flow.watch({"a": Pictures(frames_of(2))})
    with pytest.raises(ValueError, match="Frame 12 of video a has no picture; give the reader every frame"):
        estimate_errors(detections(3), flow)
    flow.watch({"a": Pictures(frames_of(2) | {12: np.zeros((8, 8, 3), dtype=np.uint8)})})
    with pytest.raises(ValueError, match=r"Frame 12 is \(8, 8\) px where the others are \(96, 128\)"):
        estimate_errors(detections(3), flow)


def test_readers_read_files_and_name_what_is_wrong(tmp_path: Path) -> None:
    image = frames_of(1)[10]
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (tmp_path / "b.png").write_bytes(b"no image")
    source = image_files(
        np.array(["x", "y", "x"]),
        np.array([2, 1, 1]),
        [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")],
        np.array(["known", "", ""]),
    )
    assert source["x"].numbers.tolist() == [1, 2]
    assert np.array_equal(source["x"].read(2), image)
    assert source["x"].content(2) == "known"
    assert source["y"].content(1) == ImageFiles({5: tmp_path / "b.png"}).content(5)
    with pytest.raises(ValueError, match=r"Frame 1 \(.*b.png\) is no image"):
        source["y"].read(1)
    with pytest.raises(ValueError, match=r"Frame 1 \(.*c.png\) cannot be read \(No such file"):
        source["x"].read(1)
    with pytest.raises(ValueError, match="no file for frame 7"):
        source["x"].read(7)
    with pytest.raises(ValueError, match="no picture of frame 7"):
        Pictures({}).read(7)
    with pytest.raises(ValueError, match="`path` has 1 rows for 2 frames"):
        image_files(np.array(["x", "x"]), np.array([1, 2]), ["a"])


def test_the_cache_is_a_dictionary_that_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_cache, "FILE", 4)
    rng = np.random.default_rng(0)
    wanted: dict[str, Any] = {}
    for turn in range(6):
        kept = FrameCache(tmp_path / "v")
        keys = [digest(int(n)) for n in np.unique(rng.integers(0, 40, 9))]
        rows = rng.normal(size=(len(keys), 2, 3))
        kept.put(keys, rows)
        for key, row in zip(keys, rows, strict=True):
            wanted.setdefault(key, row)
        for cache in (kept, FrameCache(tmp_path / "v")):
            assert len(cache) == len(wanted), turn
            assert all(key in cache and np.array_equal(cache.get(key), row) for key, row in wanted.items())
    assert digest("never") not in FrameCache(tmp_path / "v")
    alone = FrameCache(None)
    alone.put([digest(1)], np.ones((1, 2)))
    assert alone.get(digest(1)).tolist() == [1, 1]
    assert not list(tmp_path.rglob("*.part"))


def test_raft_runs_on_any_size_and_keeps_its_flow(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(optical_flow.raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
    config = {"method": "raft", "weights": str(tmp_path / "raft.pth"), "height": 64}
    flow = registry.make("tracker", "flow", config)
    reader = Counted(frames_of(3))
    flow.watch({"a": reader}, tmp_path)
    clip = sorted_clip(detections(3), 1)
    moved = flow.track(clip)
    assert np.isfinite(moved[clip.neighbours[clip.frame] >= 0]).all()
    again = registry.make("tracker", "flow", config)
    reader.reads.clear()
    again.watch({"a": reader}, tmp_path)
    assert np.array_equal(again.track(clip), moved, equal_nan=True)
    assert len(reader.reads) == 2


def test_raft_is_torchvisions_network(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = optical_flow.raft_small(weights=None).eval()
    torch.save(model.state_dict(), tmp_path / "raft.pth")
    raft = RAFT("small", str(tmp_path / "raft.pth"), updates=2)
    a, b = (raft.prepared(image) for image in frames_of(2, (128, 136)).values())
    there = raft.between(a, b)
    x, y = (torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255 * 2 - 1 for image in (a, b))
    with torch.no_grad():
        assert there == pytest.approx(model(x, y, num_flow_updates=2)[-1][0].permute(1, 2, 0).numpy(), abs=1e-3)
    assert np.array_equal(a, frames_of(1, (128, 136))[10][:, :, ::-1])


def test_weights_that_cannot_be_had_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"w": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"weights .*none.pth cannot be read \(No such file or directory\); give a file"
    ):
        RAFT("small", str(tmp_path / "none.pth"))
    with pytest.raises(ValueError, match=r"text.pth holds no weights; give a state_dict of raft_large"):
        RAFT("large", str(tmp_path / "text.pth"))
    with pytest.raises(ValueError, match=r"other.pth do not fit raft_small; give a state_dict of that model"):
        RAFT("small", str(tmp_path / "other.pth"))

    def offline(*_: Any, **__: Any) -> Any:
        raise URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(
        ValueError, match=r"published weights of raft_small cannot be had from https://.*no route.*'dis'"
    ):
        RAFT("small")
