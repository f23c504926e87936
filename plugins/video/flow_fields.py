"""Dense optical flow of a video, computed once and kept for all detectors and cycles (thesis ch. 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray
from plugins.video.frame_source import Image

HEIGHT = 300  # px to which higher frames are shrunk before their flow is computed
GRID = 4  # of these px between two kept vectors: 30 KB a frame at 300 x 400 instead of 1 MB
INVERSIONS = 4  # steps to the motion back, each of which leaves as much of the error as the motion changes over a px


@dataclass(frozen=True)
class FlowFields:
    """Flow between consecutive frames of one video.

    numbers: (T,) frame numbers, ascending. motion: (T - 1, h, w, 2) float16, in px of the shrunk image from frame t to
    t + 1, on a grid. spacing: (2,) px of the video between two vectors, in x and y. scale: px of the shrunk image per
    px of the video. last: the newest frame, shrunk and grey, from which later ones go on.
    """

    numbers: IntArray
    motion: NDArray[np.float16]
    spacing: FloatArray
    scale: float
    last: Image

    def save(self, path: Path) -> None:
        """As one .npz file."""
        np.savez(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: Path) -> FlowFields:
        with np.load(path) as kept:
            columns: dict[str, Any] = {name: kept[name] for name in cls.__dataclass_fields__}
        return cls(**columns | {"scale": float(columns["scale"])})

    def at(self, places: IntArray, centres: FloatArray, forward: bool) -> FloatArray:
        """(n, 2) motion in px of the video at (n, 2) centres x, y: from frame place to the next, or to the one before.

        places: (n,) positions in `numbers`. Back is the inverse of the flow to this frame: the fixed point of
        v = -motion(centre + v) (Chen et al. 2008, "A simple fixed-point approach to invert a deformation field").
        """
        if forward:
            return self._sampled(places, centres)
        back: FloatArray = np.zeros(centres.shape)
        for _ in range(INVERSIONS):
            back = -self._sampled(places - 1, centres + back)
        return back

    def _sampled(self, index: IntArray, centres: FloatArray) -> FloatArray:
        """(n, 2) motion of steps `index`, interpolated between four vectors; beyond the edge the nearest counts."""
        height, width = self.motion.shape[1:3]
        x = np.clip(centres[:, 0] / self.spacing[0] - 0.5, 0, width - 1)
        y = np.clip(centres[:, 1] / self.spacing[1] - 0.5, 0, height - 1)
        left, top = x.astype(np.int64), y.astype(np.int64)
        right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
        a, b = (x - left)[:, None], (y - top)[:, None]
        upper = (1 - a) * self.motion[index, top, left] + a * self.motion[index, top, right]
        lower = (1 - a) * self.motion[index, low, left] + a * self.motion[index, low, right]
        return np.asarray(((1 - b) * upper + b * lower) / self.scale)


class FlowMethod(Protocol):
    """How flow between two images is computed. key: names the method and all that its answer depends on. height: px to
    which it shrinks higher images."""

    @property
    def key(self) -> str: ...

    @property
    def height(self) -> int: ...

    def prepared(self, image: Image) -> Image:
        """The image as the method wants it, shrunk."""

    def between(self, a: Image, b: Image) -> FloatArray:
        """(h, w, 2) motion from a to b, in px of the prepared images."""


class DIS:
    """Dense inverse search (Kroeger et al. 2016) on grey images. preset: 0 fastest to 2 most exact."""

    def __init__(self, height: int = HEIGHT, preset: int = 0) -> None:
        import cv2  # loaded where pixels are read

        self.key = f"dis forward height={height} preset={preset} grid={GRID}"
        self.height, self._method = height, cv2.DISOpticalFlow.create(preset)

    def prepared(self, image: Image) -> Image:
        import cv2

        grey = image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        return shrunk(grey, self.height)

    def between(self, a: Image, b: Image) -> FloatArray:
        return np.asarray(self._method.calc(a, b, np.empty(0, dtype=np.float32)))  # it makes its own result


def compute_flow(
    images: Iterable[tuple[int, Image]],
    known: FlowFields | None = None,
    preset: int = 0,
    method: FlowMethod | None = None,
) -> FlowFields:
    """Flow between consecutive images of one video; DIS with `preset` if no method is given.

    images: (frame number, (H, W) or (H, W, 3) uint8), ascending, all of one size; read one at a time. known: fields of
    the frames before, which are then extended.
    """
    method = method or DIS(preset=preset)
    numbers = [] if known is None else known.numbers.tolist()
    last = None if known is None else known.last
    scale = 1.0 if known is None else known.scale
    size = np.zeros(2)
    steps: list[NDArray[np.float16]] = []
    for number, image in images:
        if numbers and number <= numbers[-1]:
            raise ValueError(
                f"Frame {number} came after frame {numbers[-1]}; give the frames of a video in ascending order."
            )
        size = np.array(image.shape[1::-1], dtype=np.float64)
        now = method.prepared(image)
        scale = now.shape[0] / image.shape[0]
        if last is not None:
            steps.append(step_of(method, last, now, number))
        numbers.append(number)
        last = now
    if last is None:
        raise ValueError("There is no frame to compute flow from; give one or more.")
    shape = grid_of(last)
    motion = np.array(steps, dtype=np.float16).reshape(-1, *shape, 2)
    if known is not None:
        motion = np.concatenate([known.motion, motion])
    spacing = size / np.array(shape[::-1]) if size.any() or known is None else known.spacing
    return FlowFields(np.array(numbers, dtype=np.int64), motion, spacing, scale, last)


def step_of(method: FlowMethod, a: Image, b: Image, number: int) -> NDArray[np.float16]:
    """(h, w, 2) flow from a to b on the grid; number: of b, for the error."""
    if a.shape != b.shape:
        raise ValueError(f"Frame {number} is {b.shape} px where the others are {a.shape}; give frames of one size.")
    return _on_grid(method.between(a, b))


def grid_of(prepared: Image) -> tuple[int, int]:
    """Rows and columns of kept vectors."""
    height, width = prepared.shape[:2]
    return max(1, height // GRID), max(1, width // GRID)


def shrunk(image: Image, height: int) -> Image:
    """The image at most so many px high, its sides in proportion."""
    import cv2

    scale = min(1.0, height / image.shape[0])
    if scale < 1:
        width = max(1, round(image.shape[1] * scale))
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.ascontiguousarray(image, dtype=np.uint8)


def _on_grid(flow: Any) -> NDArray[np.float16]:
    """The mean vector of each square of GRID px."""
    import cv2

    height, width = grid_of(flow)
    return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float16)
