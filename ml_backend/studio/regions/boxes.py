"""Boxes on one image: what an annotation holds, and what a prediction writes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml_backend.studio.regions.config import BoxesConfig
from ml_backend.studio.regions.geometry import (
    FloatArray,
    checked_boxes,
    checked_size,
    clipped,
    has_area,
    to_percent,
    to_pixels,
)
from ml_backend.studio.regions.labeled import checked_labels, checked_scores
from ml_backend.studio.regions.reading import Json, Region, RegionError, number, percent, regions_of

ASPECT = 0.02  # how far the image's shape may be off


@dataclass(frozen=True, eq=False)
class Boxes:
    """box: (K, 4) corners x1, y1, x2, y2 in pixels, on the image. label: (K,) positions in the config's classes.

    dropped: boxes left out, since nothing of them lies on the image or they have no area.
    """

    box: FloatArray
    label: NDArray[np.int64]
    dropped: int = 0


def boxes_of(annotation: Json, config: BoxesConfig, width: float, height: float) -> Boxes:
    """The boxes of an annotation on an image of this size in pixels, as it is shown (turned as its EXIF data say).

    Parts outside the image are cut off. Raises RegionError for a rotated box, an unknown label, an image of another
    shape, and whatever is no box.
    """
    checked_size(width, height)
    regions = list(regions_of(annotation, config))
    for region in regions:
        _check_image(region, width, height)
    rows = np.array([percent(region, region.value) for region in regions], dtype=np.float64).reshape(-1, 4)
    box = clipped(to_pixels(rows, width, height), width, height)
    kept = has_area(box)
    label = np.array([region.label for region in regions], dtype=np.int64)
    return Boxes(box[kept], label[kept], int((~kept).sum()))


def _check_image(region: Region, width: float, height: float) -> None:
    turned = region.whole.get("image_rotation")
    if turned not in (None, 0):
        raise RegionError(
            "rotated_image",
            f"{region.who} was drawn on an image turned by {turned!r} degrees; turn it back and redraw.",
        )
    if region.whole.get("item_index") not in (None, 0):
        raise RegionError(
            "listed_image", f"{region.who} is on image {region.whole['item_index']!r} of a list; give each a task."
        )
    if region.whole.get("original_width") is None or region.whole.get("original_height") is None:
        return  # written by a program; percent need no size
    original = number(region, region.whole, "original_width"), number(region, region.whole, "original_height")
    rounding = max(original) / 2  # of a size in whole pixels
    if abs(original[0] * height - original[1] * width) > ASPECT * original[0] * height + rounding:
        raise RegionError(
            "other_image",
            f"{region.who} was drawn on an image of {original[0]:g} x {original[1]:g} px, but the image has "
            f"{width:g} x {height:g} px; draw it again if the image was exchanged.",
        )


def box_results(
    config: BoxesConfig,
    boxes: ArrayLike,
    labels: ArrayLike,
    scores: ArrayLike | None,
    width: float,
    height: float,
) -> list[Json]:
    """The `result` of a prediction: a region for each box, cut off at the image's edges.

    boxes: (K, 4) corners in pixels. labels: (K,) positions in the config's classes. scores: (K,) the model's real
    confidence in [0, 1]. width, height: of the image as it is shown, in whole pixels. A box that does not touch the
    image is left out. Ids depend on nothing but the box, its label and how often both came before: the same detection
    has the same id in every version.

    >>> config = BoxesConfig("box", "image", "image", ("Car",))
    >>> box_results(config, [[10, 20, 40, 60]], [0], [0.9], 100, 200)[0]["value"]
    {'x': 10.0, 'y': 10.0, 'width': 30.0, 'height': 20.0, 'rotation': 0, 'rectanglelabels': ['Car']}
    """
    checked_size(width, height)
    box = clipped(checked_boxes("this image", boxes), width, height)
    label = checked_labels("the boxes", labels, config, len(box))
    score = checked_scores("the boxes", scores, len(box))
    kept = np.flatnonzero(has_area(box))
    seen: Counter[str] = Counter()
    results = []
    for row, place in zip(kept.tolist(), to_percent(box[kept], width, height).tolist(), strict=True):
        x, y, w, h = place
        name = config.classes[label[row]]
        result: dict[str, Any] = {
            "id": _identity(name, place, seen),
            "from_name": config.from_name,
            "to_name": config.to_name,
            "type": config.region_type,
            "original_width": round(width),
            "original_height": round(height),
            "image_rotation": 0,
            "value": {"x": x, "y": y, "width": w, "height": h, "rotation": 0, config.label_key: [name]},
        }
        if score is not None:
            result["score"] = float(score[row])
        results.append(result)
    return results


def _identity(name: str, place: list[float], seen: Counter[str]) -> str:
    content = json.dumps([name, *(round(value, 6) for value in place)])
    seen[content] += 1
    return hashlib.blake2b(f"{content}#{seen[content]}".encode(), digest_size=6).hexdigest()
