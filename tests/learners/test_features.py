"""Which features a project uses, why, and that they are computed once."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ml_backend.learners import choice, weights
from ml_backend.learners.choice import FeatureConfig, choose
from ml_backend.learners.contract import FeatureStore, Images
from ml_backend.learners.features import Arrays, Features, Patches, Vectors, embed, restore
from ml_backend.learners.pixels import UnreadableImageError
from ml_backend.learners.weights import WeightsError
from tests.learners.conftest import Digits, images_of, in_memory


def test_tiny_images_are_their_pixels(digits: Digits, store: FeatureStore) -> None:
    chosen = choose(FeatureConfig(), digits.images, "a", store)
    assert chosen.sentence == "raw pixels (64); no image is larger than 16 px"
    vectors = embed(chosen.features, digits.part(0, 5), store)
    expected = [np.asarray(Image.open(path)).ravel() / 255 for path in digits.images.paths[:5]]
    assert np.allclose(vectors, expected)


def test_patches_without_weights_and_the_failure_is_remembered(
    large_digits: Digits, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []
    original = weights.fetch

    def fetch() -> Path:
        tries.append("once")
        return original()

    monkeypatch.setattr(weights, "fetch", fetch)
    first = choose(FeatureConfig(), large_digits.images, "a", store)
    again = choose(FeatureConfig(), large_digits.images, "a", store)
    expected = "k-means patch features (256), learned from 300 of this project's images"
    assert first.sentence == again.sentence == f"{expected}; ResNet-18 weights could not be fetched"
    assert first.features.id == again.features.id
    assert tries == ["once"]
    assert embed(first.features, large_digits.part(0, 4), store).shape == (4, 256)


def test_filters_do_not_depend_on_the_order(large_digits: Digits, store: FeatureStore) -> None:
    images = large_digits.images
    backwards = Images(images.contents[::-1], images.paths[::-1])
    config = FeatureConfig(features="patches")
    assert choose(config, images, "a", store).features.id == choose(config, backwards, "b", store).features.id


def test_filters_stay_as_the_pool_grows_until_they_are_learned_anew(large_digits: Digits, store: FeatureStore) -> None:
    small = choose(FeatureConfig(features="patches"), large_digits.part(0, 60), "a", store)
    grown = choose(FeatureConfig(features="patches"), large_digits.images, "a", store)
    assert grown.features.id == small.features.id
    assert small.note is None
    assert grown.note is not None
    assert "60 images; it has 300 now" in grown.note
    anew = choose(FeatureConfig(features="patches", relearn=1), large_digits.images, "a", store)
    assert anew.features.id != small.features.id
    assert anew.note is None


@pytest.mark.parametrize("config", [{"features": "patches"}, {"features": "pixels"}])
def test_images_in_memory_have_the_same_features(
    config: dict[str, Any], large_digits: Digits, store: FeatureStore
) -> None:
    decoded = in_memory(large_digits.images)
    on_disk = choose(FeatureConfig(**config), large_digits.images, "a", store).features
    here = choose(FeatureConfig(**config), decoded, "b", store).features
    assert here.id == on_disk.id
    assert np.array_equal(here.encode(decoded), on_disk.encode(large_digits.images))
    assert np.array_equal(embed(here, decoded, store), embed(on_disk, large_digits.images, store))


def test_colour_is_seen(tmp_path: Path, store: FeatureStore) -> None:
    rng = np.random.default_rng(0)
    for i in range(6):
        pixels = rng.integers(0, 256, size=(40, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    images = images_of(sorted(tmp_path.glob("*.png")))
    features = choose(FeatureConfig(features="patches"), images, "a", store).features
    assert isinstance(features, Patches)
    assert (features.side, features.mode, features.filters.centres.shape) == (32, "RGB", (64, 10 * 10 * 3))


class Counting(Features):
    """One number per image, counted."""

    id, title = "counting", "counting"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, images: Images) -> Vectors:
        self.encoded += [path.name for path in images.paths]
        return np.array([[float(path.stem)] for path in images.paths], dtype=np.float32)

    def arrays(self) -> Arrays:
        return {}


def test_each_content_is_encoded_once(store: FeatureStore) -> None:
    def images(*numbers: int) -> Images:
        return Images(
            [hashlib.sha256(str(i).encode()).hexdigest() for i in numbers], [Path(f"{i}.png") for i in numbers]
        )

    counting = Counting()
    assert embed(counting, images(), store).shape[0] == 0
    assert embed(counting, images(3, 1, 3), store).ravel().tolist() == [3, 1, 3]
    assert embed(counting, images(1, 2, 3, 2), store).ravel().tolist() == [1, 2, 3, 2]
    assert counting.encoded == ["3.png", "1.png", "2.png"]


def test_truncated_image_is_named(large_digits: Digits, tmp_path: Path, store: FeatureStore) -> None:
    features = choose(FeatureConfig(features="patches"), large_digits.images, "a", store).features
    cut = tmp_path / "cut.png"
    cut.write_bytes(large_digits.images.paths[0].read_bytes()[:90])
    with pytest.raises(UnreadableImageError, match=r"cut\.png cannot be read"):
        embed(features, images_of([cut]), store)


def test_arrays_restore_the_same_features(large_digits: Digits, store: FeatureStore) -> None:
    features = choose(FeatureConfig(features="patches"), large_digits.images, "a", store).features
    store.save_state("copy", features.arrays())
    copy = restore(store.load_state("copy") or {}, store)
    assert copy.id == features.id
    images = large_digits.part(0, 3)
    assert np.allclose(copy.encode(images), features.encode(images))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 weights file of the published shape, with random weights."""
    import torch
    from torchvision.models import resnet18

    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.manual_seed(0)
    torch.save(resnet18(weights=None).state_dict(), path)
    return path


@pytest.fixture
def site(published: Path) -> Iterator[str]:
    """A real web server with the weights."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            content = published.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_named_weights_are_used_and_travel_with_the_store(
    digits: Digits, published: Path, tmp_path: Path, store: FeatureStore
) -> None:
    moved = tmp_path / "mine.pth"
    moved.write_bytes(published.read_bytes())
    chosen = choose(FeatureConfig(weights=str(moved), resnet_side=32), digits.images, "a", store)
    assert chosen.sentence == f"ResNet-18 features (512) at 32 px; weights from {moved}"
    vectors = embed(chosen.features, digits.part(0, 3), store)
    assert vectors.shape == (3, 512)
    moved.unlink()
    elsewhere = restore(chosen.features.arrays(), store)
    assert np.allclose(elsewhere.encode(digits.part(0, 3)), vectors, atol=1e-5)


def test_weights_are_fetched_once_into_the_cache(
    large_digits: Digits, published: Path, site: str, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(published.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(weights, "URL", f"{site}/resnet18-{digest}.pth")
    monkeypatch.setattr(weights, "PUBLISHED", digest)
    chosen = choose(FeatureConfig(), large_digits.images, "a", store)
    assert chosen.sentence == "ResNet-18 features (512) at 128 px; torchvision's published weights"
    assert weights.cached().read_bytes() == published.read_bytes()


def test_wrong_download_is_refused_and_leaves_nothing(site: str, tmp_path: Path) -> None:
    target = tmp_path / "hub" / "weights.pth"
    with pytest.raises(WeightsError, match="wrong SHA-256"):
        weights.fetch(f"{site}/resnet18-00000000.pth", target)
    assert not list(target.parent.iterdir())


def test_damaged_cache_is_named(large_digits: Digits, store: FeatureStore) -> None:
    weights.cached().parent.mkdir(parents=True)
    weights.cached().write_bytes(b"half a file")
    with pytest.raises(WeightsError, match=r"is damaged .* delete it"):
        choose(FeatureConfig(features="resnet18"), large_digits.images, "a", store)


def test_no_network_is_one_sentence(large_digits: Digits, store: FeatureStore) -> None:
    with pytest.raises(WeightsError, match=r"could not be fetched from .* name a local file"):
        choose(FeatureConfig(features="resnet18"), large_digits.images, "a", store)
    with pytest.raises(WeightsError, match=r"'/no/such\.pth' are not a file"):
        choose(FeatureConfig(weights="/no/such.pth"), large_digits.images, "a", store)


def test_a_file_that_is_no_resnet_is_refused(tmp_path: Path, digits: Digits, store: FeatureStore) -> None:
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(b"no weights")
    features = choose(FeatureConfig(weights=str(wrong)), digits.images, "a", store).features
    with pytest.raises(WeightsError, match="unreadable"):
        embed(features, digits.part(0, 1), store)


def test_a_large_project_learns_from_a_part(
    large_digits: Digits, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "LEARN_FROM", 50)
    chosen = choose(FeatureConfig(features="patches"), large_digits.images, "a", store)
    assert "learned from 50 of" in chosen.sentence
    assert chosen.note is None
