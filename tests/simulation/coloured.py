"""A small detector that learns, and pictures that it can learn: coloured blocks on black, a colour for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from ml_backend.learners.contract import Images
from ml_backend.learners.detector import Detector, DetectorFit, Found, LabeledBoxes
from plugins import registry
from plugins.contract import PluginConfig

NAME = "coloured"


class Coloured(Detector[PluginConfig]):
    """Remembers the mean colour inside people's boxes of each class, and gives a block the nearest one's name.

    A class that nobody drew yet is never named. score: how much nearer that colour is than the next. What an earlier
    model knew counts as much as all the labels.
    """

    name, title, summary, reference = NAME, "Coloured", "The colours of blocks.", "none"

    def fit(
        self,
        labeled: Images,
        boxes: LabeledBoxes,
        groups: NDArray[Any] | None,
        pool: Images,
        classes: tuple[str, ...],
        *,
        folder: Path,
        start: dict[str, NDArray[Any]] | None = None,
        seed: int,
        observer: Any = None,
        progress: Any = None,
    ) -> DetectorFit:
        colours = np.full((len(classes), 3), np.nan)
        for label in range(len(classes)):
            seen = [
                pixels(labeled.paths[boxes.item[row]])[middle(boxes.box[row])]
                for row in np.flatnonzero(boxes.label == label)
            ]
            if seen:
                colours[label] = np.mean(seen, axis=0)
        if start is not None:
            colours = np.where(np.isnan(colours), start["colours"], colours)
        model = {"colours": colours, "fits": np.array([1 if start is None else int(start["fits"][0]) + 1])}
        return DetectorFit(self.detect(model, pool), self.detect(model, labeled), model, "colours", notes=("learned",))

    def detect(self, model: dict[str, NDArray[Any]], images: Images, *, progress: Any = None) -> Found:
        rows = []
        known = np.flatnonzero(~np.isnan(model["colours"]).any(axis=1))
        for item, path in enumerate(images.paths):
            picture = pixels(path)
            for ys, xs in ndimage.find_objects(ndimage.label(picture.max(axis=2) > 30)[0]):
                box = (xs.start, ys.start, xs.stop, ys.stop)
                away = np.linalg.norm(model["colours"][known] - picture[middle(np.array(box))], axis=1)
                order = np.argsort(away)
                score = 1.0 if len(order) < 2 else away[order[1]] / (away[order[0]] + away[order[1]])
                rows.append((item, *box, score, known[order[0]]))
        rows.sort(key=lambda row: (row[0], -row[5]))
        table = np.array(rows, dtype=np.float64).reshape(-1, 7)
        return Found(
            table[:, 0].astype(np.int64),
            table[:, 1:5].astype(np.float32),
            table[:, 5].astype(np.float32),
            table[:, 6].astype(np.int64),
        )


def pixels(path: Path) -> NDArray[np.float64]:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float64)


def middle(box: NDArray[Any]) -> tuple[int, int]:
    x0, y0, x1, y1 = box
    return int((y0 + y1) / 2), int((x0 + x1) / 2)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the detector among the installed plugins."""
    listing = registry.Listing("learner", NAME, "tests", "1", Coloured)
    usual = registry.available

    def available(kind: str) -> dict[str, registry.Listing]:
        return {**usual(kind), NAME: listing} if kind == "learner" else usual(kind)

    monkeypatch.setattr(registry, "available", available)


COLOURS = np.array([[220, 40, 40], [150, 60, 60], [40, 40, 220]])
CLASSES = ("red", "rust", "blue")


def draw(rng: np.random.Generator, path: Path) -> list[tuple[int, int, int, int, int]]:
    """A picture of 90 x 30 px with one to three blocks; returns x0, y0, x1, y1, label of each.

    Red and rust overlap in their colours, so that it takes some labels to tell them apart.
    """
    canvas, drawn = np.zeros((30, 90, 3)), []
    for place in rng.permutation(3)[: rng.integers(1, 4)].tolist():
        label = int(rng.choice(3, p=[0.5, 0.3, 0.2]))
        x, y = 30 * place + int(rng.integers(2, 8)), int(rng.integers(2, 10))
        canvas[y : y + 15, x : x + 18] = COLOURS[label] + rng.normal(0, 40, 3)
        drawn.append((x, y, x + 18, y + 15, label))
    Image.fromarray(canvas.clip(31 * (canvas.any(axis=2, keepdims=True)), 255).astype(np.uint8)).save(path)
    return drawn
