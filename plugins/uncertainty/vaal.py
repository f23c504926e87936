"""VAAL: ask about the items that a discriminator tells apart from everything labeled."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from plugins.contract import PluginConfig, PluginError, Scorer, Scores
from plugins.evidence import Array, Evidence


class VAALConfig(PluginConfig):
    """The autoencoder, the discriminator and how long they play."""

    steps: int = Field(
        400,
        ge=1,
        le=1_000_000,
        description="Alternating training steps, about 50 ms each on one processor core; fewer leave the discriminator "
        "near 50 % for everything, more let it find small differences.",
    )
    judgements: int = Field(
        3,
        ge=1,
        le=100,
        description="Discriminator's updates per step of the autoencoder; with 1 the fooling wins in short trainings, "
        "and the order is no better than random.",
    )
    batch: int = Field(
        64,
        ge=1,
        le=4_096,
        description="Labeled pictures per step, and as many unlabeled ones; more is steadier and costs time in "
        "proportion.",
    )
    latent: int = Field(
        32,
        ge=1,
        le=1_024,
        description="Numbers that stand for one picture; more keeps finer detail for the discriminator to find.",
    )
    beta: float = Field(
        1.0,
        ge=0,
        le=1_000,
        description="Weight of the distance to the normal prior, both in nats; more smooths and blurs.",
    )
    adversary: float = Field(
        1.0,
        ge=0,
        le=1_000,
        description="Weight of fooling the discriminator, both in nats; more hides from it what labeled and unlabeled "
        "pictures have in common.",
    )
    rate: float = Field(
        1e-3,
        gt=0,
        le=1,
        description="Adam's learning rate, per step; more learns faster and may never settle.",
    )


class VAAL(Scorer[VAALConfig]):
    """values: the discriminator's certainty that an item is unlabeled, 1 - D; all 1 while nothing is labeled."""

    name, title = "vaal", "VAAL"
    summary = "Items that look least like anything labeled come first; trains a small autoencoder on the pictures."
    reference = "Sinha, Ebrahimi & Darrell 2019, Eq. 1-4; thesis Eq. 4.9"
    needs = frozenset({"images", "labeled_images"})

    def score(self, evidence: Evidence) -> Scores:
        pool, labeled = evidence.images, evidence.labeled_images
        _check(pool, labeled)
        if not len(labeled):
            note = "VAAL needs a labeled picture; until then all items are equal."
            return Scores(np.ones(len(pool)), reason=lambda _: "no picture is labeled yet", notes=(note,))
        values = np.empty(len(pool))
        if len(pool):
            from plugins.uncertainty.vaal_networks import Pictures, unlabeled_certainty  # torch takes seconds

            by_id = np.argsort(evidence.task_id, kind="stable")
            by_content = np.argsort(_keys(labeled), kind="stable")
            known, rest = Pictures(labeled, by_content), Pictures(pool, by_id)
            values[by_id] = unlabeled_certainty(rest, known, self.config, evidence.seed)

        def reason(item: int) -> str:
            return f"the discriminator is {100 * values[item]:.0f} % sure that it is unlike the labeled pictures"

        return Scores(values, reason=reason)


def _keys(images: Array) -> Array:
    """(n,) keys of (n, H, W, channels) uint8 pictures, n > 0, by which they can be sorted."""
    rows = np.ascontiguousarray(images).reshape(len(images), -1)
    return rows.view(np.dtype((np.void, rows.shape[1]))).ravel()


def _check(pool: Array, labeled: Array) -> None:
    """PluginError unless both are pictures of the same kind."""
    for what, images in (("pictures", pool), ("labeled pictures", labeled)):
        if images.ndim != 4 or images.dtype != np.uint8 or 0 in images.shape[1:]:
            raise PluginError(
                f"Scorer 'vaal' got {what} of shape {images.shape} and type {images.dtype}; give (n, H, W, channels) "
                "uint8."
            )
    if pool.shape[3] != labeled.shape[3]:
        raise PluginError(
            f"Scorer 'vaal' got pictures of {pool.shape[3]} channels and labeled ones of {labeled.shape[3]}; "
            "let one learner make both."
        )
