"""What SiamFC looks at and what it concludes: pictures around a box, and the peak of the responses (no network)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from plugins.contract import FloatArray
from plugins.video.frame_source import Image

CONTEXT = 0.5  # of width plus height, that is added to both sides
UPSCALED = 16  # times, to which the response is enlarged before its peak is taken


def context_side(size: FloatArray) -> FloatArray:
    """(n,) side in px of the square that holds a box of (n, 2) width and height and its surroundings.

    s² = (w + p) (h + p) with p = (w + h) / 2 (Bertinetto et al. 2016, Sec. 2.2).

    >>> context_side(np.array([[10.0, 10.0]])).tolist()
    [20.0]
    """
    return np.asarray(np.sqrt(np.prod(size + CONTEXT * size.sum(axis=1, keepdims=True), axis=1)))


def cropped(image: Image, centre: FloatArray, side: float, out: int, border: tuple[float, ...]) -> Image:
    """(out, out, 3) the square of `side` px around a centre x, y in px, its outside in the colour `border`."""
    step = side / out
    origin = np.asarray(centre) - side / 2 + step / 2 - 0.5  # px index of the first pixel's middle
    matrix = np.array([[step, 0.0, origin[0]], [0.0, step, origin[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, matrix, (out, out), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=border),
        dtype=np.uint8,
    )


def mean_colour(image: Image) -> tuple[float, ...]:
    """(3,) mean of an image's pixels."""
    return tuple(cv2.mean(image)[:3])


def scale_factors(step: float, sizes: int) -> FloatArray:
    """(S,) an odd number of sizes that are tried, relative to the last one.

    >>> scale_factors(1.25, 3).tolist()
    [0.8, 1.0, 1.25]
    """
    return np.asarray(step ** (np.arange(sizes) - sizes // 2.0))


def cosine_window(side: int) -> FloatArray:
    """(side, side) Hann window, which sums to 1: places near the middle are likelier."""
    window = np.outer(np.hanning(side), np.hanning(side))
    return np.asarray(window / window.sum())


def peak(responses: FloatArray, penalty: float, influence: float) -> tuple[int, FloatArray]:
    """Which of the (S, s, s) responses is highest, and where: (2,) x, y from the middle, in places of the response.

    Each is enlarged UPSCALED times by cubic interpolation; all sizes but the middle one are multiplied by `penalty`;
    the winner, from 0 and to a sum of 1, is mixed with the cosine window by `influence`.
    """
    side = UPSCALED * responses.shape[1]
    large = np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in responses])
    large = large - large.min()  # from 0, since a penalty on a negative number is none
    large[np.arange(len(large)) != len(large) // 2] *= penalty
    best = int(large.max(axis=(1, 2)).argmax())
    response = large[best] - large[best].min()
    response = (1 - influence) * response / max(float(response.sum()), 1e-16) + influence * cosine_window(side)
    y, x = np.unravel_index(int(response.argmax()), response.shape)
    return best, (np.array([x, y], dtype=np.float64) - (side - 1) / 2) / UPSCALED


def moved_box(box: FloatArray, shift: FloatArray, factor: float) -> FloatArray:
    """(4,) the box with its centre shifted by (2,) px and its sides times a factor.

    >>> moved_box(np.array([0.0, 0.0, 2.0, 4.0]), np.array([1.0, 0.0]), 2.0).tolist()
    [0.0, -2.0, 4.0, 6.0]
    """
    centre, half = (box[:2] + box[2:]) / 2 + shift, factor * (box[2:] - box[:2]) / 2
    return np.concatenate([centre - half, centre + half])


def labels(side: int, shift: FloatArray, radius: float) -> NDArray[np.float32]:
    """(side, side) 1 within `radius` places (city blocks) of the object, which is (2,) x, y from the middle, else 0."""
    at = np.arange(side) - (side - 1) / 2
    return np.asarray(np.abs(at - shift[0])[None, :] + np.abs(at - shift[1])[:, None] <= radius, dtype=np.float32)
