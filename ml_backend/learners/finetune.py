"""Fine-tune: a whole ResNet-18 trained on the labels, from scratch or from published weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.special
from numpy.typing import NDArray
from pydantic import Field

from ml_backend.learners import weights
from ml_backend.learners.choice import FeatureConfig, choose
from ml_backend.learners.contract import Accuracy, FeatureStore, Fit, Images, Learner, Observer
from ml_backend.learners.features import embed
from ml_backend.learners.labels import checked_labels, held_out_part
from ml_backend.learners.pixels import survey
from plugins.contract import FloatArray, IntArray

if TYPE_CHECKING:
    from torch import nn

PREFIX = "network."


class FineTuneConfig(FeatureConfig):
    """The schedule of thesis ch. 3; `features` only serve the batches before the first training."""

    epochs: int = Field(
        100, ge=1, le=10_000, description="Passes over the labels; the rate falls to a fifth at 60 % and 80 % of them."
    )
    batch: int = Field(128, ge=2, le=4096, description="Images per step; more needs more memory.")
    rate: float = Field(0.02, gt=0, le=10, description="Learning rate at the start, per step.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Share of the last step that is kept.")
    decay: float = Field(5e-4, ge=0, le=1, description="Weight decay; more keeps weights smaller.")
    crop: int = Field(4, ge=0, le=64, description="Largest random shift of a training image, in px; 0 switches it off.")
    flip: bool = Field(
        True,
        description="Mirrors half of the training images; switch it off where left and right differ (text, digits).",
    )
    side: int | None = Field(
        None,
        ge=8,
        le=1024,
        description="Side in px that images are resized to; by default their own up to 64 px, else 128.",
    )
    held_out: float = Field(
        0.15, ge=0, le=0.5, description="Share of the labels that accuracy is measured on and training does not see."
    )


class FineTune(Learner[FineTuneConfig]):
    """SGD on all weights; the observer hears every epoch; on the GPU in bfloat16 if there is one."""

    name, title = "finetune", "Whole ResNet-18"
    summary = "Trains every layer: slower, and better than a frozen backbone once there are a few thousand labels."
    reference = "He et al. 2016; thesis ch. 3, setup"
    provides = frozenset({"probabilities", "embeddings", "label_history", "labeled_embeddings"})

    def embed(self, images: Images, store: FeatureStore) -> tuple[NDArray[np.float32], str]:
        """See Learner.embed: the label-free features that the frozen learner would use, for the first batches."""
        chosen = choose(self.config, images, self.scope, store)
        return embed(chosen.features, images, store), chosen.sentence

    def fit(
        self,
        labeled: Images,
        labels: IntArray,
        pool: Images,
        classes: tuple[str, ...],
        *,
        store: FeatureStore,  # noqa: ARG002  # a network that changes every cycle has nothing to keep
        seed: int,
        observer: Observer | None = None,
    ) -> Fit:
        """See Learner.fit."""
        from ml_backend.learners import network

        labels = checked_labels(labels, labeled, classes)
        order = np.lexsort((labels, np.array(labeled.contents)))  # training does not depend on who labeled first
        out = held_out_part(labels[order], self.config.held_out, seed)
        within = np.setdiff1d(np.arange(len(labels)), out)
        side = self.config.side or _side(labeled)
        known, rest = network.Pictures(labeled.take(order), side), network.Pictures(pool, side)
        training = network.Pictures(labeled.take(order[within]), side)

        with network.seeded(seed):
            model, origin = self._start(len(classes), side)

            def after_epoch(epoch: int) -> None:
                if observer is not None:
                    observer(epoch, network.infer(model, rest)[0].argmax(axis=1))

            loss = network.train(model, training, labels[order][within], self._schedule(), seed, after_epoch)
        logits, embeddings = network.infer(model, rest)
        known_logits, known_embeddings = network.infer(model, known)
        hits = known_logits.argmax(axis=1) == labels[order]
        back = np.argsort(order)
        arrays = {PREFIX + name: array for name, array in network.to_arrays(model).items()}
        return Fit(
            probabilities=_softmax(logits),
            embeddings=embeddings,
            labeled_embeddings=known_embeddings[back],
            model={**arrays, "shape": np.array([len(classes), side])},
            features=f"a ResNet-18 at {side} px, every layer trained on {len(within)} labels, {origin}",
            accuracy=Accuracy.from_hits(int(hits[out].sum()), len(out)) if len(out) else None,
            metrics={
                "loss": loss,
                "training_accuracy": float(hits[within].mean()),
                "epochs": float(self.config.epochs),
            },
            notes=() if len(out) else ("Accuracy is unknown: no label could be held out.",),
        )

    def predict(self, model: dict[str, NDArray[Any]], images: Images, store: FeatureStore) -> FloatArray:  # noqa: ARG002  # see fit
        """See Learner.predict."""
        from ml_backend.learners import network

        classes, side = (int(number) for number in model["shape"])
        arrays = {name.removeprefix(PREFIX): array for name, array in model.items() if name.startswith(PREFIX)}
        restored = network.from_arrays(arrays, classes, side)
        return _softmax(network.infer(restored, network.Pictures(images, side))[0])

    def _start(self, classes: int, side: int) -> tuple[nn.Module, str]:
        from ml_backend.learners import backbone, network

        model = network.build(classes, side)
        if self.config.weights is None:
            return model, "from scratch"
        network.start_from(model, backbone.load(weights.named(self.config.weights).read_bytes()))
        return model, f"from the weights in {self.config.weights}"

    def _schedule(self) -> Any:
        from ml_backend.learners.network import Schedule

        config = self.config
        return Schedule(
            config.epochs, config.batch, config.rate, config.momentum, config.decay, config.crop, config.flip
        )


def _side(images: Images) -> int:
    """The largest side of the images up to 64 px (at least 8), else 128 px."""
    largest = survey(images).largest
    return 128 if largest > 64 else max(8, largest)


def _softmax(logits: NDArray[np.float32]) -> FloatArray:
    return np.asarray(scipy.special.softmax(logits.astype(np.float64), axis=1))
