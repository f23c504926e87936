"""SiamFC: a network compares the object's picture with the surroundings of its last place (Bertinetto et al. 2016).

It sees what the box holds, so that the box may change its size, and it asks nothing of the detections around. It costs
thousands of times what motion costs: a network looks at a picture for every box, frame and size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, field_validator

from plugins.contract import FloatArray, IntArray, PluginConfig
from plugins.video.box_tracker import BoxTracker, Read
from plugins.video.clip import Clip

if TYPE_CHECKING:
    from plugins.video.siamfc_network import Network


class SiamFCConfig(PluginConfig):
    """Which network, and how its responses are read."""

    weights: str | None = Field(
        None,
        description="File of a checkpoint: the published layout, or what `train` saved; without one nothing can be "
        "tracked.",
    )
    batch: int = Field(16, ge=1, le=1024, description="Boxes that are looked for at once; more need more memory.")
    scales: int = Field(
        3,
        ge=1,
        le=9,
        description="Sizes that are tried in each frame (odd, no unit); 1 keeps the box's size and costs a third of 3.",
    )
    scale_step: float = Field(
        1.0375, gt=1, lt=2, description="Times by which a box may grow or shrink from a frame to the next (no unit)."
    )
    scale_penalty: float = Field(
        0.9745, gt=0, le=1, description="What a change of size is multiplied by (no unit); lower keeps sizes longer."
    )
    scale_rate: float = Field(
        0.59, ge=0, le=1, description="Share of a change of size that is believed; lower is steadier."
    )
    window: float = Field(
        0.176, ge=0, le=1, description="Share of the cosine window in the response; higher keeps boxes nearer."
    )

    @field_validator("scales")
    @classmethod
    def _has_a_middle(cls, scales: int) -> int:
        if scales % 2 == 0:
            raise ValueError("give an odd number, since the middle one is the size as it was")
        return scales


class SiamFC(BoxTracker[SiamFCConfig]):
    """boxes: where the correlation of the object's features with those of the next frame is highest.

    Search pictures of several sizes; the response enlarged 16 times and mixed with a cosine window; boxes of several
    frames and both directions in one batch. The object's picture is that of its own frame throughout.
    """

    name, title = "siamfc", "SiamFC"
    summary = (
        "Looks for what each box holds in the frames around, with a trained network; slow, and needs a checkpoint."
    )
    reference = "Bertinetto et al. 2016, arXiv 1606.09549; thesis ch. 2"
    needs = frozenset()

    def __init__(self, config: SiamFCConfig | None = None) -> None:
        super().__init__(config)
        self._loaded: tuple[Network, str] | None = None

    @property
    def _network(self) -> tuple[Network, str]:
        if self._loaded is None:
            if self.config.weights is None:
                raise ValueError("Tracker 'siamfc' has no `weights`; give the file of a checkpoint, or use 'linear'.")
            from plugins.processors import device
            from plugins.video.siamfc_network import load

            network, name = load(self.config.weights)
            self._loaded = network.to(device()), name
        return self._loaded

    @property
    def key(self) -> str:
        made = self.config.model_dump(exclude={"weights", "batch"})
        return f"siamfc {self._network[1]} {made}"

    def follow(self, clip: Clip, rows: IntArray, read: Read) -> FloatArray:
        from plugins.video.siamfc_following import Following  # torch

        found = np.full((len(rows), 2 * clip.k, 4), np.nan)
        for first in range(0, len(rows), self.config.batch):
            part = slice(first, first + self.config.batch)
            found[part] = Following(self._network[0], self.config, clip, rows[part], read).boxes()
        return found
