"""How SiamFC learns from boxes in video: pairs of pictures of one object (Bertinetto et al. 2016, Sec. 2.2).

    objects = objects_of(detections, source)        # people's boxes, joined into objects where nobody numbered them
    network = train(objects, steps=20_000)
    torch.save(network.state_dict(), "siamfc.pth")  # what the tracker's `weights` may name

Imports torch: import it late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn
from torch.nn import functional

from plugins.contract import FloatArray, IntArray
from plugins.processors import device
from plugins.video.clip import sorted_clip
from plugins.video.detections import Detections
from plugins.video.frame_source import FrameReader, FrameSource, Image
from plugins.video.linking import link
from plugins.video.motion import linear
from plugins.video.siamfc_following import pixels
from plugins.video.siamfc_network import EXEMPLAR, PUBLISHED, SEARCH, SIDE, STRIDE, Network
from plugins.video.siamfc_search import context_side, cropped, labels, mean_colour

RADIUS = 16 / STRIDE  # places of the response around the object that count as the object
SHIFT = 48  # px of the search picture by which the object stands off its middle, at most
STRETCH = 1.05  # times by which the search picture is larger or smaller, at most
DECAY = 5e-4
FRAMES = 256  # pictures in memory
Observer = Callable[[int, float], None]


@dataclass(frozen=True)
class ObjectInVideo:
    """One object: (n,) the numbers of two or more frames, ascending, and (n, 4) its box in each, in px."""

    reader: FrameReader
    number: IntArray
    box: FloatArray

    def __post_init__(self) -> None:
        if len(self.number) < 2 or self.box.shape != (len(self.number), 4):
            raise ValueError(
                f"An object has {len(self.number)} frames and boxes of shape {self.box.shape}; "
                "give two frames or more and a box for each."
            )


def objects_of(
    detections: Detections, source: FrameSource, identity: IntArray | None = None, k: int = 3
) -> list[ObjectInVideo]:
    """Objects seen in two frames or more.

    identity: (K,) number of the object that a box shows; if None, boxes of a class are one object where they overlap
    within k frames by IoU > 0.5, moved linearly.
    """
    clip = sorted_clip(detections, k)
    if identity is None:
        links = link(clip, linear(clip), 0.5, same_class=True)
        pairs = coo_array((np.ones(len(links.earlier)), (links.earlier, links.later)), shape=(len(clip), len(clip)))
        which: IntArray = connected_components(pairs, directed=False)[1]
    else:
        which = np.asarray(identity)[clip.box_rows]
    video = np.unique(clip.video, return_inverse=True)[1][clip.frame]
    _, groups = np.unique(np.stack([video, which]), axis=1, return_inverse=True)
    order = np.lexsort((clip.frame, groups))
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        _, first = np.unique(clip.frame[rows], return_index=True)  # of two boxes in a frame, one
        rows = rows[first]
        if len(rows) > 1:
            reader = source[clip.video[clip.frame[rows[0]]]]
            found.append(ObjectInVideo(reader, clip.number[clip.frame[rows]], clip.box[rows]))
    return found


class Pairs:
    """Draws pairs of pictures: an object, and where it is in another frame nearby."""

    def __init__(self, objects: Sequence[ObjectInVideo], gap: int, rng: np.random.Generator) -> None:
        if not objects:
            raise ValueError("There is no object in two frames to learn from; label boxes in consecutive frames.")
        self._objects, self._gap, self._rng = objects, gap, rng
        self._read = lru_cache(FRAMES)(lambda one, number: objects[one].reader.read(number))

    def draw(self) -> tuple[Image, Image, NDArray[np.float32]]:
        """(127, 127, 3) object, (255, 255, 3) its surroundings in a frame at most `gap` frames on, (17, 17) labels."""
        one = int(self._rng.integers(len(self._objects)))
        number, box = self._objects[one].number, self._objects[one].box
        here = int(self._rng.integers(len(number)))
        near = np.flatnonzero(np.abs(number - number[here]) <= self._gap)
        there = int(self._rng.choice(near))
        stretch = STRETCH ** self._rng.uniform(-1, 1)
        shift = self._rng.uniform(-SHIFT, SHIFT, 2)
        exemplar = self._picture(one, int(number[here]), box[here], EXEMPLAR, np.zeros(2), 1.0)
        search = self._picture(one, int(number[there]), box[there], SEARCH, shift, stretch)
        if self._rng.random() < 0.5:
            exemplar, search, shift = exemplar[:, ::-1], search[:, ::-1], shift * [-1, 1]
        return exemplar, search, labels(SIDE, shift / STRIDE, RADIUS)

    def _picture(self, one: int, number: int, box: FloatArray, out: int, shift: FloatArray, stretch: float) -> Image:
        """The object `shift` px of the picture off its middle."""
        image = self._read(one, number)
        side = float(context_side((box[2:] - box[:2])[None])[0]) * stretch * out / EXEMPLAR
        centre = (box[:2] + box[2:]) / 2 - shift * side / out
        return cropped(image, centre, side, out, mean_colour(image))

    def batch(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """(n, 3, 127, 127), (n, 1, 3, 255, 255) and (n, 1, 17, 17)."""
        drawn = [self.draw() for _ in range(size)]
        exemplars, searches, wanted = (np.stack(part) for part in zip(*drawn, strict=True))
        return pixels(exemplars), pixels(searches)[:, None], torch.from_numpy(wanted)[:, None]


def balanced_loss(responses: Tensor, wanted: Tensor) -> Tensor:
    """Mean of log(1 + exp(-y v)) with y = 1 at the object and -1 elsewhere (Eq. 3), either side weighing half."""
    loss = functional.binary_cross_entropy_with_logits(responses, wanted, reduction="none")
    near, far = wanted > 0, wanted == 0
    return (loss[near].mean() + loss[far].mean()) / 2


def train(
    objects: Sequence[ObjectInVideo],
    *,
    steps: int,
    batch: int = 8,
    gap: int = 10,
    rate: float = 1e-3,
    channels: tuple[int, ...] = PUBLISHED,
    start: Network | None = None,
    seed: int = 0,
    observe: Observer | None = None,
) -> Network:
    """A network that finds an object again.

    gap: frame numbers between both pictures of a pair, at most. rate: of the first step, falling 100 times. channels:
    fewer cost less. start: a network that learns on instead. observe: told step and loss.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        network = start or _initial(Network(channels, bias=True))
        network.train().to(device())
        pairs = Pairs(objects, gap, np.random.default_rng(seed))
        learning = torch.optim.AdamW(network.parameters(), rate, weight_decay=DECAY)
        falling = torch.optim.lr_scheduler.ExponentialLR(learning, 1e-2 ** (1 / max(steps, 1)))
        for step in range(steps):
            exemplars, searches, wanted = (part.to(device()) for part in pairs.batch(batch))
            loss = balanced_loss(network(network.backbone(exemplars), searches), wanted)
            learning.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            learning.step()
            falling.step()
            if observe is not None:
                observe(step, float(loss.detach()))
    return network.eval()


def _initial(network: Network) -> Network:
    """Convolutions as He et al. 2015 start them."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
