"""Dense optical flow of a video, computed once and kept for all detectors and cycles (thesis ch. 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray, IntArray

HEIGHT = 300  # px to which higher frames are shrunk before their flow is computed
GRID = 4  # of these px between two kept vectors: 60 KB a frame at 300 x 400 instead of 1 MB
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class FlowFields:
    """Flow between consecutive frames of one video.

    numbers: (T,) frame numbers, ascending. forward, backward: (T - 1, h, w, 2) float16 motion in px of the shrunk image
    from frame t to t + 1 and back, on a grid. spacing: (2,) px of the video between two vectors, in x and y. scale: px
    of the shrunk image per px of the video. last: the newest frame, shrunk and grey, from which later ones go on.
    """

    numbers: IntArray
    forward: NDArray[np.float16]
    backward: NDArray[np.float16]
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

        places: (n,) positions in `numbers`. Between four vectors it is interpolated, beyond the edge the nearest
        counts.
        """
        field, index = (self.forward, places) if forward else (self.backward, places - 1)
        height, width = field.shape[1:3]
        x = np.clip(centres[:, 0] / self.spacing[0] - 0.5, 0, width - 1)
        y = np.clip(centres[:, 1] / self.spacing[1] - 0.5, 0, height - 1)
        left, top = x.astype(np.int64), y.astype(np.int64)
        right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
        a, b = (x - left)[:, None], (y - top)[:, None]
        upper = (1 - a) * field[index, top, left] + a * field[index, top, right]
        lower = (1 - a) * field[index, low, left] + a * field[index, low, right]
        return np.asarray(((1 - b) * upper + b * lower) / self.scale)


def compute_flow(images: Iterable[tuple[int, Image]], known: FlowFields | None = None, preset: int = 1) -> FlowFields:
    """DIS flow (Kroeger et al. 2016) between consecutive images of one video, in both directions.

    images: (frame number, (H, W) or (H, W, 3) uint8), ascending, all of one size; read one at a time. known: fields of
    the frames before, which are then extended. preset: 0 fastest to 2 most exact.
    """
    import cv2  # loaded where pixels are read

    method, empty = cv2.DISOpticalFlow.create(preset), np.empty(0, dtype=np.float32)  # it makes its own result
    numbers = [] if known is None else known.numbers.tolist()
    last = None if known is None else known.last
    scale = 1.0 if known is None else known.scale
    size = np.zeros(2)
    there: list[NDArray[np.float16]] = []
    back: list[NDArray[np.float16]] = []
    for number, image in images:
        if numbers and number <= numbers[-1]:
            raise ValueError(
                f"Frame {number} came after frame {numbers[-1]}; give the frames of a video in ascending order."
            )
        size = np.array(image.shape[1::-1], dtype=np.float64)
        grey, scale = _shrunk(image)
        if last is not None:
            if grey.shape != last.shape:
                raise ValueError(
                    f"Frame {number} is {grey.shape} px where the others are {last.shape}; give frames of one size."
                )
            there.append(_on_grid(method.calc(last, grey, empty)))
            back.append(_on_grid(method.calc(grey, last, empty)))
        numbers.append(number)
        last = grey
    if last is None:
        raise ValueError("There is no frame to compute flow from; give one or more.")
    shape = _on_grid(np.zeros((*last.shape, 2), dtype=np.float32)).shape
    forward, backward = (np.array(fields, dtype=np.float16).reshape(-1, *shape) for fields in (there, back))
    if known is not None:
        forward = np.concatenate([known.forward, forward])
        backward = np.concatenate([known.backward, backward])
    spacing = size / np.array(shape[1::-1]) if size.any() or known is None else known.spacing
    return FlowFields(np.array(numbers, dtype=np.int64), forward, backward, spacing, scale, last)


def _shrunk(image: Image) -> tuple[Image, float]:
    """The image in grey, at most HEIGHT px high, and its scale."""
    import cv2

    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    scale = min(1.0, HEIGHT / grey.shape[0])
    if scale < 1:
        width = max(1, round(grey.shape[1] * scale))
        grey = cv2.resize(grey, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(grey, dtype=np.uint8), scale


def _on_grid(flow: Any) -> NDArray[np.float16]:
    """The mean vector of each square of GRID px."""
    import cv2

    height, width = (max(1, side // GRID) for side in flow.shape[:2])
    return np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float16)
