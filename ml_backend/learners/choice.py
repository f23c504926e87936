"""Which features a project uses: decided once, remembered in the store, said in one sentence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from ml_backend.learners import patches, weights
from ml_backend.learners.contract import FeatureStore, Images
from ml_backend.learners.features import Backbone, Features, Patches, Pixels, count, restore, weights_state
from ml_backend.learners.pixels import Survey, one_blas_thread, read_all, survey
from plugins.contract import PluginConfig

TINY = 16  # px: up to here pixels are as good as anything learned from them
LARGEST = 32  # px: side that patch features see
LEARN_FROM = 4_000  # images
GROWN = 4  # times as many images as when the filters were learned


class FeatureConfig(PluginConfig):
    """Which features, and from where."""

    features: Literal["auto", "resnet18", "patches", "pixels"] = Field(
        "auto",
        description="What the model sees. auto: raw pixels if no image is larger than 16 px, else ResNet-18 if its "
        "weights can be had, else k-means patches learned from the project's own images.",
    )
    weights: str | None = Field(
        None,
        description="Path of a local file with torchvision's ResNet-18 weights; with it, auto means resnet18. "
        "Without it torch's cache and then the network are tried.",
    )
    resnet_side: int = Field(
        128,
        ge=32,
        le=448,
        multiple_of=32,
        description="Side in px that images are resized to for ResNet-18; larger sees more, at a cost in its square.",
    )
    relearn: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Raise by one to decide and learn the features anew from all images there are now (seconds to "
        "minutes; every embedding is computed again).",
    )


@dataclass(frozen=True)
class Chosen:
    """Features, why these (one clause), and a note for people if they have aged."""

    features: Features
    why: str
    note: str | None = None

    @property
    def sentence(self) -> str:
        return f"{self.features.title}; {self.why}"


def choose(config: FeatureConfig, images: Images, scope: str, store: FeatureStore) -> Chosen:
    """The project's features: as remembered for `scope`, else decided from its n > 0 images and remembered."""
    if config.features == "resnet18" or (config.features == "auto" and config.weights):
        return _resnet(config, scope, store)
    name = f"features-{scope}-{config.features}-{config.relearn}"
    kept = store.load_state(name)
    if kept is not None:
        features = restore(kept, store)
        return Chosen(features, str(kept["why"][0]), _aged(features, len(images)))
    if not len(images):
        raise ValueError("Features cannot be chosen without a single image; import some first.")
    chosen = _decide(config, images, scope, store)
    store.save_state(name, {**chosen.features.arrays(), "why": np.array([chosen.why])})
    return chosen


def _decide(config: FeatureConfig, images: Images, scope: str, store: FeatureStore) -> Chosen:
    sample = _sample(images)
    seen = survey(sample)
    if config.features == "pixels" or (config.features == "auto" and seen.largest <= TINY):
        why = "no image is larger than 16 px" if seen.largest <= TINY else f"chosen by setting, at most {LARGEST} px"
        return Chosen(_pixels(seen), why)
    if config.features == "patches":
        return Chosen(_patches(seen, sample, len(images)), "chosen by setting")
    try:
        return _resnet(config, scope, store)
    except weights.WeightsError:
        why = "ResNet-18 weights could not be fetched"
        return Chosen(_patches(seen, sample, len(images)), why)


def _sample(images: Images) -> Images:
    """At most LEARN_FROM different images, the same ones in whatever order they come."""
    _, first = np.unique(np.array(images.contents), return_index=True)
    return images.take(first[:LEARN_FROM])


def _pixels(seen: Survey) -> Pixels:
    shrink = min(1.0, LARGEST / seen.largest)
    height, width = max(1, round(seen.height * shrink)), max(1, round(seen.width * shrink))
    return Pixels(height, width, "RGB" if seen.colour else "L")


def _patches(seen: Survey, sample: Images, known: int) -> Patches:
    side, mode = min(LARGEST, max(seen.largest, 2)), "RGB" if seen.colour else "L"
    with one_blas_thread():
        filters = patches.learn(read_all(sample, (side, side), mode))  # type: ignore[arg-type]  # one of the two modes
    return Patches(side, mode, filters, len(sample), known)  # type: ignore[arg-type]


def _resnet(config: FeatureConfig, scope: str, store: FeatureStore) -> Chosen:
    """ResNet-18 with the named, cached or fetched weights, a copy of which the store keeps."""
    if config.weights:
        path, why = weights.named(config.weights), f"weights from {config.weights}"
    else:
        path, why = weights.cached(), "torchvision's published weights"
        if not path.is_file():
            path = weights.fetch()
    file = path.read_bytes()
    fingerprint = hashlib.sha256(file).hexdigest()[:16]
    if not config.weights and not fingerprint.startswith(weights.PUBLISHED):
        raise weights.WeightsError(
            f"{path} is damaged (SHA-256 {fingerprint[:8]}, not {weights.PUBLISHED}); delete it."
        )
    name = f"features-{scope}-resnet18"
    kept = store.load_state(name)
    if kept is None or str(kept["fingerprint"][0]) != fingerprint:
        store.save_state(weights_state(fingerprint), {"file": np.frombuffer(file, dtype=np.uint8)})
        store.save_state(name, {"fingerprint": np.array([fingerprint])})
    return Chosen(Backbone(config.resnet_side, fingerprint, path.read_bytes), why)


def _aged(features: Features, now: int) -> str | None:
    if not isinstance(features, Patches) or now < GROWN * features.known:
        return None
    return (
        f"The patch features were learned when the project had {count(features.known)} images; it has {count(now)} "
        "now. Raise the learner's `relearn` to learn them anew."
    )
