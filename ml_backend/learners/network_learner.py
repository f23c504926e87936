"""What the learners that train a network share: settings, training, evidence and prediction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import scipy.special
from numpy.typing import NDArray
from pydantic import Field

from ml_backend.learners import dropout
from ml_backend.learners.choice import FeatureConfig, choose
from ml_backend.learners.contract import Accuracy, FeatureStore, Fit, Images, Learner, Observer
from ml_backend.learners.features import embed
from ml_backend.learners.labels import checked_labels, held_out_part
from ml_backend.learners.pixels import Mode
from plugins.contract import FloatArray, IntArray

if TYPE_CHECKING:
    from ml_backend.learners.network import Network
    from ml_backend.learners.pictures import Pictures

PREFIX = "network."
COMPILE_FROM = 5_000  # steps: below, about a minute of compiling costs more than it saves


class NetworkConfig(FeatureConfig):
    """Settings of every network; the learners set their own defaults."""

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
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the features that a training step leaves out; scorers that read dropout passes (BALD) "
        "need it above 0. More follows single labels less and learns slower.",
    )
    passes: int = Field(
        20,
        ge=2,
        le=1000,
        description="Dropout passes over the pool, where a scorer asks for them; more is steadier, at a cost in "
        "proportion.",
    )
    side: int | None = Field(None, ge=8, le=1024, description="Side in px that images are resized to.")
    held_out: float = Field(
        0.15, ge=0, le=0.5, description="Share of the labels that accuracy is measured on and training does not see."
    )
    compile: bool = Field(
        True,
        description="On a GPU, compiles the network before a training of 5 000 steps or more: a minute first, then "
        "faster steps. Never on a CPU.",
    )


NetworkConfigT = TypeVar("NetworkConfigT", bound=NetworkConfig)


class NetworkLearner(Learner[NetworkConfigT]):
    """Gradient steps on all weights; the observer hears every epoch; on the GPU in bfloat16 if there is one."""

    provides = frozenset({"probabilities", "embeddings", "label_history", "labeled_embeddings"}) | dropout.PASSES
    what: ClassVar[str]  # the network, for people
    adaptive: ClassVar[bool] = False  # AdamW instead of SGD with momentum

    @abstractmethod
    def look(self, images: Images) -> tuple[int, Mode]:
        """The side in px and the mode in which the network sees such images."""

    @abstractmethod
    def build(self, classes: int, side: int, mode: Mode) -> Network:
        """A network with random weights."""

    def start(self, network: Network, pictures: Pictures) -> str:  # noqa: ARG002  # for learners that start elsewhere
        """Prepares a new network for its labeled pictures; says where its weights come from."""
        return "from scratch"

    def batch(self, n: int) -> int:  # noqa: ARG002  # for learners whose batch depends on it
        """Images per step in a training on n labels."""
        return self.config.batch

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
        wanted: Collection[str] = (),
    ) -> Fit:
        """See Learner.fit; without an observer the pool is predicted once, at the end."""
        from ml_backend.learners import network as net
        from ml_backend.learners.pictures import Pictures
        from ml_backend.learners.training import train

        labels = checked_labels(labels, labeled, classes)
        passes = self._passes(wanted)
        order = np.lexsort((labels, np.array(labeled.contents)))  # training does not depend on who labeled first
        labels = labels[order]
        out = held_out_part(labels, self.config.held_out, seed)
        within = np.setdiff1d(np.arange(len(labels)), out)
        side, mode = self.look(labeled)
        known, rest = Pictures(labeled.take(order), side, mode), Pictures(pool, side, mode)

        def after_epoch(epoch: int) -> None:
            if observer is not None:
                observer(epoch, net.labels(network, rest))

        with net.seeded(seed):
            network = self.build(len(classes), side, mode)
            origin = self.start(network, known)
            loss = train(network, known, labels, within, self._schedule(len(within)), seed, after_epoch)
        logits, embeddings = net.infer(network, rest)
        known_logits, known_embeddings = net.infer(network, known)
        hits = known_logits.argmax(axis=1) == labels
        drawn = dropout.masks(passes, network.widths, self.config.dropout, seed) if passes else []
        return Fit(
            probabilities=_softmax(logits),
            embeddings=embeddings,
            labeled_embeddings=known_embeddings[np.argsort(order)],
            model={
                **{PREFIX + name: array for name, array in net.to_arrays(network).items()},
                "shape": np.array([len(classes), side]),
                "mode": np.array([mode]),
            },
            features=f"{self.what} at {side} px, every layer trained on {len(within)} labels, {origin}",
            accuracy=Accuracy.from_hits(int(hits[out].sum()), len(out)) if len(out) else None,
            metrics={
                "loss": loss,
                "training_accuracy": float(hits[within].mean()),
                "epochs": float(self.config.epochs),
            },
            notes=self._notes(wanted, bool(len(out))),
            columns=net.expected(network, rest, drawn) if passes else {},
        )

    def predict(self, model: dict[str, NDArray[Any]], images: Images, store: FeatureStore) -> FloatArray:  # noqa: ARG002  # see fit
        """See Learner.predict."""
        from ml_backend.learners import network as net
        from ml_backend.learners.pictures import Pictures

        if "mode" not in model:
            raise ValueError(f"The stored model is none of this version's learner '{self.name}'; train once more.")
        classes, side = (int(number) for number in model["shape"])
        mode: Mode = "RGB" if str(model["mode"][0]) == "RGB" else "L"
        network = self.build(classes, side, mode)
        net.load_arrays(network, {k.removeprefix(PREFIX): v for k, v in model.items() if k.startswith(PREFIX)})
        return _softmax(net.infer(network, Pictures(images, side, mode))[0])

    def _passes(self, wanted: Collection[str]) -> int:
        """How many dropout passes are asked for and can be made."""
        return self.config.passes if dropout.asked_for(wanted) and self.config.dropout else 0

    def _notes(self, wanted: Collection[str], measured: bool) -> tuple[str, ...]:
        notes = [] if measured else ["Accuracy is unknown: no label could be held out."]
        if dropout.asked_for(wanted) and not self.config.dropout:
            notes.append(
                f"Dropout passes were asked for, and the learner '{self.name}' has dropout 0: scorers that read them "
                "sit out. Set its `dropout` above 0 (0.5, say), or take them out of the plan."
            )
        return tuple(notes)

    def _schedule(self, n: int) -> Any:
        from ml_backend.learners.pictures import Augmentation
        from ml_backend.learners.training import Schedule

        config = self.config
        return Schedule(
            config.epochs,
            self.batch(n),
            config.rate,
            config.momentum,
            config.decay,
            Augmentation(config.crop, config.flip),
            adaptive=self.adaptive,
            compile_from=COMPILE_FROM if config.compile else None,
        )


def _softmax(logits: NDArray[np.float32]) -> FloatArray:
    return np.asarray(scipy.special.softmax(logits.astype(np.float64), axis=1))
